"""Where a registry is: its host, how it is spoken to, and the mirror that stands in for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.reference import Reference

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

    def url(self, *path: str) -> str:
        """An address of the repository in the distribution specification's API."""
        return "/".join((f"{self.scheme}://{self.host}/v2", self.repository, *path))

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
