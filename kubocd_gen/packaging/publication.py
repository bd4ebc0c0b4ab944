"""Publish package images to a registry or an OCI image layout."""

from __future__ import annotations

from typing import Literal, Protocol

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.descriptors import CONFIG_TYPE, CONTENT_TYPE, MANIFEST_TYPE, Descriptor
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.layout_writer import LayoutWriter, tag_exists
from kubocd_gen.oci.reference import Reference
from kubocd_gen.oci.registry import Registry
from kubocd_gen.packaging.assembly import Assembled

Change = Literal["pushed", "written", "unchanged"]


class Target(Protocol):
    """A destination for package images; safe to use from several threads."""

    def tagged(self, reference: Reference) -> Descriptor | None:
        """Return the manifest that the tag points to, or None. Raises ProblemsError."""

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        """Publish the image with the tag; an existing tag is moved only if `move`. Raises ProblemsError."""

    def describe(self) -> str:
        """Return the name of the destination for messages, as in "X already exists in …"."""


class RegistryTarget:
    """The registry in each package's reference."""

    def __init__(self, registry: Registry, *, insecure: bool) -> None:
        self._registry = registry
        self._access = Access(insecure=insecure)

    def tagged(self, reference: Reference) -> Descriptor | None:
        """Return the manifest that the tag points to, or None. Raises ProblemsError."""
        return self._registry.has_manifest(reference, self._access)

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        """Push the missing blobs, then the manifest, so that a pulled image is always complete."""
        if not move and (existing := self.tagged(reference)) is not None and existing.digest != image.digest:
            raise ProblemsError(tag_exists(reference, self.describe(), existing.digest, image.descriptor))
        self._registry.push_blob(reference, image.config, self._access)
        self._registry.push_blob(reference, image.layer, self._access)
        self._registry.push_manifest(reference, image.manifest, MANIFEST_TYPE, self._access)
        return "pushed"

    def describe(self) -> str:
        """Return "the registry"; its host is in the reference."""
        return "the registry"


class LayoutTarget:
    """An OCI image layout, where images are named by their full reference."""

    def __init__(self, writer: LayoutWriter) -> None:
        self._writer = writer

    def tagged(self, reference: Reference) -> Descriptor | None:
        """Return the manifest with this name in the layout, or None. Raises ProblemsError."""
        return self._writer.tagged(reference)

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        """Write the blobs, then add the name of the manifest to the index."""
        self._writer.put_blob(image.config, CONFIG_TYPE)
        self._writer.put_blob(image.layer, CONTENT_TYPE)
        self._writer.put_blob(image.manifest, MANIFEST_TYPE)
        self._writer.tag(reference, image.descriptor, move=move)
        return "written"

    def describe(self) -> str:
        """Return the layout's directory."""
        return self._writer.describe()


def check_tag(target: Target, reference: Reference, image: Assembled, *, move: bool) -> bool:
    """Return whether the image is published already.

    Raises ProblemsError `tag-exists` if the tag points to another image, unless `move`.
    """
    existing = target.tagged(reference)
    if existing is None or existing.digest == image.digest:
        return existing is not None
    if not move:
        raise ProblemsError(tag_exists(reference, target.describe(), existing.digest, image.descriptor))
    return False
