"""Read a gzip'd tar as a stream of headers and contents, in memory, within limits, without extracting it.

Python's `tarfile` is not used: it follows links, extended headers and offsets that are not needed here, has hung or
used unbounded time on malicious archives, and accepts numbers (`1_0`, `0o7`) that other readers refuse. An attacker
can exploit two readers that see different files in one archive.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kubocd_gen.budget.limits import Limits, over_limit
from kubocd_gen.diagnostics.problems import Position, ProblemsError, shown

BLOCK = 512
_PIECE = 64 * 1024
_LEAST = 4096  # bytes that a header or a part of gzip data counts for at least: it takes that much time to read

# Member types (POSIX ustar and pax; the GNU types are from its manual).
_REGULAR = (b"0", b"\0")
DIRECTORY, SPARSE = b"5", b"S"
EXTENDED, EXTENDED_FOR_ALL = b"x", b"g"
LONG_NAME, LONG_LINK = b"L", b"K"
HEADER_ONLY = (b"1", b"2", b"3", b"4", DIRECTORY, b"6")  # no content follows, whatever the size field says
_KINDS = {
    b"1": "a hard link",
    b"2": "a symlink",
    b"3": "a device",
    b"4": "a device",
    b"6": "a FIFO",
    DIRECTORY: "a directory",
    SPARSE: "a sparse file",
    LONG_NAME: "a GNU long name",
    LONG_LINK: "a GNU long link name",
}
_OCTAL = re.compile(rb"[0-7]*")
# Records of an extended header that contradict the member's own header, such as its size.
CONTRADICTIONS = re.compile(r"(?s)path|linkpath|size|hdrcharset|GNU\..*")

Spend = Callable[[int], None]


class BadArchiveError(Exception):
    """A defect of an archive, as the end of a sentence that begins with the archive's name."""


class OverLimitError(BadArchiveError):
    """An archive that exceeds the limit `name`; its text ends in "larger" or "more …", to precede "than the limit"."""

    def __init__(self, what: str, name: str, needed: int | None = None) -> None:
        super().__init__(what)
        self.name = name
        self.needed = needed


@contextmanager
def archive_errors(
    what: str, code: str, limits: Limits, position: Position | None = None, hint: str | None = None
) -> Iterator[None]:
    """Convert the errors of an archive, which messages call `what`, to ProblemsError: `package-limit` or `code`."""
    try:
        yield
    except OverLimitError as over:
        limit = limits.of(over.name)
        raise ProblemsError(
            over_limit(f"{what} {over}", over.name, limit, needed=over.needed, position=position)
        ) from None
    except BadArchiveError as bad:
        raise ProblemsError.of(code, f"{what} {bad}", position, hint) from None


@dataclass(frozen=True, slots=True)
class Header:
    """A member's header block. Bytes of the name that are not UTF-8 are kept as surrogates, for messages."""

    name: str
    kind: bytes
    size: int  # never negative
    time: int = 0  # seconds since 1970; 0 if it is not a number

    def expect_file(self, name: str, owner: str) -> None:
        """Raise BadArchiveError if this is not a regular file. `owner` is what the archive contains: "a chart"."""
        if self.kind not in _REGULAR:
            kind = _KINDS.get(self.kind) or f"of the unknown type {shown(self.kind.decode('latin-1'))}"
            raise BadArchiveError(f"contains {shown(name)}, which is {kind}; {owner} can contain only regular files")


class Stream:
    """The unpacked bytes of gzip'd data, counted to detect decompression bombs.

    At most `most` bytes are unpacked, which is the limit called `name`; `members` is the limit of gzip members. `spend`
    counts the bytes for the run, and can raise any exception.
    """

    def __init__(self, data: bytes, most: int, name: str, members: int, spend: Spend) -> None:
        self._left = most
        self._name = name
        self._spend = spend
        self._pieces = _gunzip(data, members, spend)
        self._buffer = bytearray()
        self.unpacked = 0

    def headers(self) -> Iterator[Header]:
        """Yield the headers up to the end of the archive; read the content of each before requesting the next."""
        while block := self.read(BLOCK, "its last header"):
            if block.count(0) == BLOCK:
                return
            self._spend(_LEAST)
            yield _decode(block)

    def content(self, header: Header, what: str) -> bytes:
        """Return the content of the member whose header was read last; messages call it `what`.

        Raises BadArchiveError.
        """
        content = self.read(header.size, what)
        padding = -header.size % BLOCK
        if len(content) < header.size or len(self.read(padding, what)) < padding:
            raise BadArchiveError(f"ends in the middle of {what}")
        return content

    def long_name(self, header: Header, limit: int, refused: re.Pattern[str], owner: str) -> str | None:
        """Return the next member's name if the extended header or GNU long name `header` sets it, otherwise None.

        Times, owners and comments are ignored. Raises BadArchiveError for records whose keys match `refused`, and
        OverLimitError over `limit` bytes; messages call the archive's type `owner`.
        """
        if header.size > limit:
            raise OverLimitError("has an extended header that is larger", "extended-header", header.size)
        block = self.content(header, "an extended header")
        if header.kind in (LONG_NAME, LONG_LINK):
            return _text(block) if header.kind == LONG_NAME else None
        path = None
        for key, value in _records(block):
            if key == "path" and header.kind == EXTENDED:
                path = value
            elif refused.fullmatch(key):
                raise BadArchiveError(f"has an extended header with {shown(key)}, which is not allowed in {owner}")
        return path

    def skip(self, header: Header, what: str) -> None:
        """Skip the content of the member whose header was read last, in parts. Raises BadArchiveError."""
        left = header.size
        while left:
            part = min(left, _PIECE)
            if not self.read(part, what):
                raise BadArchiveError(f"ends in the middle of {what}")
            left -= part

    def read(self, size: int, what: str) -> bytes:
        """Return `size` bytes, or none at the end of the archive.

        Raises BadArchiveError if the archive ends or the limit is reached within these bytes.
        """
        if size > self._left:
            raise OverLimitError("unpacks to more", self._name)
        while len(self._buffer) < size and (piece := next(self._pieces, None)) is not None:
            self._buffer += piece
        with memoryview(self._buffer) as view:
            taken = view[:size].tobytes()
        if taken and len(taken) < size:
            raise BadArchiveError(f"ends in the middle of {what}")
        del self._buffer[:size]
        self._count(taken)
        return taken

    def expect_padding(self) -> None:
        """Read to the end, which makes gzip check its checksum. Only the zeros of tar's last record can follow.

        Raises BadArchiveError.
        """
        while block := self._buffer or next(self._pieces, None):
            if block.count(0) < len(block):
                raise BadArchiveError("has data after the end of the archive")
            if len(block) > self._left:
                raise OverLimitError("unpacks to more", self._name)
            self._count(block)
            self._buffer.clear()

    def _count(self, block: bytes | bytearray) -> None:
        self._left -= len(block)
        self.unpacked += len(block)


def _records(block: bytes) -> Iterator[tuple[str, str]]:
    """Yield the `<length> <key>=<value>` lines of an extended header (POSIX, pax Interchange Format).

    Raises BadArchiveError.
    """
    start = 0
    while start < len(block):
        space = block.find(b" ", start, start + 8)
        digits = block[start:space] if space > 0 else b""
        end = start + int(digits) if digits.isdigit() else 0
        key, equals, value = block[space + 1 : end - 1].partition(b"=")
        if not key or not equals or block[end - 1 : end] != b"\n":
            raise BadArchiveError("has an invalid extended header")
        yield key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        start = end


def _decode(block: bytes) -> Header:
    rest = block[:148] + b" " * 8 + block[156:]
    wrong = sum(rest) - (_number(block[148:156]) or 0)
    # Some old writers summed signed bytes.
    if wrong and wrong != 256 * sum(byte > 127 for byte in rest):
        raise BadArchiveError("is not a tar archive: a header has a wrong checksum")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    kind, size = block[156:157], _number(block[124:136])
    if size is None:
        raise BadArchiveError("is not a tar archive: the size in a header is not a number")
    if size < 0:
        raise BadArchiveError("has a header with a negative size")
    return Header(name, kind, size, _number(block[136:148]) or 0)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int | None:
    """Parse an octal number, or GNU's binary one, which has the highest bit set; return None if it is neither."""
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return value - (1 << bits) if field[0] & 0x40 else value
    digits = field.strip(b" \0")
    return int(digits or b"0", 8) if _OCTAL.fullmatch(digits) else None


def _gunzip(data: bytes, members: int, spend: Spend) -> Iterator[bytes]:
    """Yield the content of one or more gzip members in pieces of up to 64 KiB."""
    view, start = memoryview(data), 0
    for _ in range(members):
        first, member = start, zlib.decompressobj(wbits=31)
        while not member.eof:
            packed = view[start : start + _PIECE]
            if not packed:
                raise BadArchiveError("is truncated: its gzip data has no end")
            try:
                piece = member.decompress(packed, _PIECE)
            except zlib.error as error:
                if start > first:
                    raise BadArchiveError(f"is damaged near byte {start}: {str(error).rpartition(': ')[2]}") from None
                raise BadArchiveError(
                    "has data after the end of its gzip data" if first else "is not gzip data"
                ) from None
            spend(max(_LEAST, len(piece)))
            start += len(packed) - len(member.unconsumed_tail) - len(member.unused_data)
            if piece:
                yield piece
        if start == len(data):
            return
    raise OverLimitError("has more gzip members", "gzip-members")
