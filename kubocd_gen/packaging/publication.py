"""Where package images go: to a registry, or into an OCI image layout."""

from __future__ import annotations

from typing import Literal, Protocol

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.access import Access
from kubocd_gen.oci.descriptors import CONFIG_TYPE, CONTENT_TYPE, MANIFEST_TYPE, Descriptor
from kubocd_gen.oci.layout_writer import LayoutWriter, tag_exists
from kubocd_gen.oci.reference import Reference
from kubocd_gen.oci.registry import Registry
from kubocd_gen.packaging.assembly import Assembled

Change = Literal["pushed", "written", "unchanged"]


class Target(Protocol):
    """A place for package images; safe to use from several threads."""

    def tagged(self, reference: Reference) -> Descriptor | None:
        """What the tag stands for there now. Raises ProblemsError."""

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        """Put the image there under the tag, which is not moved unless `move`. Raises ProblemsError."""

    def describe(self) -> str:
        """The place, as it stands in «X is in … already»."""


class RegistryTarget:
    """Packages go to the registry that their reference names."""

    def __init__(self, registry: Registry, *, insecure: bool) -> None:
        self._registry = registry
        self._access = Access(insecure=insecure)

    def tagged(self, reference: Reference) -> Descriptor | None:
        """What the registry has under the tag."""
        return self._registry.has_manifest(reference, self._access)

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        """Push what the registry lacks: blobs, then the manifest, so that nobody ever pulls half an image."""
        if not move and (there := self.tagged(reference)) is not None and there.digest != image.digest:
            raise ProblemsError(tag_exists(reference, self.describe(), there.digest, image.descriptor))
        self._registry.push_blob(reference, image.config, self._access)
        self._registry.push_blob(reference, image.layer, self._access)
        self._registry.push_manifest(reference, image.manifest, MANIFEST_TYPE, self._access)
        return "pushed"

    def describe(self) -> str:
        """Registries are told apart by the reference."""
        return "the registry"


class LayoutTarget:
    """Packages go into an image layout, under their full reference."""

    def __init__(self, writer: LayoutWriter) -> None:
        self._writer = writer

    def tagged(self, reference: Reference) -> Descriptor | None:
        """What the layout calls so."""
        return self._writer.tagged(reference)

    def publish(self, reference: Reference, image: Assembled, *, move: bool) -> Change:
        """Write the blobs, then name the manifest."""
        self._writer.put_blob(image.config, CONFIG_TYPE)
        self._writer.put_blob(image.layer, CONTENT_TYPE)
        self._writer.put_blob(image.manifest, MANIFEST_TYPE)
        self._writer.tag(reference, image.descriptor, move=move)
        return "written"

    def describe(self) -> str:
        """The layout's folder."""
        return self._writer.describe()


def check_tag(target: Target, reference: Reference, image: Assembled, *, move: bool) -> bool:
    """Whether the image is there already. Raises ProblemsError `tag-exists` where another is, unless `move`."""
    there = target.tagged(reference)
    if there is None or there.digest == image.digest:
        return there is not None
    if not move:
        raise ProblemsError(tag_exists(reference, target.describe(), there.digest, image.descriptor))
    return False
