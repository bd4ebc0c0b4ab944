"""Reproducible archives: their bytes depend only on their content, not on owner, clock, umask or directory order."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Mapping

from kubocd_gen.diagnostics.problems import ProblemsError

NO_TIME = 315532800
"""1980-01-01, used for files without a time: the earliest date that every archive format supports."""

# RFC 1952: magic, deflate, no flags, no time, no extra flags, unknown operating system.
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LONGEST_STORED = 0xFFFF


def tarred(files: Mapping[str, bytes], time: int = NO_TIME) -> bytes:
    """Pack regular files into a tar, in the given order, with mode 0644 and the time `time` (seconds since 1970)."""
    packed = io.BytesIO()
    # pax; tarfile writes plain ustar for names of up to 100 ASCII characters.
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, time
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def stored(data: bytes) -> bytes:
    """Wrap `data` in gzip without compression.

    The output of zlib implementations differs, and charts, the bulk of a package, are compressed already.
    """
    starts = range(0, len(data), _LONGEST_STORED) if data else (0,)
    blocks: list[bytes] = []
    for start in starts:
        block = data[start : start + _LONGEST_STORED]
        last = start + _LONGEST_STORED >= len(data)
        blocks += (struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block)
    return b"".join((_GZIP_HEADER, *blocks, _trailer(data)))


def compressed(data: bytes) -> bytes:
    """Compress `data` with gzip. The same zlib returns the same bytes; other implementations can differ."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join((_GZIP_HEADER, deflate.compress(data), deflate.flush(), _trailer(data)))


def _trailer(data: bytes) -> bytes:
    return struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def source_date(environment: Mapping[str, str]) -> int | None:
    """Return SOURCE_DATE_EPOCH in seconds since 1970 (reproducible-builds.org), or None if it is not set.

    Raises ProblemsError `usage`.
    """
    given = environment.get("SOURCE_DATE_EPOCH")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 11):
        raise ProblemsError.of(
            "usage",
            f"SOURCE_DATE_EPOCH must be a number of seconds, not '{given}'",
            hint="set it with: export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)",
        )
    return int(given)
