"""Read OCI image layouts: packages in a directory, as `skopeo copy docker://REF oci:DIR:REF` writes them.

The format is defined by the OCI image specification: `oci-layout`, `index.json`, `blobs/sha256/<digest>`. A layout is
untrusted, so all blobs are verified by digest, and no path is taken from it.
"""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from kubocd_gen.budget.limits import LIMITS, Limits, over_limit
from kubocd_gen.checkout.files import CheckoutFiles, NotRegularError
from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.files.paths import display_path, name_below, shown_path
from kubocd_gen.git.lfs import parse_pointer
from kubocd_gen.oci.descriptors import (
    DOCKER_LIST_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    REF_NAME,
    Descriptor,
    JsonSource,
    sha256,
)
from kubocd_gen.oci.reference import Reference

# BuildKit adds attestations to an index next to the images.
_ATTESTATION = "vnd.docker.reference.type"
MARKER = "oci-layout"  # the file that makes a directory a layout
_CHUNK = 1 << 20
_POINTER = "is a Git LFS pointer without the file's content"
_PULL = "run 'git lfs pull'"
_VENDOR = "vendor the package again with 'kcd-gen vendor' or 'skopeo copy'"


class OciLayout:
    """An image layout directory, read once when it is used first; safe to use from several threads.

    Messages and positions call the directory `name` (default: `path`). `limits` apply to the layout's own JSON files.
    Only `files` are read; by default the directory counts as a command-line argument.
    """

    def __init__(
        self, path: Path, name: str | None = None, limits: Limits = LIMITS, files: CheckoutFiles | None = None
    ) -> None:
        self._directory = path
        self._limits = limits
        self._files = files or CheckoutFiles.of_named(path)
        self.name = name or display_path(path, Path.cwd())

    def references(self) -> tuple[str, ...]:
        """Return the names of the layout's images, sorted."""
        return tuple(sorted(self._images))

    def resolve(self, reference: Reference) -> Descriptor | None:
        """Return the manifest with the name `reference`, or None.

        If it is an image index, the only manifest in it is returned. Raises ProblemsError: `bad-layout` if the layout
        is not valid, `ambiguous-package` if several images have the name.
        """
        descriptor = self.find(str(reference))
        return None if descriptor is None else self._only_manifest(reference, descriptor)

    def find(self, name: str | None) -> Descriptor | None:
        """Return the manifest or index called `name`, or the only one in the layout if `name` is None; None if missing.

        Raises ProblemsError: `bad-layout`, and `ambiguous-package` if there are several.
        """
        source = self._json_source("index.json")
        entries = self._entries if name is None else self._images.get(name, [])
        what = shown_path(self.name) if name is None else name
        descriptors = [source.descriptor(entry, f"entry {what}") for entry in entries]
        found = {descriptor.digest: descriptor for descriptor in descriptors}
        if len(found) > 1:
            names = ", ".join(self.references())
            raise ProblemsError.of(
                "ambiguous-package",
                f"'{what}' matches {len(found)} images: {', '.join(sorted(found))}",
                position=source.position,
                hint="remove the outdated entries from index.json"
                if name or not names
                else f"append the name of an image after a colon: {names}",
            )
        return next(iter(found.values()), None)

    def read_blob(self, descriptor: Descriptor, *, limit: int = LIMITS.layer) -> bytes:
        """Return the blob with digest and size verified.

        Raises ProblemsError: `corrupt-blob` if the file is missing or does not match `descriptor`, `package-limit` if
        it exceeds `limit` bytes, `bad-layout` if it is not a regular file.
        """
        position = self.position(descriptor)
        name = "manifest" if descriptor.is_manifest else "layer"
        if descriptor.size > limit:
            what = f"blob {descriptor.digest} is larger"
            raise ProblemsError(over_limit(what, name, limit, needed=descriptor.size, position=position))
        data = self._read_regular(blob_path(descriptor), name, limit)
        if data is None:
            raise ProblemsError.of("corrupt-blob", "the blob is missing", position=position, hint=_VENDOR)
        if (actual := sha256(data)) != descriptor.digest:
            if parse_pointer(data):
                raise ProblemsError.of("corrupt-blob", f"the blob {_POINTER}", position=position, hint=_PULL)
            raise ProblemsError.of(
                "corrupt-blob",
                f"the content of the blob does not match its digest: it has {actual}",
                position=position,
                # skopeo does not overwrite existing blobs, so the file must be deleted first.
                hint=f"delete the file, then {_VENDOR}",
            )
        if len(data) != descriptor.size:
            raise ProblemsError.of(
                "corrupt-blob",
                f"the blob has {len(data)} bytes, but its descriptor has {descriptor.size}",
                position=position,
                hint=_VENDOR,
            )
        return data

    def copy_blob(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """Write the blob to `file` in parts, and verify it.

        Raises ProblemsError, and OSError if `file` can't be written.
        """
        position = self.position(descriptor)
        digest, length, start = hashlib.sha256(), 0, b""
        try:
            source = self._files.open(self._directory / blob_path(descriptor), position.path)
        except NotRegularError:
            raise ProblemsError.of("bad-layout", "the blob is not a regular file", position=position) from None
        except OSError as error:
            raise ProblemsError.of("corrupt-blob", f"cannot read the blob: {error.strerror}", position) from None
        with source:
            while length <= descriptor.size and (chunk := self._next_chunk(source, position)):
                digest.update(chunk)
                start = start or chunk
                length += len(chunk)
                file.write(chunk)
        if length != descriptor.size or f"sha256:{digest.hexdigest()}" != descriptor.digest:
            if parse_pointer(start):
                raise ProblemsError.of("corrupt-blob", f"the blob {_POINTER}", position=position, hint=_PULL)
            raise ProblemsError.of("corrupt-blob", "the blob does not match its digest and size", position=position)

    @staticmethod
    def _next_chunk(source: BinaryIO, position: Position) -> bytes:
        try:
            return source.read(_CHUNK)
        except OSError as error:
            raise ProblemsError.of("corrupt-blob", f"cannot read the blob: {error.strerror}", position) from None

    def has(self, descriptor: Descriptor) -> bool:
        """Return whether a file with that digest exists; its content is not verified."""
        return (self._directory / blob_path(descriptor)).is_file()

    def blob(self, descriptor: Descriptor) -> Path:
        """Return the path of a blob, which need not exist."""
        return self._directory / blob_path(descriptor)

    def position(self, descriptor: Descriptor) -> Position:
        """Return the blob's file, for messages."""
        return self._at(blob_path(descriptor))

    @cached_property
    def _images(self) -> dict[str, list[object]]:
        """The entries with a reference name. Others are ignored unless they are requested."""
        named: dict[str, list[object]] = {}
        for entry in self._entries:
            if (name := reference_name(entry)) is not None:
                named.setdefault(name, []).append(entry)
        return named

    @cached_property
    def _entries(self) -> list[object]:
        """The entries of the index, not yet parsed."""
        marker = self._read_json(MARKER)
        if not str(marker.get("imageLayoutVersion")).startswith("1."):
            raise ProblemsError.of(
                "bad-layout",
                f"the image layout '{shown_path(self.name)}' has an unsupported version",
                position=self._at(MARKER),
                hint='write a layout with {"imageLayoutVersion": "1.0.0"}',
            )
        return _manifests(self._read_json("index.json"), self._json_source("index.json"))

    def _only_manifest(self, reference: Reference, descriptor: Descriptor) -> Descriptor:
        if descriptor.media_type not in (INDEX_TYPE, DOCKER_LIST_TYPE):
            return descriptor
        source = JsonSource(f"the image index of {reference}", "bad-layout", self.position(descriptor))
        index = source.read(self.read_blob(descriptor, limit=self._limits.manifest))
        inner = [source.descriptor(entry, f"an entry of {source.what}") for entry in _manifests(index, source)]
        usable = [one for one in inner if one.media_type == MANIFEST_TYPE and _ATTESTATION not in one.annotations]
        if len(usable) != 1:
            raise source.error(f"contains {len(usable)} image manifests; a KuboCD package has exactly one")
        return usable[0]

    def _json_source(self, name: str) -> JsonSource:
        return JsonSource(name, "bad-layout", self._at(name))

    def _read_json(self, name: str) -> dict[str, object]:
        data = self._read_regular(name, "manifest", self._limits.manifest)
        if data is None:
            raise ProblemsError.of(
                "bad-layout",
                f"'{shown_path(self.name)}' is not an OCI image layout: it has no file '{name}'",
                position=self._at(name),
                hint="create one with 'kcd-gen vendor' or 'skopeo copy docker://REF oci:DIR:REF'",
            )
        if parse_pointer(data):
            raise ProblemsError.of("bad-layout", f"the file '{name}' {_POINTER}", position=self._at(name), hint=_PULL)
        return self._json_source(name).read(data)

    def _read_regular(self, name: str, limit_name: str, limit: int) -> bytes | None:
        """Return the content of a regular file of the layout, also through a symlink, or None if there is no file.

        Raises ProblemsError: `package-limit` if it exceeds `limit` bytes, the limit `limit_name`; `bad-layout`;
        `outside-checkout`.
        """
        at = self._at(name)
        try:
            with self._files.open(self._directory / name, at.path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > limit:
                    message = f"{shown_path(at.path)} is larger"
                    raise ProblemsError(over_limit(message, limit_name, limit, needed=size, position=at))
                return file.read(size)  # not more, even if the file is growing
        except NotRegularError:
            raise ProblemsError.of("bad-layout", f"'{shown_path(at.path)}' is not a regular file", at) from None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            message = f"cannot read '{shown_path(at.path)}': {error.strerror}"
            raise ProblemsError.of("bad-layout", message, at) from None

    def _at(self, name: str) -> Position:
        return Position(name_below(self.name, name))


def reference_name(entry: object) -> str | None:
    """Return the reference name of an index entry, or None if it has none or an invalid form."""
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def blob_path(descriptor: Descriptor) -> str:
    """Return the path of a blob in a layout."""
    return f"blobs/sha256/{descriptor.hex}"


def _manifests(index: dict[str, object], source: JsonSource) -> list[object]:
    if "schemaVersion" in index:  # some tools omit it in an index
        source.check_schema_version(index)
    manifests = index.get("manifests")
    if not isinstance(manifests, list):
        raise source.error("has no list of manifests")
    return manifests
