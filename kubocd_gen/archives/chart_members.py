"""The files of a chart archive, with paths that are safe to extract; extraction never overwrites a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.archives.tar_stream import (
    CONTRADICTIONS,
    DIRECTORY,
    EXTENDED,
    EXTENDED_FOR_ALL,
    LONG_NAME,
    BadArchiveError,
    Header,
    OverLimitError,
    Stream,
    archive_errors,
)
from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.diagnostics.problems import Position, ProblemsError, shown
from kubocd_gen.files.directory import made_directory
from kubocd_gen.files.paths import display_path, hint_of, shown_path
from kubocd_gen.files.walk import SymlinkError

_DEEPEST = 64  # nested directories
_LONGEST_NAME = 255  # characters; the maximum of common file systems
_LISTED = 3  # files that a message lists


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
    with archive_errors(describe, "bad-chart", limits):
        return list(_members(data, limits))


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
            path = stream.long_name(header, limits.extended_header, CONTRADICTIONS, "a chart") or path
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


def _relative(header: Header, name: str) -> str:
    header.expect_file(name, "a chart")
    relative = name.removeprefix("./")
    parts = relative.split("/")
    if not is_plain_path(relative) or len(parts) > _DEEPEST or max(map(len, parts)) > _LONGEST_NAME:
        raise BadArchiveError(f"contains the invalid path {shown(name)}")
    return relative


def unpacked(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of a package, with each chart also unpacked to `charts/<name>-<version>/`.

    Raises ProblemsError.
    """
    found = dict(files)
    for name, data in files.items():
        if not name.endswith(".tgz"):
            continue
        directory = f"charts/{name.removesuffix('.tgz')}"
        for member in read_chart_archive(data, describe=f"the chart {name}"):
            # Like helm, drop the first directory: it is the chart's own.
            inner = member.path.partition("/")[2] or member.path
            found.setdefault(f"{directory}/{inner}", member.data)
    return found


def write_files(target: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` below the directory `target`, which is created.

    Writes nothing and raises ProblemsError if any of the files exists already.
    """
    for name in files:
        if not is_plain_path(name):
            raise ProblemsError.of("bad-archive", f"{shown(name)} is not a valid relative path")
    try:
        with made_directory(target) as directory:
            existing = [shown(str(target / name)) for name in files if directory.status(name) is not None]
            if existing:
                more = f" and {len(existing) - _LISTED} more" if len(existing) > _LISTED else ""
                verb = "already exists" if len(existing) == 1 else "already exist"
                raise ProblemsError.of(
                    "foreign-file",
                    f"{', '.join(existing[:_LISTED])}{more} {verb}",
                    position=Position(display_path(target, Path.cwd())),
                    hint="choose a new or empty directory",
                )
            for name, data in files.items():
                if parent := name.rpartition("/")[0]:
                    directory.make(parent)
                directory.create(name, data, durable=False)
    except SymlinkError as error:
        message = f"refusing to write to {shown_path(target)} through a symlink"
        raise ProblemsError.of(
            "symlinked-output", message, position=Position(display_path(target, Path.cwd())), hint=hint_of(error)
        ) from error
    except OSError as error:
        message = f"cannot write to {shown_path(target)}: {error.strerror} ({shown_path(Path(error.filename))})"
        raise ProblemsError.of("unwritable-output", message, hint=hint_of(error)) from error
