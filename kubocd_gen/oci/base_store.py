"""Access to the blobs of a base image, in a registry or an image layout.

All blobs are verified: every method raises ProblemsError if a blob is missing or damaged.
"""

from __future__ import annotations

from typing import BinaryIO

from kubocd_gen.budget.limits import Limits, over_limit
from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.files.paths import shown_path
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import LayoutImage, RegistryImage
from kubocd_gen.oci.registry import Registry


class RegistryStore:
    """An image in a registry."""

    def __init__(self, registry: Registry, image: RegistryImage, access: Access, limits: Limits) -> None:
        self._registry, self._image, self._access, self._limits = registry, image, access, limits
        self._top: tuple[Descriptor, bytes] | None = None

    def top(self) -> Descriptor:
        """Return the manifest or index that the image's name refers to; its content is read in the same request."""
        if self._top is None:
            self._top = self._registry.read_manifest(self._image.reference, self._image.digest, self._access)
        return self._top[0]

    def read(self, descriptor: Descriptor) -> bytes:
        """Read a manifest, index or config; registries serve the first two from another URL than blobs."""
        if self._top is not None and self._top[0].digest == descriptor.digest:
            return self._top[1]
        if not descriptor.is_manifest:
            reference = self._image.reference
            return self._registry.read_blob(reference, descriptor, self._access, limit=self._limits.manifest)
        _, data = self._registry.read_manifest(self._image.reference, descriptor.digest, self._access)
        if len(data) != descriptor.size:
            message = f"manifest {descriptor.digest} of {self._image} has {len(data)} bytes, not {descriptor.size}"
            raise ProblemsError.of("corrupt-blob", message)
        return data

    def copy(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """Download a layer to an empty file; an interrupted download is resumed. Raises OSError if writing fails."""
        limit = self._limits.base_layer
        self._registry.fetch_blob(self._image.reference, descriptor, file, self._access, limit=limit)

    def position(self, descriptor: Descriptor) -> None:
        """Return None: messages contain the name of the image."""


class LayoutStore:
    """An image in a layout."""

    def __init__(self, layout: OciLayout, image: LayoutImage, limits: Limits) -> None:
        self._layout, self._image, self._limits = layout, image, limits

    def top(self) -> Descriptor:
        """Return the manifest or index that the image's name refers to. Raises ProblemsError `missing-package`."""
        found = self._layout.find(self._image.name)
        if found is None:
            names = ", ".join(self._layout.references())
            what = f"no image '{self._image.name}'" if self._image.name else "no image"
            raise ProblemsError.of(
                "missing-package",
                f"the layout {shown_path(self._layout.name)} has {what}",
                hint=f"available images: {names}" if names else None,
            )
        return found

    def read(self, descriptor: Descriptor) -> bytes:
        """Read a manifest, index or config."""
        return self._layout.read_blob(descriptor, limit=self._limits.manifest)

    def copy(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """Write a layer to an empty file. Raises ProblemsError `package-limit` if it exceeds the limit."""
        if descriptor.size > (limit := self._limits.base_layer):
            what = f"blob {descriptor.digest} is larger"
            at = self.position(descriptor)
            raise ProblemsError(over_limit(what, "base-layer", limit, needed=descriptor.size, position=at))
        self._layout.copy_blob(descriptor, file)

    def position(self, descriptor: Descriptor) -> Position:
        """Return the blob's file."""
        return self._layout.position(descriptor)


BaseStore = RegistryStore | LayoutStore
