"""The endpoint of a registry: its host and scheme, or those of its mirror, and how to access it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kubocd_gen.oci.reference import Reference

if TYPE_CHECKING:
    from oras.container import Container


InsecureSetting = Literal["release", "redirect", "module", "flag", "base"]
"""What selects plain HTTP: a Release's package, a redirect, a module's source, `--insecure`, or nothing for a base."""


@dataclass(frozen=True, slots=True)
class Access:
    """The registry settings of a Release, of a redirect in Config, or of a package's module."""

    insecure: bool = False  # use plain HTTP, like Flux's `insecure`; never a fallback
    timeout: float | None = None  # seconds to wait for a response; None: the client's READ_TIMEOUT
    provider: str = "generic"  # generic | aws | azure | gcp: determines the credential helper in hints
    secrets: tuple[str, ...] = ()  # Secrets in the cluster that Flux uses, "secretRef regcred"; only for messages
    setting: InsecureSetting = "release"  # where the user sets `insecure`; only for messages


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint of one repository. `registry` is the host that credentials are looked up for."""

    registry: str
    scheme: str  # https, or http if it is set explicitly
    host: str  # with port
    repository: str
    mirror_of: str | None = None  # the registry, namespace or repository that it replaces

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
    """Return the endpoint for `reference`: its registry, or the mirror of it, of a namespace or of the repository.

    A mirror replaces the registry: there is no fallback to the registry, because a project with mirrors might not be
    allowed, or able, to access it. Raises ProblemsError `invalid-value` if a mirror is not valid.
    """
    from kubocd_gen.network.origins import canonical_host
    from kubocd_gen.oci.mirrors import DOCKER_HUB, HUB_NAMES, find_mirror

    registry, repository = reference.registry.lower(), reference.repository
    if registry in HUB_NAMES:
        registry = DOCKER_HUB
        repository = repository if "/" in repository else f"library/{repository}"
    scheme = "http" if access.insecure else "https"
    mirror = find_mirror(canonical_host(registry, scheme), scheme, repository, mirrors)
    if mirror is not None:
        return Endpoint(mirror.host, mirror.scheme, _server(mirror.host), mirror.repository, mirror_of=mirror.prefix)
    return Endpoint(registry, scheme, _server(registry), repository)


def _server(registry: str) -> str:
    from kubocd_gen.oci.mirrors import DOCKER_HUB, DOCKER_HUB_SERVER

    return DOCKER_HUB_SERVER if registry == DOCKER_HUB else registry
