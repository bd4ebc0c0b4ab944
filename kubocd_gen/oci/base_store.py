"""Where the blobs of a base image come from: a registry, or an image layout."""

from __future__ import annotations

from typing import BinaryIO, Protocol

from kubocd_gen.budget.limits import Limits, over_limit
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.oci.image_reference import LayoutImage, RegistryImage
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.registry import Registry


class BaseStore(Protocol):
    """The blobs of one image, all verified. Every method raises ProblemsError for what is missing or damaged."""

    def top(self) -> Descriptor:
        """What the image's name stands for: a manifest or an index."""

    def read(self, descriptor: Descriptor) -> bytes:
        """A manifest, index or config; they are small."""

    def copy(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """Write a layer to an empty file, a part at a time. Raises OSError where the file can't be written."""

    def position(self, descriptor: Descriptor) -> Position | None:
        """Where the blob lies, for messages; None where it has no path."""


class RegistryStore:
    """An image in a registry."""

    def __init__(self, registry: Registry, image: RegistryImage, access: Access, limits: Limits) -> None:
        self._registry, self._image, self._access, self._limits = registry, image, access, limits
        self._top: tuple[Descriptor, bytes] | None = None

    def top(self) -> Descriptor:
        """One request, which brings the manifest, too."""
        if self._top is None:
            self._top = self._registry.read_manifest(self._image.reference, self._image.digest, self._access)
        return self._top[0]

    def read(self, descriptor: Descriptor) -> bytes:
        """Manifests are asked for by digest; a registry serves them elsewhere than blobs."""
        if self._top is not None and self._top[0].digest == descriptor.digest:
            return self._top[1]
        if not descriptor.is_manifest:
            reference = self._image.reference
            return self._registry.read_blob(reference, descriptor, self._access, limit=self._limits.manifest)
        _, data = self._registry.read_manifest(self._image.reference, descriptor.digest, self._access)
        if len(data) != descriptor.size:
            message = f"manifest {descriptor.digest} of {self._image} is {len(data)} bytes long, not {descriptor.size}"
            raise ProblemsError(Problem("corrupt-blob", message))
        return data

    def copy(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """What breaks off is continued."""
        limit = self._limits.base_layer
        self._registry.fetch_blob(self._image.reference, descriptor, file, self._access, limit=limit)

    def position(self, descriptor: Descriptor) -> None:
        """Messages name the image."""


class LayoutStore:
    """An image in a layout."""

    def __init__(self, layout: OciLayout, image: LayoutImage, limits: Limits) -> None:
        self._layout, self._image, self._limits = layout, image, limits

    def top(self) -> Descriptor:
        """The layout's index is read once."""
        found = self._layout.find(self._image.name)
        if found is None:
            names = ", ".join(self._layout.references())
            what = f"no image {self._image.name}" if self._image.name else "no image"
            raise ProblemsError(
                Problem(
                    "missing-package",
                    f"the layout {self._layout.path} has {what}",
                    hint=f"it has: {names}" if names else None,
                )
            )
        return found

    def read(self, descriptor: Descriptor) -> bytes:
        """All blobs are alike here."""
        return self._layout.read_blob(descriptor, limit=self._limits.manifest)

    def copy(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """Its size is the descriptor's, or it is refused."""
        if descriptor.size > (limit := self._limits.base_layer):
            what = f"blob {descriptor.digest} is larger"
            at = self.position(descriptor)
            raise ProblemsError(over_limit(what, "base-layer", limit, needed=descriptor.size, position=at))
        self._layout.copy_blob(descriptor, file)

    def position(self, descriptor: Descriptor) -> Position:
        """The file."""
        return self._layout.position(descriptor)
