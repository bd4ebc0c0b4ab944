"""Write OCI image layouts: blobs by digest, and names in `index.json`.

A layout can be a project's vendor directory, kept in Git, and read and written by several processes at the same time.
Files are therefore replaced atomically, and entries of other tools are kept. Because the layout can be in an untrusted
checkout, no symlink in it is followed, and only blobs are deleted.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from kubocd_gen.budget.limits import LIMITS, over_limit
from kubocd_gen.checkout.conflicts import both_sides, conflict_line
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.directory import Directory, made_directory
from kubocd_gen.files.paths import display_path, hint_of, name_below, shown_path
from kubocd_gen.files.walk import SymlinkError
from kubocd_gen.oci.descriptors import INDEX, REF_NAME, Descriptor, JsonSource, sha256
from kubocd_gen.oci.layout import OciLayout, blob_path, reference_name
from kubocd_gen.oci.reference import Reference

_MARKER = b'{"imageLayoutVersion":"1.0.0"}'
# The files of the layout specification. Other files in the directory, such as a README, are ignored.
_PARTS = ("oci-layout", "index.json", "blobs")
_BLOBS = "blobs/sha256"
_BLOB = re.compile(r"[0-9a-f]{64}")


class LayoutWriter:
    """An image layout directory to create or extend; safe to use from several threads and processes.

    The directory is created with the first blob or name. Messages call it `name` (default: `path`). All methods raise
    ProblemsError: `bad-layout` if the directory is not a layout, `unwritable-layout` if it can't be written.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self._name = name or display_path(path, Path.cwd())

    def put_blob(self, data: bytes, media_type: str) -> Descriptor:
        """Store `data` as a blob and return its descriptor.

        An existing blob is verified, and replaced if it is damaged.
        """
        descriptor = Descriptor(media_type, sha256(data), len(data))
        with self._writing() as layout:
            if not _is_whole(layout, descriptor):
                self._make(layout)
                layout.write(blob_path(descriptor), data, replace_symlink=True)
        return descriptor

    def take_blob(self, descriptor: Descriptor, fill: Callable[[BinaryIO], None]) -> bool:
        """Store a blob unless it exists; `fill` writes it to a file and verifies it. Return whether it was written."""
        with self._writing() as layout:
            if _is_whole(layout, descriptor):
                return False
            self._make(layout)
            with layout.replacing(blob_path(descriptor), replace_symlink=True) as file:
                fill(file)
        return True

    def tagged(self, reference: Reference) -> Descriptor | None:
        """Return the manifest with the name `reference`, or None; also None if the layout does not exist."""
        return OciLayout(self.path, self._name).resolve(reference) if self._is_there() else None

    def named(self, name: str) -> Descriptor | None:
        """Return the manifest or image index called `name`, or None; also None if the layout does not exist."""
        return OciLayout(self.path, self._name).find(name) if self._is_there() else None

    def tag(self, reference: Reference | str, descriptor: Descriptor, *, move: bool = True) -> bool:
        """Add a name for a manifest in the layout; return whether the index changed.

        With `move`, a name of another manifest is moved to this one; without it, ProblemsError `tag-exists` is raised.
        Other entries, and unknown keys of the index, are kept.
        """
        with self._writing() as layout:
            self._make(layout)
            with layout.locked():
                index = self._index(layout)
                entries: list[Any] = index["manifests"]
                ours = [entry for entry in entries if reference_name(entry) == str(reference)]
                digests = {str(entry.get("digest")) for entry in ours}
                if digests == {descriptor.digest} and len(ours) == 1:
                    return False
                if not move and digests - {descriptor.digest}:
                    raise ProblemsError(
                        tag_exists(reference, self.describe(), min(digests - {descriptor.digest}), descriptor)
                    )
                entry = {
                    "mediaType": descriptor.media_type,
                    "digest": descriptor.digest,
                    "size": descriptor.size,
                    "annotations": {REF_NAME: str(reference)},
                }
                later = (at for at, one in enumerate(entries) if (reference_name(one) or "") > str(reference))
                at = entries.index(ours[0]) if ours else next(later, len(entries))  # keeps a sorted index sorted
                rest = [one for one in entries[at:] if one not in ours]
                index["manifests"] = [*entries[:at], entry, *rest]
                layout.write("index.json", _text(index))
                return True

    def describe(self) -> str:
        """Return the layout's name for messages."""
        return f"the layout {shown_path(self._name)}"

    def resolve_conflict(self, names: Collection[str]) -> bool:
        """Replace an index with Git's conflict markers; return whether it had any.

        The new index has the entries of both sides whose blobs exist, except those of the images `names`, which the
        caller tags again.
        """
        if not self._is_there():
            return False
        with self._writing() as layout, layout.locked():
            status = layout.status(INDEX)
            if status is None or not stat.S_ISREG(status.st_mode) or status.st_size > LIMITS.manifest:
                return False
            text = layout.read(INDEX, LIMITS.manifest).decode("utf-8", "replace")
            if conflict_line(text) is None:
                return False
            entries: dict[str, Any] = {}
            for side in both_sides(text):
                with suppress(ProblemsError):
                    found = self._source().read(side.encode()).get("manifests")
                    entries |= {json.dumps(one): one for one in found} if isinstance(found, list) else {}
            kept = [one for one in entries.values() if reference_name(one) not in names and self._has(one, layout)]
            kept.sort(key=lambda one: reference_name(one) or "")
            layout.write(INDEX, _text({"schemaVersion": 2, "manifests": kept}))
            return True

    def _has(self, entry: Any, layout: Directory) -> bool:
        """Return whether the blob of an entry of the index exists."""
        try:
            descriptor = self._source().descriptor(entry, "an entry")
        except ProblemsError:
            return False
        return _is_whole(layout, descriptor)

    def _source(self) -> JsonSource:
        return JsonSource(INDEX, "bad-layout", Position(f"{self._name}/{INDEX}"))

    def keep_only(
        self, names: Collection[str], confirm: Callable[[list[str]], None] = lambda _: None
    ) -> tuple[list[str], int]:
        """Remove all other named images, and unused blobs; return the removed names and the number of removed blobs.

        `confirm` is called with the names of all images before anything changes, and can raise ProblemsError.
        Images without a name, which other tools write, are kept. If a manifest can't be read, its blobs are unknown:
        then nothing is removed, and ProblemsError is raised.
        """
        with self._writing() as layout, layout.locked():
            index = self._index(layout)
            named = [(reference_name(entry), entry) for entry in index["manifests"]]
            confirm([name for name, _ in named if name is not None])
            kept = [entry for name, entry in named if name is None or name in names]
            gone = sorted({name for name, _ in named if name is not None and name not in names})
            needed = _needed(kept, OciLayout(self.path, self._name), Position(name_below(self._name, "index.json")))
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
            raise ProblemsError.of(
                "bad-layout",
                f"'{shown_path(self._name)}' contains other files and is not an OCI image layout",
                position=Position(self._name),
                hint="choose a new or empty directory, or an existing image layout",
            )
        layout.make(_BLOBS)
        with layout.locked():
            if layout.status("index.json") is None:
                layout.write("index.json", _text({"schemaVersion": 2, "manifests": []}))
            layout.write("oci-layout", _MARKER)  # last, because it makes the directory a layout

    def _index(self, layout: Directory) -> dict[str, Any]:
        source = self._source()
        position = Position(name_below(self._name, INDEX))
        status, most = layout.status("index.json"), LIMITS.manifest
        if status is not None and stat.S_ISREG(status.st_mode) and (size := status.st_size) > most:
            what = f"{position} is larger"
            raise ProblemsError(over_limit(what, "manifest", most, needed=size, position=position))
        index = source.read(layout.read("index.json", most))
        if not isinstance(index.get("manifests"), list):
            raise source.error("has no list of manifests")
        return index

    @contextmanager
    def _writing(self) -> Iterator[Directory]:
        """Open the layout's directory, which is created if it is missing. Raises ProblemsError for OSError."""
        try:
            with made_directory(self.path) as layout:
                yield layout
        except SymlinkError as error:
            raise ProblemsError.of(
                "bad-layout",
                f"refusing to write to the layout {shown_path(self._name)} through a symlink",
                position=Position(self._name),
                hint=hint_of(error),
            ) from error
        except OSError as error:
            file = f" ({shown_path(Path(error.filename))})" if error.filename else ""
            raise ProblemsError.of(
                "unwritable-layout",
                f"cannot write to the layout {shown_path(self._name)}: {error.strerror or error}{file}",
            ) from error


def tag_exists(reference: Reference | str, where: str, digest: str, descriptor: Descriptor) -> Problem:
    """Return the error for a name that another manifest has already."""
    return Problem(
        "tag-exists",
        f"{reference} already exists in {where} with the digest {digest}; this package has {descriptor.digest}",
        hint="change the tag in the manifest, or move the tag with --force, which invalidates existing lock files",
    )


def _needed(entries: list[Any], layout: OciLayout, position: Position) -> set[str]:
    """Return the hexadecimal digests of all blobs of the images in `entries`. Raises ProblemsError."""
    found: set[str] = set()
    waiting = list(entries)
    index = JsonSource(str(position), "bad-layout", position)
    while waiting:
        descriptor = index.descriptor(waiting.pop(), f"an entry of {position}")
        if descriptor.is_manifest and descriptor.hex not in found:
            file = layout.position(descriptor)
            source = JsonSource(str(file), "bad-layout", file)
            manifest = source.read(layout.read_blob(descriptor, limit=LIMITS.manifest))
            waiting += [manifest["config"]] if "config" in manifest else []
            for key in ("layers", "manifests"):
                if not isinstance(parts := manifest.get(key) or [], list):
                    raise source.error(f"has '{key}' that are not a list")
                waiting += parts
        found.add(descriptor.hex)
    return found


def _text(index: dict[str, Any]) -> bytes:
    return json.dumps(index, indent=2).encode() + b"\n"


def _is_whole(layout: Directory, descriptor: Descriptor) -> bool:
    """Return whether the blob is a regular file whose content matches its digest."""
    status = layout.status(blob_path(descriptor))
    if status is None or not stat.S_ISREG(status.st_mode) or status.st_size != descriptor.size:
        return False
    with layout.open_file(blob_path(descriptor)) as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == descriptor.digest
