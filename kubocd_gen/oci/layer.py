"""Build reproducible layers of container images: tars whose bytes depend only on their files.

Layers are not compressed: charts are compressed already, and the output of zlib implementations differs. The output of
Python's `tarfile` differs between versions, so the headers are written here (POSIX.1-1988 ustar, with a POSIX.1-2001
record for names that are too long for ustar).
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
_FILE, _HARD_LINK, _DIRECTORY, _EXTENDED = b"0", b"1", b"5", b"x"


@dataclass(frozen=True, slots=True)
class Layer:
    """An uncompressed layer, in pieces that share the memory of the files. Its digest is also its diff ID."""

    descriptor: Descriptor
    pieces: tuple[bytes, ...] = field(repr=False)

    def write_to(self, file: BinaryIO) -> None:
        """Write the layer to `file`. Raises OSError."""
        file.writelines(self.pieces)


def make_layer(files: Mapping[str, bytes], directories: Mapping[str, int]) -> Layer:
    """Build a layer of `files` and `directories` (with their modes), by absolute path without the leading slash.

    Parent directories that are not in `directories` get no entry, because it would override the one of the base image.
    Everything is owned by root. Files with equal content are hard links to the first of them.
    """
    pieces: list[bytes] = []
    first: dict[bytes, str] = {}
    for path in sorted({*files, *directories}):
        if path in directories:
            pieces.append(_entry(f"{path}/", directories[path], _DIRECTORY, NO_TIME))
            continue
        data = files[path]
        same = first.setdefault(hashlib.sha256(data).digest(), path)
        if same != path:
            pieces.append(_entry(path, FILE_MODE, _HARD_LINK, file_time(data), link=same))
            continue
        pieces += (_entry(path, FILE_MODE, _FILE, file_time(data), size=len(data)), data, bytes(-len(data) % _BLOCK))
    pieces.append(bytes(2 * _BLOCK))
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    size = sum(map(len, pieces))
    return Layer(Descriptor(LAYER_TYPE, f"sha256:{digest.hexdigest()}", size), tuple(pieces))


def file_time(data: bytes) -> int:
    """Return the time of a file in a layer: a value between 1980 and 2020, in seconds since 1970, from its hash.

    nginx derives ETag and Last-Modified from time and size. With a constant time, an index.yaml that changes without
    changing its length would keep both, and clients would keep using their cached copy. A time from the hash changes
    if and only if the content does, with a probability of collision of 1 in 10^9.
    """
    return EARLIEST + int.from_bytes(hashlib.sha256(data).digest()[:8]) % (LATEST - EARLIEST)


def _entry(name: str, mode: int, kind: bytes, time: int, *, size: int = 0, link: str = "") -> bytes:
    """Return a member's header, preceded by an extended header if its names are long."""
    named = (("path", name.encode()), ("linkpath", link.encode()))
    records = b"".join(_record(key, value) for key, value in named if len(value) > _LONGEST_NAME)
    before = b""
    if records:
        head = _header(b"pax", FILE_MODE, _EXTENDED, NO_TIME, len(records), b"")
        before = head + records + bytes(-len(records) % _BLOCK)
    return before + _header(name.encode(), mode, kind, time, size, link.encode())


def _record(key: str, value: bytes) -> bytes:
    """Return `<length> <key>=<value>\\n`, where the length includes its own digits."""
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
        b" " * 8,  # the checksum is computed with blanks in its own field
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
