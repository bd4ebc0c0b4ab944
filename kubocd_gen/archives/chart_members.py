"""The files of a chart archive, with paths that are safe to extract."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubocd_gen.archives.tar_stream import (
    DIRECTORY,
    EXTENDED,
    EXTENDED_FOR_ALL,
    KINDS,
    LONG_NAME,
    REGULAR,
    BadArchiveError,
    Header,
    OverLimitError,
    Stream,
    extended_path,
)
from kubocd_gen.budget.limits import LIMITS, Limits, over_limit
from kubocd_gen.diagnostics.problems import ProblemsError, shown

_DEEPEST = 64  # nested directories
_LONGEST_NAME = 255  # characters; the maximum of common file systems


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive. `path` is relative and has no `.` or `..`; `time` is in seconds since 1970."""

    path: str
    time: int
    data: bytes


def read_chart_archive(data: bytes, *, describe: str, limits: Limits = LIMITS) -> list[Member]:
    """Return the files of a chart archive in archive order, without directories; messages call it `describe`.

    Raises ProblemsError: `bad-chart` for paths outside the archive, links, devices, and data that is not a gzip'd tar;
    `package-limit` if the archive exceeds `limits`.
    """
    try:
        return list(_members(data, limits))
    except OverLimitError as over:
        raise ProblemsError(
            over_limit(f"{describe} {over}", over.name, limits.of(over.name), needed=over.needed)
        ) from None
    except BadArchiveError as bad:
        raise ProblemsError.of("bad-chart", f"{describe} {bad}") from None


def is_plain_path(path: str) -> bool:
    """Return whether a relative path is safe to extract on every system: no empty part, `..`, backslash or drive."""
    return (
        path.isprintable()
        and "\\" not in path
        and not re.match(r"[A-Za-z]:", path)
        and all(part not in ("", ".", "..") for part in path.split("/"))
    )


def _members(data: bytes, limits: Limits) -> Iterator[Member]:
    if len(data) > limits.chart_archive:
        raise OverLimitError("is larger", "chart-archive", len(data))
    stream = Stream(data, limits.chart, "chart", limits.gzip_members, spend=lambda _size: None)
    seen: set[str] = set()
    path: str | None = None  # the next member's name, if an extended header sets it
    for count, header in enumerate(stream.headers(), 1):
        if count > limits.chart_members:
            raise OverLimitError("has more members", "chart-members")
        if header.kind in (EXTENDED, EXTENDED_FOR_ALL, LONG_NAME):
            path = _long_name(stream, header, limits) or path
            continue
        name, path = path or header.name, None
        if header.kind == DIRECTORY:
            continue
        relative = _relative(header, name)
        if relative in seen:
            raise BadArchiveError(f"contains {shown(relative)} twice")
        seen.add(relative)
        if header.size > limits.chart_file:
            raise OverLimitError(f"contains {shown(relative)}, which is larger", "chart-file", header.size)
        yield Member(relative, header.time, stream.content(header, shown(relative)))
    stream.expect_padding()
    if not seen:
        raise BadArchiveError("is empty")


def _long_name(stream: Stream, header: Header, limits: Limits) -> str | None:
    """Return the next member's name if an extended header or a GNU long name sets it."""
    if header.size > limits.extended_header:
        raise OverLimitError("has an extended header that is larger", "extended-header", header.size)
    block = stream.content(header, "an extended header")
    if header.kind == LONG_NAME:
        return block.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return extended_path(header, block, "a chart")


def _relative(header: Header, name: str) -> str:
    if header.kind not in REGULAR:
        kind = KINDS.get(header.kind) or f"of the unknown type {shown(header.kind.decode('latin-1'))}"
        raise BadArchiveError(f"contains {shown(name)}, which is {kind}; a chart can contain only regular files")
    relative = name.removeprefix("./")
    parts = relative.split("/")
    if not is_plain_path(relative) or len(parts) > _DEEPEST or max(map(len, parts)) > _LONGEST_NAME:
        raise BadArchiveError(f"contains the invalid path {shown(name)}")
    return relative
