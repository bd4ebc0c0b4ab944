"""Publish the server's image to a registry or an image layout. Existing blobs are not sent again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.directory import make_directory
from kubocd_gen.oci.base_store import BaseStore
from kubocd_gen.oci.descriptors import IMAGE_CONFIG_TYPE, MANIFEST_TYPE, Descriptor
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.layout_writer import LayoutWriter
from kubocd_gen.oci.reference import Reference
from kubocd_gen.oci.registry import Registry
from kubocd_gen.server.image import ServerImage

Way = Literal["there", "mounted", "copied"]
Progress = Callable[[str], None]
Write = Callable[[BinaryIO], None]


@dataclass(frozen=True, slots=True)
class Transfer:
    """How a layer was transferred to the target."""

    descriptor: Descriptor
    way: Way


class ImageTarget(Protocol):
    """A location to which the image is published."""

    def current(self) -> Descriptor | None:
        """Return the descriptor that the image's name refers to now, or None. Raises ProblemsError."""

    def publish(self, image: ServerImage, base: BaseStore) -> list[Transfer]:
        """Publish the image, and update its name last. Raises ProblemsError."""


@dataclass(frozen=True, slots=True)
class RegistryTarget:
    """A tag in a registry.

    `origin` is the base's repository if it is in the same registry, which can then mount its layers. Other layers are
    copied through an unnamed temporary file in `scratch`.
    """

    registry: Registry
    reference: Reference
    access: Access
    scratch: Path
    origin: str | None = None
    progress: Progress = print
    jobs: int = 4

    def current(self) -> Descriptor | None:
        """Look the tag up with one HEAD request."""
        return self.registry.has_manifest(self.reference, self.access)

    def publish(self, image: ServerImage, base: BaseStore) -> list[Transfer]:
        """Push layers, configs, manifests, index and tag in this order, so nobody can pull an incomplete image."""
        wanted: list[tuple[Descriptor, Write, bool]] = [
            (one, partial(base.copy, one), True) for one in image.base_layers
        ]
        wanted += [(layer.descriptor, layer.write_to, False) for layer in image.layers]
        pool = ThreadPoolExecutor(max(1, min(self.jobs, len(wanted))))
        try:
            transfers = list(pool.map(lambda one: self._send(*one), wanted))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C, start nothing new
        for one in image.platforms:
            self.registry.push_blob(self.reference, one.config, self.access)
        for one in image.platforms:
            tagged = image.index is None
            self.registry.push_manifest(self.reference, one.manifest, MANIFEST_TYPE, self.access, tagged=tagged)
        if image.index is not None:
            self.registry.push_manifest(self.reference, image.index, image.descriptor.media_type, self.access)
        return transfers

    def _send(self, descriptor: Descriptor, write: Write, of_base: bool) -> Transfer:
        digest = descriptor.digest
        if self.registry.has_blob(self.reference, digest, self.access):
            return Transfer(descriptor, "there")
        if of_base and self.origin and self.registry.mount_blob(self.reference, digest, self.origin, self.access):
            return Transfer(descriptor, "mounted")
        self.progress(f"copying {digest[:19]} ({descriptor.size / (1 << 20):.1f} MiB) to {self.reference}")
        with _temporary(self.scratch) as file:
            with _report_unwritable(self.scratch):
                write(file)
                file.flush()
            self.registry.push_file(self.reference, descriptor, file, self.access)
        return Transfer(descriptor, "copied")


@dataclass(frozen=True, slots=True)
class LayoutTarget:
    """A name in an OCI image layout."""

    writer: LayoutWriter
    name: str

    def current(self) -> Descriptor | None:
        """Look the name up in the layout's index."""
        return self.writer.named(self.name)

    def publish(self, image: ServerImage, base: BaseStore) -> list[Transfer]:
        """Write the blobs, then the name."""
        wanted: list[tuple[Descriptor, Write]] = [(one, partial(base.copy, one)) for one in image.base_layers]
        wanted += [(layer.descriptor, layer.write_to) for layer in image.layers]
        transfers = [
            Transfer(descriptor, "copied" if self.writer.take_blob(descriptor, write) else "there")
            for descriptor, write in wanted
        ]
        for one in image.platforms:
            self.writer.put_blob(one.config, IMAGE_CONFIG_TYPE)
            self.writer.put_blob(one.manifest, MANIFEST_TYPE)
        if image.index is not None:
            self.writer.put_blob(image.index, image.descriptor.media_type)
        self.writer.tag(self.name, image.descriptor)
        return transfers


@contextmanager
def _temporary(directory: Path) -> Iterator[BinaryIO]:
    """Yield an unnamed temporary file, which is removed even if the process is killed."""
    with _report_unwritable(directory):
        make_directory(directory, follow_last=True)
        file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed below
    with file:
        yield file


@contextmanager
def _report_unwritable(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ProblemsError.of(
            "unwritable-cache",
            f"cannot write a temporary copy of a layer to '{directory}': {error.strerror or error}",
            hint="choose another directory with --cache-dir",
        ) from error
