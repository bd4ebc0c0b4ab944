"""Writing OCI image layouts: blobs under their digests, and names in `index.json`.

A layout may be a project's vendor folder, read by others while it is written, kept in Git, and written by two commands
at a time: a file appears complete or not at all, and what other tools have put into the index stays there. It may have
come with a checkout, too: no symlink in it is followed, and nothing is removed but blobs.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from kubocd_gen.budget.limits import LIMITS, over_limit
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files import Directory, SymlinkError, hint_of, made_directory
from kubocd_gen.oci.descriptors import REF_NAME, Descriptor, parse_descriptor, parse_object, sha256
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.reference import Reference

_MARKER = b'{"imageLayoutVersion":"1.0.0"}'
# What the layout specification gives a folder; others in it (a README, a .gitattributes) are nobody's business.
_PARTS = ("oci-layout", "index.json", "blobs")
_BLOBS = "blobs/sha256"
_BLOB = re.compile(r"[0-9a-f]{64}")


class LayoutWriter:
    """An image layout folder that is made or extended; safe to use from several threads and processes.

    The folder is made by the first blob or name. `name` is how messages call it, by default its path. Every method
    raises ProblemsError: `bad-layout` where the folder is something else, `unwritable-layout` where it can't be
    written.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self._name = name or str(path)

    def put_blob(self, data: bytes, media_type: str) -> Descriptor:
        """The descriptor of `data`, once it lies in the layout under its digest.

        A blob that is there is read, and replaced where it is not what its name says: skopeo would leave it.
        """
        descriptor = Descriptor(media_type, sha256(data), len(data))
        with self._writing() as layout:
            if not _is_whole(layout, descriptor):
                self._make(layout)
                layout.write(_blob(descriptor), data, replace_symlink=True)
        return descriptor

    def take_blob(self, descriptor: Descriptor, fill: Callable[[BinaryIO], None]) -> bool:
        """Have the blob in the layout, which `fill` writes to a file, verified; whether that was needed."""
        with self._writing() as layout:
            if _is_whole(layout, descriptor):
                return False
            self._make(layout)
            with layout.replacing(_blob(descriptor), replace_symlink=True) as file:
                fill(file)
        return True

    def tagged(self, reference: Reference) -> Descriptor | None:
        """What the layout calls `reference`; None where it names none so, or is not there yet."""
        return OciLayout(self.path, self._name).resolve(reference) if self._is_there() else None

    def named(self, name: str) -> Descriptor | None:
        """What the layout calls so, an index of images, too; None where it has no such name, or is not there yet."""
        return OciLayout(self.path, self._name).find(name) if self._is_there() else None

    def tag(self, reference: Reference | str, descriptor: Descriptor, *, move: bool = True) -> bool:
        """Name a manifest that is in the layout; whether that changed anything.

        With `move` a name that stands for another manifest is moved to this one; without, it is the ProblemsError
        `tag-exists`. Entries of other names, and keys of the index that kcd-gen does not know, stay as they are.
        """
        with self._writing() as layout:
            self._make(layout)
            with layout.locked():
                index = self._index(layout)
                entries: list[Any] = index["manifests"]
                ours = [entry for entry in entries if _named(entry) == str(reference)]
                digests = {entry.get("digest") for entry in ours}
                if digests == {descriptor.digest} and len(ours) == 1:
                    return False
                if not move and digests - {descriptor.digest}:
                    raise ProblemsError(tag_exists(reference, self.describe(), min(map(str, digests)), descriptor))
                entry = _entry(reference, descriptor)
                place = entries.index(ours[0]) if ours else _place(entries, str(reference))
                rest = [one for one in entries[place:] if one not in ours]
                index["manifests"] = [*entries[:place], entry, *rest]
                layout.write("index.json", _text(index))
                return True

    def describe(self) -> str:
        """The layout, as messages call it."""
        return f"the layout {self._name}"

    def keep_only(self, names: Collection[str]) -> tuple[list[str], int]:
        """Take away every image of another name, and the blobs that no image needs: those names, and how many blobs.

        Images without a name, which other tools write, stay. Raises ProblemsError also where a manifest can't be read:
        what it needs is not known then, and nothing is taken away.
        """
        with self._writing() as layout, layout.locked():
            index = self._index(layout)
            kept = [entry for entry in index["manifests"] if _named(entry) is None or _named(entry) in names]
            gone = sorted({str(_named(entry)) for entry in index["manifests"] if entry not in kept})
            needed = _needed(kept, OciLayout(self.path, self._name), Position(f"{self._name}/index.json"))
            if gone:
                index["manifests"] = kept
                layout.write("index.json", _text(index))
            with layout.subdirectory(_BLOBS) as blobs:
                stale = [
                    one.name
                    for one in blobs.entries()
                    if one.is_file and _BLOB.fullmatch(one.name) and one.name not in needed
                ]
                for name in stale:
                    blobs.remove_file(name)
            return gone, len(stale)

    def _is_there(self) -> bool:
        return self.path.is_dir() and any((self.path / part).exists() for part in _PARTS)

    def _make(self, layout: Directory) -> None:
        marker = layout.status("oci-layout")
        if marker is not None:
            if stat.S_ISLNK(marker.st_mode):
                raise SymlinkError(str(layout.path / "oci-layout"))
            return
        present = {entry.name for entry in layout.entries()}
        if "blobs" not in present and any(not name.startswith(".") for name in present):
            raise ProblemsError(
                Problem(
                    "bad-layout",
                    f"{self._name} is a folder with other files, not an OCI image layout",
                    position=Position(self._name),
                    hint="name a new or empty folder, or one that kcd-gen or 'skopeo copy … oci:DIR:REF' has made",
                )
            )
        layout.make(_BLOBS)
        with layout.locked():
            if layout.status("index.json") is None:
                layout.write("index.json", _text({"schemaVersion": 2, "manifests": []}))
            layout.write("oci-layout", _MARKER)  # last: with it the folder is a layout

    def _index(self, layout: Directory) -> dict[str, Any]:
        position = Position(f"{self._name}/index.json")
        status = layout.status("index.json")
        if status is not None and stat.S_ISREG(status.st_mode) and status.st_size > LIMITS.manifest:
            size = status.st_size
            raise ProblemsError(
                over_limit(f"{position} is larger", "manifest", LIMITS.manifest, needed=size, position=position)
            )
        data = layout.read("index.json", LIMITS.manifest)
        index = parse_object(data, what="index.json", code="bad-layout", position=position)
        if not isinstance(index.get("manifests"), list):
            raise ProblemsError(Problem("bad-layout", "index.json has no list of manifests", position=position))
        return index

    @contextmanager
    def _writing(self) -> Iterator[Directory]:
        """The layout's folder, open; made if it is missing."""
        try:
            with made_directory(self.path) as layout:
                yield layout
        except SymlinkError as error:
            raise ProblemsError(
                Problem(
                    "bad-layout",
                    f"refusing to write to the layout {self._name} through a symlink",
                    position=Position(self._name),
                    hint=hint_of(error),
                )
            ) from error
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            raise ProblemsError(
                Problem(
                    "unwritable-layout", f"cannot write to the layout {self._name}: {error.strerror or error}{place}"
                )
            ) from error


def tag_exists(reference: Reference | str, where: str, digest: str, descriptor: Descriptor) -> Problem:
    """The error for a name that stands for something else already."""
    return Problem(
        "tag-exists",
        f"{reference} is in {where} already, as {digest}; this package is {descriptor.digest}",
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


def _blob(descriptor: Descriptor) -> str:
    return f"{_BLOBS}/{descriptor.hex}"


def _text(index: dict[str, Any]) -> bytes:
    return json.dumps(index, indent=2).encode() + b"\n"


def _is_whole(layout: Directory, descriptor: Descriptor) -> bool:
    """Is the blob a regular file with the content that its digest says?"""
    status = layout.status(_blob(descriptor))
    if status is None or not stat.S_ISREG(status.st_mode) or status.st_size != descriptor.size:
        return False
    with layout.open_file(_blob(descriptor)) as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == descriptor.digest
