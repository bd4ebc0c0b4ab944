"""Where a registry is: its host, how it is spoken to, and the mirror that stands in for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.reference import Reference

if TYPE_CHECKING:
    from oras.container import Container

_MIRROR = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>[A-Za-z0-9._\-\[\]:]+)(?P<path>(?:/[A-Za-z0-9._\-]+)*)/?")
DOCKER_HUB = "docker.io"
_DOCKER_HUB_SERVER = "registry-1.docker.io"  # docker.io itself is a web site


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the images of one repository are asked for. `registry` is the host that credentials are looked up for."""

    registry: str
    scheme: str  # https, or http where somebody said so
    host: str  # with port
    repository: str
    mirror_of: str | None = None

    def url(self) -> str:
        """The address below which the repository's are."""
        return f"{self.scheme}://{self.host}/v2/{self.repository}"

    def manifest_url(self, name: str) -> str:
        """The address of the manifest with that tag or digest, as the distribution specification defines it."""
        return f"{self.scheme}://{self._container().manifest_url(name)}"

    def blob_url(self, digest: str) -> str:
        """The address of a blob."""
        return f"{self.scheme}://{self._container().get_blob_url(digest)}"

    def uploads_url(self) -> str:
        """The address that opens an upload."""
        return f"{self.scheme}://{self._container().upload_blob_url()}"

    def _container(self) -> Container:
        """What oras-py reads in the repository's name, but for hosts: a single name is one for KuboCD and Flux."""
        from oras.container import Container  # not in a vendored build

        container = Container(f"{self.host}/{self.repository}")
        if container.registry != self.host:  # without dot and colon it is a namespace of Docker Hub for oras-py
            container.registry, container.namespace = self.host, self.repository.rpartition("/")[0]
        return container

    def __str__(self) -> str:
        return f"{self.registry} (the mirror of {self.mirror_of})" if self.mirror_of else self.registry


def find_endpoint(reference: Reference, access: Access, mirrors: Mapping[str, str]) -> Endpoint:
    """The place that serves `reference`: its own registry, or the mirror alone where its host has one.

    A mirror takes the registry's place; the registry is not asked when the mirror lacks something, because a project
    with mirrors may not be allowed, or able, to ask it. Raises ProblemsError `invalid-value` for a mirror that is none.
    """
    registry, repository = reference.registry.lower(), reference.repository
    if registry in (DOCKER_HUB, "index.docker.io", _DOCKER_HUB_SERVER):
        registry = DOCKER_HUB
        repository = repository if "/" in repository else f"library/{repository}"
    mirror = mirrors.get(reference.registry) or mirrors.get(registry)
    if mirror is not None:
        match = _MIRROR.fullmatch(mirror)
        if match is None:
            raise ProblemsError(
                Problem(
                    "invalid-value",
                    f"the mirror {shown(mirror)} of {registry} is no place for images",
                    hint="write it as 'mirror.example.com/quay', or 'http://localhost:5000/quay' for plain HTTP",
                )
            )
        host, path = match["host"].lower(), match["path"].strip("/")
        repository = f"{path}/{repository}" if path else repository
        return Endpoint(host, match["scheme"] or "https", _server(host), repository, mirror_of=registry)
    return Endpoint(registry, "http" if access.insecure else "https", _server(registry), repository)


def _server(registry: str) -> str:
    return _DOCKER_HUB_SERVER if registry == DOCKER_HUB else registry
