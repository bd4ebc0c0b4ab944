"""Writing OCI image layouts: blobs under their digests, and names in `index.json`.

A layout may be a project's vendor folder, read by others while it is written, kept in Git, and written by two commands
at a time: a file appears complete or not at all, and what other tools have put into the index stays there.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from kubocd_gen.diagnostics import KcdError, Position
from kubocd_gen.files import locked_folder, write_whole
from kubocd_gen.limits import LIMITS, over_limit
from kubocd_gen.packages.layout import OciLayout
from kubocd_gen.packages.oci import REF_NAME, Descriptor, parse_descriptor, parse_object, sha256
from kubocd_gen.packages.reference import Reference

_MARKER = b'{"imageLayoutVersion":"1.0.0"}'
# What the layout specification gives a folder; others in it (a README, a .gitattributes) are nobody's business.
_PARTS = ("oci-layout", "index.json", "blobs")


class LayoutWriter:
    """An image layout folder that is made or extended; safe to use from several threads and processes.

    The folder is made by the first blob or name. `name` is how messages call it, by default its path. Every method
    raises KcdError: `bad-layout` where the folder is something else, `unwritable-layout` where it can't be written.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self._name = name or str(path)

    def put_blob(self, data: bytes, media_type: str) -> Descriptor:
        """The descriptor of `data`, once it lies in the layout under its digest.

        A blob that is there is read, and replaced where it is not what its name says: skopeo would leave it.
        """
        descriptor = Descriptor(media_type, sha256(data), len(data))
        target = self.path / "blobs" / "sha256" / descriptor.hex
        with self._writing():
            if not _holds(target, data):
                self._make()
                write_whole(target, data)
        return descriptor

    def take_blob(self, descriptor: Descriptor, fill: Callable[[BinaryIO], None]) -> bool:
        """Have the blob in the layout, which `fill` writes to a file, verified; whether that was needed."""
        target = self.path / "blobs" / "sha256" / descriptor.hex
        with self._writing():
            if _is_whole(target, descriptor):
                return False
            self._make()
            staged = target.with_name(f".kcd-gen-{uuid4().hex}")
            try:
                with staged.open("xb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                staged.replace(target)
            finally:
                staged.unlink(missing_ok=True)
        return True

    def tagged(self, reference: Reference) -> Descriptor | None:
        """What the layout calls `reference`; None where it names none so, or is not there yet."""
        return OciLayout(self.path, self._name).resolve(reference) if self._is_there() else None

    def named(self, name: str) -> Descriptor | None:
        """What the layout calls so, an index of images, too; None where it has no such name, or is not there yet."""
        return OciLayout(self.path, self._name).find(name) if self._is_there() else None

    def tag(self, reference: Reference | str, descriptor: Descriptor, *, move: bool = True) -> bool:
        """Name a manifest that is in the layout; whether that changed anything.

        With `move` a name that stands for another manifest is moved to this one; without, it is the KcdError
        `tag-exists`. Entries of other names, and keys of the index that kcd-gen does not know, stay as they are.
        """
        with self._writing():
            self._make()
            with locked_folder(self.path):
                index = self._index()
                entries: list[Any] = index["manifests"]
                ours = [entry for entry in entries if _named(entry) == str(reference)]
                digests = {entry.get("digest") for entry in ours}
                if digests == {descriptor.digest} and len(ours) == 1:
                    return False
                if not move and digests - {descriptor.digest}:
                    raise tag_exists(reference, self.describe(), min(map(str, digests)), descriptor)
                entry = _entry(reference, descriptor)
                place = entries.index(ours[0]) if ours else _place(entries, str(reference))
                rest = [one for one in entries[place:] if one not in ours]
                index["manifests"] = [*entries[:place], entry, *rest]
                write_whole(self.path / "index.json", json.dumps(index, indent=2).encode() + b"\n")
                return True

    def describe(self) -> str:
        """The layout, as messages call it."""
        return f"the layout {self._name}"

    def keep_only(self, names: Collection[str]) -> tuple[list[str], int]:
        """Take away every image of another name, and the blobs that no image needs: those names, and how many blobs.

        Images without a name, which other tools write, stay. Raises KcdError also where a manifest can't be read: what
        it needs is not known then, and nothing is taken away.
        """
        with self._writing(), locked_folder(self.path):
            index = self._index()
            kept = [entry for entry in index["manifests"] if _named(entry) is None or _named(entry) in names]
            gone = sorted({str(_named(entry)) for entry in index["manifests"] if entry not in kept})
            needed = _needed(kept, OciLayout(self.path, self._name), Position(f"{self._name}/index.json"))
            if gone:
                index["manifests"] = kept
                write_whole(self.path / "index.json", json.dumps(index, indent=2).encode() + b"\n")
            stale = [path for path in (self.path / "blobs" / "sha256").iterdir() if path.name not in needed]
            for path in stale:
                path.unlink()
            return gone, len(stale)

    def _is_there(self) -> bool:
        return self.path.is_dir() and any((self.path / part).exists() for part in _PARTS)

    def _make(self) -> None:
        marker = self.path / "oci-layout"
        if marker.exists():
            return
        present = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        if "blobs" not in present and any(not name.startswith(".") for name in present):
            raise KcdError(
                f"{self._name} is a folder with other files, not an OCI image layout",
                code="bad-layout",
                position=Position(self._name),
                hint="name a new or empty folder, or one that kcd-gen or 'skopeo copy … oci:DIR:REF' has made",
            )
        (self.path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        with locked_folder(self.path):
            if not (self.path / "index.json").exists():
                empty = {"schemaVersion": 2, "manifests": []}
                write_whole(self.path / "index.json", json.dumps(empty, indent=2).encode() + b"\n")
            write_whole(marker, _MARKER)  # last: with it the folder is a layout

    def _index(self) -> dict[str, Any]:
        position = Position(f"{self._name}/index.json")
        path = self.path / "index.json"
        if (size := path.stat().st_size) > LIMITS.manifest:
            raise over_limit(f"{position} is larger", "manifest", LIMITS.manifest, needed=size, position=position)
        index = parse_object(path.read_bytes(), what="index.json", code="bad-layout", position=position)
        if not isinstance(index.get("manifests"), list):
            raise KcdError("index.json has no list of manifests", code="bad-layout", position=position)
        return index

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            raise KcdError(
                f"cannot write to the layout {self._name}: {error.strerror or error}{place}", code="unwritable-layout"
            ) from error


def tag_exists(reference: Reference | str, where: str, digest: str, descriptor: Descriptor) -> KcdError:
    """The error for a name that stands for something else already."""
    return KcdError(
        f"{reference} is in {where} already, as {digest}; this package is {descriptor.digest}",
        code="tag-exists",
        hint="raise the tag in the manifest, or move the tag with --force; locks then no longer agree with it",
    )


def _needed(entries: list[Any], layout: OciLayout, position: Position) -> set[str]:
    """The digests, in hexadecimal, of all blobs that the images of `entries` are made of."""
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        what = f"an entry of {position}"
        descriptor = parse_descriptor(waiting.pop(), what=what, code="bad-layout", position=position)
        if descriptor.is_manifest and descriptor.hex not in found:
            place = layout.position(descriptor)
            data = layout.read_blob(descriptor, limit=LIMITS.manifest)
            manifest = parse_object(data, what=str(place), code="bad-layout", position=place)
            waiting += [manifest["config"]] if "config" in manifest else []
            waiting += [part for key in ("layers", "manifests") for part in manifest.get(key) or ()]
        found.add(descriptor.hex)
    return found


def _entry(reference: Reference | str, descriptor: Descriptor) -> dict[str, Any]:
    return {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
        "annotations": {REF_NAME: str(reference)},
    }


def _named(entry: Any) -> str | None:
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _place(entries: list[Any], name: str) -> int:
    """Where a new name goes so that a sorted index stays sorted, whoever comes first."""
    return next((at for at, entry in enumerate(entries) if (_named(entry) or "") > name), len(entries))


def _holds(path: Path, data: bytes) -> bool:
    """Is `path` a regular file with just these bytes?"""
    try:
        status = path.lstat()
        return stat.S_ISREG(status.st_mode) and status.st_size == len(data) and path.read_bytes() == data
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_whole(path: Path, descriptor: Descriptor) -> bool:
    """Is `path` a regular file with the content that its digest says?"""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != descriptor.size:
            return False
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == descriptor.digest
    except (FileNotFoundError, NotADirectoryError):
        return False
