"""Layers of container images: tars whose bytes follow from the files in them alone.

They are not compressed. Charts are already, and zlib's many relatives do not agree on bytes; a Python's `tarfile` does
not agree with the next one's, either, so that the headers are written here (POSIX.1-1988 ustar, with a POSIX.1-2001
record for names that ustar has no place for).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from kubocd_gen.archives.reproducible import NO_TIME
from kubocd_gen.oci.descriptors import LAYER_TYPE, Descriptor

FILE_MODE = 0o444
EARLIEST, LATEST = NO_TIME, 1577836800  # 1980-01-01 and 2020-01-01
_BLOCK = 512
_LONGEST_NAME = 100  # bytes
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_FILE, _LINK, _FOLDER, _EXTENDED = b"0", b"1", b"5", b"x"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer, in pieces that are the files themselves: nothing is held twice. Its digest is its diff ID, too."""

    descriptor: Descriptor
    pieces: tuple[bytes, ...] = field(repr=False)

    def write_to(self, file: BinaryIO) -> None:
        """The layer's bytes. Raises OSError."""
        file.writelines(self.pieces)


def make_layer(files: Mapping[str, bytes], folders: Mapping[str, int]) -> Layer:
    """The layer with `files`, by their path from the root without the first slash, and `folders` with their modes.

    A folder that is not among `folders` gets no entry: one would override what the base says about it. All belongs to
    root. Of several files with the same bytes the first is in the layer and the others are hard links to it.
    """
    pieces: list[bytes] = []
    first: dict[bytes, str] = {}
    for path in sorted({*files, *folders}):
        if path in folders:
            pieces.append(_entry(f"{path}/", folders[path], _FOLDER, NO_TIME))
            continue
        data = files[path]
        same = first.setdefault(hashlib.sha256(data).digest(), path)
        if same != path:
            pieces.append(_entry(path, FILE_MODE, _LINK, file_time(data), link=same))
            continue
        pieces += (_entry(path, FILE_MODE, _FILE, file_time(data), size=len(data)), data, bytes(-len(data) % _BLOCK))
    pieces.append(bytes(2 * _BLOCK))
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    size = sum(map(len, pieces))
    return Layer(Descriptor(LAYER_TYPE, f"sha256:{digest.hexdigest()}", size), tuple(pieces))


def file_time(data: bytes) -> int:
    """The time of a file in a layer, in seconds since 1970: a moment between 1980 and 2020 drawn from its content.

    nginx makes ETag and Last-Modified of time and size. Were the time the same for all, an index.yaml that changes
    without changing its length would keep both, and who has the old one would never get the new. Drawn from the
    content, they change when it does and not otherwise: one change in a thousand million goes unseen.
    """
    return EARLIEST + int.from_bytes(hashlib.sha256(data).digest()[:8]) % (LATEST - EARLIEST)


def _entry(name: str, mode: int, kind: bytes, time: int, *, size: int = 0, link: str = "") -> bytes:
    """A member's header, preceded by that of its long names where it has any."""
    named = (("path", name.encode()), ("linkpath", link.encode()))
    records = b"".join(_record(key, value) for key, value in named if len(value) > _LONGEST_NAME)
    before = b""
    if records:
        head = _header(b"pax", FILE_MODE, _EXTENDED, NO_TIME, len(records), b"")
        before = head + records + bytes(-len(records) % _BLOCK)
    return before + _header(name.encode(), mode, kind, time, size, link.encode())


def _record(key: str, value: bytes) -> bytes:
    """`<length> <key>=<value>\\n`, where the length counts itself."""
    rest = b" %s=%s\n" % (key.encode(), value)
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d%s" % (length, rest)


def _header(name: bytes, mode: int, kind: bytes, time: int, size: int, link: bytes) -> bytes:
    fields = (
        name[:_LONGEST_NAME],
        b"%07o" % mode,
        b"%07o" % 0,  # owner
        b"%07o" % 0,  # group
        b"%011o" % size,
        b"%011o" % time,
        b" " * 8,  # the sum of all bytes is counted with blanks in its place
        kind,
        link[:_LONGEST_NAME],
        b"ustar",
        b"00",
        b"",
        b"",
        b"%07o" % 0,
        b"%07o" % 0,
        b"",
    )
    checksum = b"%06o\0 " % sum(_HEADER.pack(*fields))
    return _HEADER.pack(*fields[:6], checksum, *fields[7:])
