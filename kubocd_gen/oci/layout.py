"""OCI image layouts: packages in a folder, as `skopeo copy docker://REF oci:DIR:REF` writes them.

The format is that of the OCI image specification: `oci-layout`, `index.json`, `blobs/sha256/<digest>`. A layout may
come out of Git or a download, so nothing in it is believed before its digest is checked, and no path is taken from it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from kubocd_gen.budget.limits import LIMITS, Limits, over_limit
from kubocd_gen.checkout.files import CheckoutFiles, NotRegularError
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.oci.descriptors import (
    DOCKER_LIST_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    REF_NAME,
    Descriptor,
    check_schema_version,
    parse_descriptor,
    parse_object,
    sha256,
)
from kubocd_gen.oci.reference import Reference

# BuildKit lists its attestations beside the images that they are about.
_ATTESTATION = "vnd.docker.reference.type"
_CHUNK = 1 << 20
_VENDOR = "vendor the package again, with 'kcd-gen vendor' or 'skopeo copy'"


class OciLayout:
    """An image layout folder, opened at the first question and read once; safe to ask from several threads.

    `name` is how messages and positions call the folder, by default its path as it is given; `limits` are for what
    the layout reads for itself. Only `files` are read; by default the command line names the folder.
    """

    def __init__(
        self, path: Path, name: str | None = None, limits: Limits = LIMITS, files: CheckoutFiles | None = None
    ) -> None:
        self._folder = path
        self._limits = limits
        self._files = files or CheckoutFiles.of_named(path)
        self.path = Path(name or path)
        self._index: list[object] | None = None  # its entries, not yet parsed
        self._named: dict[str, list[object]] | None = None  # those with a reference name

    def references(self) -> tuple[str, ...]:
        """The names that the layout gives its images, sorted."""
        return tuple(sorted(self._images()))

    def resolve(self, reference: Reference) -> Descriptor | None:
        """The manifest that the layout names `reference`, None if it names none so.

        An image index stands for the one manifest that it holds. Raises ProblemsError: `bad-layout` where the layout is
        not as the specification says, `ambiguous-package` where the name stands for two images.
        """
        descriptor = self.find(str(reference))
        return None if descriptor is None else self._only_manifest(reference, descriptor)

    def find(self, name: str | None) -> Descriptor | None:
        """What the layout calls `name`, an index too, or the only one that it holds where `name` is None.

        Raises ProblemsError: `bad-layout`, and `ambiguous-package` where that is not one.
        """
        position = self._at("index.json")
        entries = self._entries() if name is None else self._images().get(name, [])
        what = self.path if name is None else name
        found = {descriptor.digest: descriptor for descriptor in _descriptors(entries, f"entry {what}", position)}
        if len(found) > 1:
            names = ", ".join(self.references())
            raise ProblemsError(
                Problem(
                    "ambiguous-package",
                    f"{what} stands for {len(found)} images: {', '.join(sorted(found))}",
                    position=position,
                    hint="remove the entries of index.json that are out of date"
                    if name or not names
                    else f"name one of them behind a colon: {names}",
                )
            )
        return next(iter(found.values()), None)

    def read_blob(self, descriptor: Descriptor, *, limit: int = LIMITS.layer) -> bytes:
        """The blob's bytes, verified.

        Raises ProblemsError: `corrupt-blob` where the file is missing or not what `descriptor` says, `package-limit`
        where it is over `limit` bytes, `bad-layout` where it is no regular file.
        """
        position = self.position(descriptor)
        name = "manifest" if descriptor.is_manifest else "layer"
        if descriptor.size > limit:
            what = f"blob {descriptor.digest} is larger"
            raise ProblemsError(over_limit(what, name, limit, needed=descriptor.size, position=position))
        data = self._read_regular(self._folder / _blob(descriptor), name, limit)
        if data is None:
            raise ProblemsError(Problem("corrupt-blob", "the blob is missing", position=position, hint=_VENDOR))
        if (actual := sha256(data)) != descriptor.digest:
            raise ProblemsError(
                Problem(
                    "corrupt-blob",
                    f"the blob has the digest {actual}, not the one that it is named by",
                    position=position,
                    # skopeo does not write a blob whose file is there already, so it would repair nothing.
                    hint=f"delete the file, then {_VENDOR}",
                )
            )
        if len(data) != descriptor.size:
            raise ProblemsError(
                Problem(
                    "corrupt-blob",
                    f"the blob is {len(data)} bytes long; its descriptor says {descriptor.size}",
                    position=position,
                    hint=_VENDOR,
                )
            )
        return data

    def copy_blob(self, descriptor: Descriptor, file: BinaryIO) -> None:
        """Write the blob to `file`, verified, a part at a time.

        Raises ProblemsError, and OSError where `file` can't be.
        """
        position = self.position(descriptor)
        digest, length = hashlib.sha256(), 0
        try:
            source = self._files.open(self._folder / _blob(descriptor), str(position.path))
        except NotRegularError:
            raise ProblemsError(Problem("bad-layout", "the blob is not a regular file", position=position)) from None
        except OSError as error:
            raise ProblemsError(
                Problem("corrupt-blob", f"the blob can't be read: {error.strerror}", position=position)
            ) from None
        with source:
            while length <= descriptor.size and (chunk := source.read(_CHUNK)):
                digest.update(chunk)
                length += len(chunk)
                file.write(chunk)
        if length != descriptor.size or f"sha256:{digest.hexdigest()}" != descriptor.digest:
            raise ProblemsError(
                Problem("corrupt-blob", "the blob is not what its digest and size say", position=position)
            )

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a file of that digest is there, whatever it holds."""
        return (self._folder / _blob(descriptor)).is_file()

    def position(self, descriptor: Descriptor) -> Position:
        """The blob's file, for messages."""
        return self._at(_blob(descriptor))

    def _images(self) -> dict[str, list[object]]:
        if self._named is None:
            named: dict[str, list[object]] = {}
            for entry in self._entries():
                # An entry without a name, or not of the right form, is in nobody's way until somebody asks for it.
                annotations = entry.get("annotations") if isinstance(entry, dict) else None
                name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
                if isinstance(name, str):
                    named.setdefault(name, []).append(entry)
            self._named = named
        return self._named

    def _entries(self) -> list[object]:
        if self._index is None:
            self._index = self._read_index()
        return self._index

    def _read_index(self) -> list[object]:
        marker = self._read_json("oci-layout")
        if not str(marker.get("imageLayoutVersion")).startswith("1."):
            raise ProblemsError(
                Problem(
                    "bad-layout",
                    f"{self.path} is an image layout of an unknown version",
                    position=self._at("oci-layout"),
                    hint='kcd-gen reads {"imageLayoutVersion": "1.0.0"}',
                )
            )
        index, position = self._read_json("index.json"), self._at("index.json")
        return _manifests(index, "index.json", position)

    def _only_manifest(self, reference: Reference, descriptor: Descriptor) -> Descriptor:
        if descriptor.media_type not in (INDEX_TYPE, DOCKER_LIST_TYPE):
            return descriptor
        position = self.position(descriptor)
        what = f"the image index of {reference}"
        index = parse_object(
            self.read_blob(descriptor, limit=self._limits.manifest), what=what, code="bad-layout", position=position
        )
        usable = [
            inner
            for inner in _descriptors(_manifests(index, what, position), f"an entry of {what}", position)
            if inner.media_type == MANIFEST_TYPE and _ATTESTATION not in inner.annotations
        ]
        if len(usable) != 1:
            raise ProblemsError(
                Problem(
                    "bad-layout",
                    f"{what} holds {len(usable)} image manifests; a KuboCD package is exactly one",
                    position=position,
                )
            )
        return usable[0]

    def _read_json(self, name: str) -> dict[str, object]:
        position = self._at(name)
        data = self._read_regular(self._folder / name, "manifest", self._limits.manifest)
        if data is None:
            raise ProblemsError(
                Problem(
                    "bad-layout",
                    f"{self.path} is not an OCI image layout: it has no {name}",
                    position=position,
                    hint="'skopeo copy docker://REF oci:DIR:REF' and 'kcd-gen vendor' make one",
                )
            )
        return parse_object(data, what=name, code="bad-layout", position=position)

    def _read_regular(self, path: Path, name: str, limit: int) -> bytes | None:
        """The bytes of a regular file, or of one that a symbolic link leads to; None where there is no file.

        Raises ProblemsError: `package-limit` where it is over `limit` bytes, the limit called `name`; `bad-layout`;
        `outside-checkout`.
        """

        def bad(what: str) -> Problem:
            return Problem("bad-layout", f"{path} {what}", position=Position(str(path)))

        try:
            with self._files.open(path, str(path)) as file:
                size = os.fstat(file.fileno()).st_size
                if size > limit:
                    raise ProblemsError(
                        over_limit(f"{path} is larger", name, limit, needed=size, position=Position(str(path)))
                    )
                return file.read(size)  # and no more, though the file may be growing
        except NotRegularError:
            raise ProblemsError(bad("is not a regular file")) from None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ProblemsError(bad(f"cannot be read: {error.strerror}")) from None

    def _at(self, name: str) -> Position:
        return Position(str(self.path / name))


def _blob(descriptor: Descriptor) -> str:
    return f"blobs/sha256/{descriptor.hex}"


def _manifests(index: dict[str, object], what: str, position: Position) -> list[object]:
    if "schemaVersion" in index:  # some writers leave it out of an index, and nothing else can be meant then
        check_schema_version(index, what=what, code="bad-layout", position=position)
    manifests = index.get("manifests")
    if not isinstance(manifests, list):
        raise ProblemsError(Problem("bad-layout", f"{what} has no list of manifests", position=position))
    return manifests


def _descriptors(entries: list[object], what: str, position: Position) -> list[Descriptor]:
    return [parse_descriptor(entry, what=what, code="bad-layout", position=position) for entry in entries]
