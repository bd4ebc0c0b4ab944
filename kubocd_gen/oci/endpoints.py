"""The endpoint of a registry: its host and scheme, or those of its mirror, and how to access it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.oci.reference import Reference

if TYPE_CHECKING:
    from oras.container import Container

_MIRROR = re.compile(r"(?:(?P<scheme>https?)://)?(?P<host>[A-Za-z0-9._\-\[\]:]+)(?P<path>(?:/[A-Za-z0-9._\-]+)*)/?")
DOCKER_HUB = "docker.io"
_DOCKER_HUB_SERVER = "registry-1.docker.io"  # docker.io itself is a web site
HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", _DOCKER_HUB_SERVER})


@dataclass(frozen=True, slots=True)
class Access:
    """The registry settings of a Release, of a redirect in Config, or of a package's module."""

    insecure: bool = False  # use plain HTTP, like Flux's `insecure`; never a fallback
    timeout: float | None = None  # seconds to wait for a response; None: the client's READ_TIMEOUT
    provider: str = "generic"  # generic | aws | azure | gcp: determines the credential helper in hints
    secrets: tuple[str, ...] = ()  # Secrets in the cluster that Flux uses, "secretRef regcred"; only for messages


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint of one repository. `registry` is the host that credentials are looked up for."""

    registry: str
    scheme: str  # https, or http if it is set explicitly
    host: str  # with port
    repository: str
    mirror_of: str | None = None

    def url(self) -> str:
        """Return the base URL of the repository."""
        return f"{self.scheme}://{self.host}/v2/{self.repository}"

    def manifest_url(self, name: str) -> str:
        """Return the URL of the manifest with a tag or digest, as defined by the distribution specification."""
        return f"{self.scheme}://{self._container().manifest_url(name)}"

    def blob_url(self, digest: str) -> str:
        """Return the URL of a blob."""
        return f"{self.scheme}://{self._container().get_blob_url(digest)}"

    def uploads_url(self) -> str:
        """Return the URL that starts an upload."""
        return f"{self.scheme}://{self._container().upload_blob_url()}"

    def _container(self) -> Container:
        """Return oras-py's view of the repository, with our host."""
        from oras.container import Container  # slow to import, and not needed for vendored packages

        container = Container(f"{self.host}/{self.repository}")
        # For oras-py, a host without dot and colon is a namespace of Docker Hub; for KuboCD and Flux it is a host.
        if container.registry != self.host:
            container.registry, container.namespace = self.host, self.repository.rpartition("/")[0]
        return container

    def __str__(self) -> str:
        return f"{self.registry} (the mirror of {self.mirror_of})" if self.mirror_of else self.registry


def find_endpoint(reference: Reference, access: Access, mirrors: Mapping[str, str]) -> Endpoint:
    """Return the endpoint for `reference`: its registry, or the registry's mirror.

    A mirror replaces the registry: there is no fallback to the registry, because a project with mirrors might not be
    allowed, or able, to access it. Raises ProblemsError `invalid-value` if a mirror is not valid.
    """
    registry, repository = reference.registry.lower(), reference.repository
    if registry in HUB_NAMES:
        registry = DOCKER_HUB
        repository = repository if "/" in repository else f"library/{repository}"
    mirror = mirrors.get(reference.registry) or mirrors.get(registry)
    if mirror is not None:
        match = _MIRROR.fullmatch(mirror)
        if match is None:
            raise ProblemsError.of(
                "invalid-value",
                f"the mirror {shown(mirror)} of {registry} is not valid",
                hint="use the form 'mirror.example.com/quay', or 'http://localhost:5000/quay' for plain HTTP",
            )
        host, path = match["host"].lower(), match["path"].strip("/")
        repository = f"{path}/{repository}" if path else repository
        return Endpoint(host, match["scheme"] or "https", _server(host), repository, mirror_of=registry)
    return Endpoint(registry, "http" if access.insecure else "https", _server(registry), repository)


def _server(registry: str) -> str:
    return _DOCKER_HUB_SERVER if registry == DOCKER_HUB else registry
