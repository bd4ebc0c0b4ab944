"""Packages whose image has not changed since an earlier run, which are not read again.

A package is known by the digest of its manifest, and by the signatures of the blobs that were verified. Whether it is
still the package of a reference is found out in every run, in the same order of sources.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kubocd_gen.files.directory import open_directory
from kubocd_gen.model.compilation import PackageOrigin
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.packages.source import PackageRequest, PackageSources
from kubocd_gen.state.signatures import is_settled, signature
from kubocd_gen.state.store import State

if TYPE_CHECKING:
    from kubocd_gen.packages.image import PackageImage

_BLOBS, _LAYERS = "blobs", "layers"


class KnownPackage(NamedTuple):
    """The digest of a package's manifest, and where the package is."""

    digest: str
    origin: PackageOrigin


class KnownPackages:
    """The packages in a state. `began` is when the run began to read packages, in nanoseconds since 1970."""

    def __init__(self, state: State, sources: PackageSources) -> None:
        self._state = state
        self._sources = sources
        self._began = time.time_ns()
        self._found: dict[PackageRequest, KnownPackage | None] = {}

    def find(self, request: PackageRequest) -> KnownPackage | None:
        """Return the package of a request if its blobs are unchanged; None if it has to be read."""
        if request not in self._found:
            self._found[request] = self._find(request)
        return self._found[request]

    def add(self, request: PackageRequest, package: KnownPackage) -> None:
        """Set the package of a request, whose blobs were read and verified in this run."""
        self._found[request] = package

    def note(self, request: PackageRequest, image: PackageImage) -> None:
        """Remember the blobs of a package that was read and verified in this run."""
        located = self._sources.located(request)
        if located is None or located.manifest.digest != image.manifest.digest:
            return
        paths = (located.path(image.manifest), located.path(image.layer))
        layer = image.layer
        for path in paths:
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError:
                return
            if is_settled(status, self._began):  # otherwise, it can have changed since it was read
                self._state.put(_BLOBS, str(path), signature(status))
        self._state.put(_LAYERS, image.digest, [layer.media_type, layer.digest, layer.size])
        self._found.pop(request, None)

    def _find(self, request: PackageRequest) -> KnownPackage | None:
        located = self._sources.located(request)
        if located is None:
            return None
        layer = self._state.get(_LAYERS, located.manifest.digest)
        if layer is None:
            return None
        descriptors = (located.manifest, Descriptor(*layer))
        if located.layer not in (None, descriptors[1]):
            return None
        if not all(self._is_unchanged(located.path(one), one) for one in descriptors):
            return None
        located.note_use(*descriptors)
        return KnownPackage(located.manifest.digest, located.origin)

    def _is_unchanged(self, path: Path, blob: Descriptor) -> bool:
        """Return whether a file is still the blob that was read: by its status, or else by its content.

        A new checkout has the same files with other times.
        """
        known = self._state.get(_BLOBS, str(path))
        try:
            status = os.stat(path)  # noqa: PTH116 - before the file is read, see `is_settled`
            if known is not None and known == signature(status):
                return True
            if status.st_size != blob.size or _digest(path, blob.size) != blob.digest:
                return False
        except OSError:
            return False
        if is_settled(status):
            self._state.put(_BLOBS, str(path), signature(status))
        return True


def _digest(path: Path, size: int) -> str:
    with open_directory(path.parent) as directory:
        return f"sha256:{hashlib.sha256(directory.read(path.name, size)).hexdigest()}"
