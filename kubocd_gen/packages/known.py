"""Packages whose image has not changed since an earlier run, which are not read again.

A package is known by the descriptor of its manifest, and by the real paths and signatures of the blobs that were
verified. Whether it is still the package of a reference is found out in every run, in the same order of sources.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kubocd_gen.files.directory import open_directory
from kubocd_gen.model.compilation import PackageOrigin
from kubocd_gen.oci.descriptors import Descriptor
from kubocd_gen.packages.source import PackageRequest, PackageSources
from kubocd_gen.state.signatures import RealPaths, is_settled, signature
from kubocd_gen.state.store import State

if TYPE_CHECKING:
    from kubocd_gen.packages.image import PackageImage

_BLOBS, _LAYERS = "blobs", "layers"


class KnownPackage(NamedTuple):
    """The digest of a package's manifest, and where the package is."""

    digest: str
    origin: PackageOrigin


class KnownPackages:
    """The packages in a state."""

    def __init__(self, state: State, sources: PackageSources) -> None:
        self._state = state
        self._sources = sources
        self._places = RealPaths()
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
        if located is None or _described(located.manifest) != _described(image.manifest):
            return
        paths = (located.path(image.manifest), located.path(image.layer))
        for path in paths:
            try:
                status, real = self._places.status(str(path))
            except OSError:
                return
            if is_settled(status, self._sources.began):  # otherwise, it can have changed since it was read
                self._state.put(_BLOBS, str(path), f"{signature(status)} {real}")
        self._state.put(_LAYERS, image.digest, [_described(image.manifest), _described(image.layer)])
        self._found.pop(request, None)

    def _find(self, request: PackageRequest) -> KnownPackage | None:
        located = self._sources.located(request)
        if located is None:
            return None
        known = self._state.get(_LAYERS, located.manifest.digest)
        if known is None or known[0] != _described(located.manifest):
            return None
        descriptors = (located.manifest, Descriptor(*known[1]))
        if located.layer is not None and _described(located.layer) != known[1]:
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
            status, real = self._places.status(str(path))
            described = f"{signature(status)} {real}"
            if known == described:
                return True
            # A symlink above the file can lead out of the checkout, which only reading the package finds out.
            if real not in (str(path.absolute()), str(known).partition(" ")[2]):
                return False
            if status.st_size != blob.size or _digest(path, blob.size) != blob.digest:
                return False
        except OSError:
            return False
        if is_settled(status):
            self._state.put(_BLOBS, str(path), described)
        return True


def _digest(path: Path, size: int) -> str:
    with open_directory(path.parent) as directory:
        return f"sha256:{hashlib.sha256(directory.read(path.name, size)).hexdigest()}"


def _described(one: Descriptor) -> list[str | int]:
    return [one.media_type, one.digest, one.size]
