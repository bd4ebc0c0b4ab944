"""The content layer of a package: a gzip'd tar of flat files, read in memory and never extracted.

Whoever can push a package can write any bytes here, so the reader accepts what KuboCD's packager makes and refuses the
rest. `tarfile` decodes the header blocks and no more: its own walk through an archive follows links, extended headers
and offsets that a package has no use for, and has hung or run away on hostile ones.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from kubocd_gen.diagnostics import KcdError, Position
from kubocd_gen.packages.oci import LAYER_LIMIT, MIB
from kubocd_gen.packages.text import shown


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may cost, in bytes where nothing else is said."""

    packed: int = LAYER_LIMIT
    unpacked: int = 512 * MIB  # the files are held in memory; the largest packages known are under 10 MiB
    members: int = 1000  # headers of any kind; a package holds four files and a handful of charts
    text: int = 5 * MIB  # a YAML member: helm takes no larger file in a chart, so none could be compiled
    extended_header: int = 16 * 1024  # times, owners and attributes of one member
    gzip_members: int = 10_000  # parallel packers write a few; each costs time before it yields a byte


LIMITS = ArchiveLimits()
CHART_LIMITS = ArchiveLimits(members=20_000)

_TEXTS = frozenset({"original.yaml", "groomed.yaml", "index.yaml", "status.yaml"})
# Chart names and SemVer versions are ASCII; no hidden file, and nothing that a command would take for a flag.
_CHART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*\.tgz")
_DEEPEST = 64  # folders in each other, of a chart
_LONGEST_NAME = 255  # file systems take no longer one
_BLOCK = tarfile.BLOCKSIZE
_PIECE = 64 * 1024

_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.DIRTYPE: "a folder",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.GNUTYPE_LONGNAME: "an over-long name",
    tarfile.GNUTYPE_LONGLINK: "an over-long link",
}


class _Bad(Exception):
    """What is wrong with the archive, as the end of a sentence that begins with its name."""


def read_package_archive(
    data: bytes, *, describe: str, position: Position | None = None, limits: ArchiveLimits = LIMITS
) -> dict[str, bytes]:
    """The files of a package's content layer by name, in the archive's order.

    Names are flat: `original.yaml`, `groomed.yaml`, `index.yaml`, `status.yaml` and chart archives `*.tgz`; a `./` in
    front is dropped. Raises KcdError `bad-archive`, its sentence about "the archive of `describe`", for any other
    member, for bytes that are no gzip'd tar, and beyond `limits`.
    """
    try:
        return _files(_Stream(data, limits), limits)
    except _Bad as bad:
        raise KcdError(f"the archive of {describe} {bad}", code="bad-archive", position=position) from None


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive. `path` is relative, its parts are names; `time` is in seconds since 1970."""

    path: str
    time: int
    data: bytes


def read_chart_archive(
    data: bytes, *, describe: str, position: Position | None = None, limits: ArchiveLimits = CHART_LIMITS
) -> list[Member]:
    """The files of a Helm chart's archive in its order; folders are passed over.

    Raises KcdError `bad-chart`, its sentence about `describe`, for a path that leaves the archive, links and devices,
    for bytes that are no gzip'd tar, and beyond `limits`.
    """
    try:
        return list(_members(_Stream(data, limits), limits))
    except _Bad as bad:
        raise KcdError(f"{describe} {bad}", code="bad-chart", position=position) from None


def _members(stream: _Stream, limits: ArchiveLimits) -> Iterator[Member]:
    seen: set[str] = set()
    path: str | None = None  # the next member's name, where a header before it gives it
    count = 0
    while header := stream.read(_BLOCK, "its last header"):
        if not any(header):
            stream.expect_padding()
            break
        count += 1
        if count > limits.members:
            raise _Bad(f"has more than {limits.members} members")
        info = _decode(header)
        if info.size < 0:
            raise _Bad(f"gives {shown(info.name)} a negative size")
        if info.type == tarfile.GNUTYPE_LONGNAME:
            long_name = _content(stream, info, "an over-long name", limits.extended_header).rstrip(b"\0")
            path = long_name.decode("utf-8", "surrogateescape")
            continue
        if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE):
            path = _extended_path(info, _content(stream, info, "an extended header", limits.extended_header)) or path
            continue
        name, path = path or info.name, None
        if info.type == tarfile.DIRTYPE and info.size == 0:
            continue
        relative = _relative_name(info, name)
        if relative in seen:
            raise _Bad(f"holds {shown(relative)} twice")
        seen.add(relative)
        yield Member(relative, int(info.mtime), _content(stream, info, shown(relative), limits.unpacked))
    if not seen:
        raise _Bad("is empty")


def _relative_name(info: tarfile.TarInfo, name: str) -> str:
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _KINDS.get(info.type) or f"of the unknown type {shown(info.type.decode('latin-1'))}"
        raise _Bad(f"holds {shown(name)}, which is {kind}; a chart holds regular files only")
    relative = name.removeprefix("./")
    parts = relative.split("/")
    if not is_plain_path(relative) or len(parts) > _DEEPEST or max(map(len, parts)) > _LONGEST_NAME:
        raise _Bad(f"holds {shown(name)}, a path that no chart has")
    return relative


def is_plain_path(path: str) -> bool:
    """Whether a relative path stays where it is put, on every system: no empty part, no `..`, no backslash or drive."""
    return (
        path.isprintable()
        and "\\" not in path
        and not re.match(r"[A-Za-z]:", path)
        and all(part not in ("", ".", "..") for part in path.split("/"))
    )


def _files(stream: _Stream, limits: ArchiveLimits) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    seen: set[str] = set()
    path: str | None = None  # the next member's name, where an extended header gives it
    members = 0
    while header := stream.read(_BLOCK, "its last header"):
        if not any(header):
            stream.expect_padding()
            break
        members += 1
        if members > limits.members:
            raise _Bad(f"has more than {limits.members} members")
        info = _decode(header)
        if info.size < 0:
            raise _Bad(f"gives {shown(info.name)} a negative size")
        if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE):
            path = _extended_path(info, _content(stream, info, "an extended header", limits.extended_header)) or path
            continue
        name, path = path or info.name, None
        if info.type == tarfile.DIRTYPE and name in (".", "./") and info.size == 0:
            continue
        flat = _flat_name(info, name)
        # Names that differ in case alone would be one file on a Mac.
        if flat.lower() in seen:
            raise _Bad(f"holds {shown(flat)} twice")
        seen.add(flat.lower())
        files[flat] = _content(stream, info, shown(flat), limits.text if flat in _TEXTS else limits.unpacked)
    if not files:
        raise _Bad("is empty")
    return files


def _decode(header: bytes) -> tarfile.TarInfo:
    try:
        # surrogateescape: a name that is not UTF-8 must come as far as the message that refuses it.
        return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise _Bad(f"is not a tar archive: {error}") from None


def is_package_file(name: str) -> bool:
    """Whether a package may hold a file of this name."""
    return len(name) <= _LONGEST_NAME and (name in _TEXTS or _CHART.fullmatch(name) is not None)


def _flat_name(info: tarfile.TarInfo, name: str) -> str:
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _KINDS.get(info.type) or f"of the unknown type {shown(info.type.decode('latin-1'))}"
        raise _Bad(f"holds {shown(name)}, which is {kind}; a package holds regular files only")
    flat = name.removeprefix("./")
    if len(flat) > _LONGEST_NAME:
        raise _Bad(f"holds {shown(flat)}, a name of more than {_LONGEST_NAME} characters")
    if flat not in _TEXTS and not _CHART.fullmatch(flat):
        raise _Bad(f"holds {shown(name)}, which is no file of a KuboCD package")
    return flat


def _content(stream: _Stream, info: tarfile.TarInfo, name: str, limit: int) -> bytes:
    if info.size > limit:
        raise _Bad(f"says that {name} is {info.size} bytes long; the limit is {_size(limit)}")
    content = stream.read(info.size, name)
    padding = -info.size % _BLOCK
    if len(content) < info.size or len(stream.read(padding, name)) < padding:
        raise _Bad(f"ends in the middle of {name}")
    return content


def _extended_path(info: tarfile.TarInfo, block: bytes) -> str | None:
    """The name that a pax header gives the next member; times, owners and comments are nobody's business here.

    Records that would make the member another one than its own header says are refused.
    """
    path = None
    for key, value in _records(block):
        if key == "path" and info.type == tarfile.XHDTYPE:
            path = value
        elif key in ("path", "linkpath", "size", "hdrcharset") or key.startswith("GNU."):
            raise _Bad(f"has an extended header with {shown(key)}, which a package has no use for")
    return path


def _records(block: bytes) -> Iterator[tuple[str, str]]:
    """The `<length> <key>=<value>` lines of a pax header (POSIX, pax Interchange Format)."""
    start = 0
    while start < len(block):
        space = block.find(b" ", start, start + 8)
        digits = block[start:space] if space > 0 else b""
        end = start + int(digits) if digits.isdigit() else 0
        key, equals, value = block[space + 1 : end - 1].partition(b"=")
        if not key or not equals or block[end - 1 : end] != b"\n":
            raise _Bad("has an extended header that cannot be read")
        yield key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        start = end


class _Stream:
    """The unpacked bytes, counted, so that a small archive can't become a large one unnoticed."""

    def __init__(self, data: bytes, limits: ArchiveLimits) -> None:
        if len(data) > limits.packed:
            raise _Bad(f"is larger than the limit of {_size(limits.packed)}")
        self._limit = limits.unpacked
        self._left = limits.unpacked
        self._pieces = _gunzip(data, limits.gzip_members)
        self._buffer = bytearray()

    def read(self, size: int, name: str) -> bytes:
        """`size` bytes, or none at the archive's end. Raises _Bad where the end or the limit comes in between."""
        if size > self._left:
            raise _Bad(f"unpacks to more than the limit of {_size(self._limit)}")
        while len(self._buffer) < size and (piece := next(self._pieces, None)) is not None:
            self._buffer += piece
        with memoryview(self._buffer) as view:
            taken = view[:size].tobytes()
        if taken and len(taken) < size:
            raise _Bad(f"ends in the middle of {name}")
        del self._buffer[:size]
        self._left -= len(taken)
        return taken

    def expect_padding(self) -> None:
        """Read what is left, which lets gzip check its sum; tar fills its last record with zeros, nothing else."""
        while block := self._buffer or next(self._pieces, None):
            if block.count(0) < len(block):
                raise _Bad("goes on after its end")
            self._left -= len(block)
            if self._left < 0:
                raise _Bad(f"unpacks to more than the limit of {_size(self._limit)}")
            self._buffer.clear()


def _gunzip(data: bytes, members: int) -> Iterator[bytes]:
    """The content of one or more gzip members in pieces of up to 64 KiB."""
    view, start = memoryview(data), 0
    for _ in range(members):
        first, member = start, zlib.decompressobj(wbits=31)
        while not member.eof:
            packed = view[start : start + _PIECE]
            if not packed:
                raise _Bad("is cut short: its gzip data has no end")
            try:
                piece = member.decompress(packed, _PIECE)
            except zlib.error as error:
                if start > first:
                    raise _Bad(f"is damaged near byte {start}: {str(error).rpartition(': ')[2]}") from None
                raise _Bad("goes on after the end of its gzip data" if first else "is not gzip data") from None
            start += len(packed) - len(member.unconsumed_tail) - len(member.unused_data)
            if piece:
                yield piece
        if start == len(data):
            return
    raise _Bad(f"is made of more than {members} gzip members")


def _size(limit: int) -> str:
    return f"{limit // MIB} MiB" if limit >= MIB else f"{limit} bytes"
