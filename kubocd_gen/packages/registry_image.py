"""Package images straight from their registries."""

from __future__ import annotations

from kubocd_gen.diagnostics import Position
from kubocd_gen.packages.access import Access
from kubocd_gen.packages.image import PackageImage, read_image
from kubocd_gen.packages.oci import LAYER_LIMIT, Descriptor
from kubocd_gen.packages.reference import Reference
from kubocd_gen.packages.registry import Registry


class RegistrySource:
    """The registries that references name, as the last place to look for a package."""

    def __init__(self, registry: Registry, access: Access) -> None:
        self._registry = registry
        self._access = access

    def fetch(self, reference: Reference) -> PackageImage:
        """The package. Raises KcdError, `missing-package` where the registry has none so."""
        descriptor = self._registry.resolve(reference, self._access)
        return read_image(reference, descriptor, _Blobs(self._registry, reference, self._access))

    def describe(self) -> str:
        """Each reference has its own."""
        return "its registry"

    def references(self) -> tuple[str, ...]:
        """Registries are not listed."""
        return ()

    def advice(self, reference: Reference) -> None:
        """Nothing that is sure to help."""


class _Blobs:
    """The blobs of one image in a registry."""

    def __init__(self, registry: Registry, reference: Reference, access: Access) -> None:
        self._registry = registry
        self._reference = reference
        self._access = access

    def read_blob(self, descriptor: Descriptor, *, limit: int = LAYER_LIMIT) -> bytes:
        if descriptor.media_type.endswith(("manifest.v1+json", "manifest.v2+json")):
            return self._registry.read_manifest(self._reference, descriptor.digest, self._access)[1]
        return self._registry.read_blob(self._reference, descriptor, self._access, limit=limit)

    def position(self, descriptor: Descriptor) -> Position | None:
        return None
