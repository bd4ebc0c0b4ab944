"""Tar archives that no ordinary packager creates."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

_END = bytes(2 * tarfile.BLOCKSIZE)


def member(
    name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, size: int | None = None, link: str = ""
) -> bytes:
    """Return one member as stored in a tar: its header, with any `size` declared, and its padded content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if size is None else size
    # GNU's format writes a size in binary if the octal field is too short for it.
    header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return header + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def extended(records: Mapping[str, str], *, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Return a pax header with `records` for the next member (with the kind XGLTYPE, for all)."""
    return member("pax", b"".join(_record(key, value) for key, value in records.items()), kind=kind)


def tar(*members: bytes) -> bytes:
    """Return the archive of `members`, with its end mark."""
    return b"".join(members) + _END


def patched(packed: bytes, start: int, field: bytes) -> bytes:
    """Return a member with some bytes of its header replaced and the checksum updated."""
    header = bytearray(packed)
    header[start : start + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


def gzip_header(*, flags: int = 0) -> bytes:
    """Return the ten bytes that begin gzip data (RFC 1952)."""
    return b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff"


def sparse() -> bytes:
    """Return a member in GNU's old sparse format."""
    return member("podinfo-6.7.1.tgz", bytes(512), kind=tarfile.GNUTYPE_SPARSE)


def with_paths(names: Mapping[str, bytes], layout: int) -> bytes:
    """Return an archive made by Python's own writer in one of its formats (`tarfile.PAX_FORMAT` …)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=layout) as archive:
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            # pax writes headers because the time is not a whole second and the name not ASCII.
            info.size, info.mtime, info.uname = len(data), 1.5, "Zoë"
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def _record(key: str, value: str) -> bytes:
    text = f" {key}={value}\n".encode("utf-8", "surrogateescape")
    length = len(text)
    while len(str(length)) + len(text) != length:
        length = len(str(length)) + len(text)
    return str(length).encode() + text
