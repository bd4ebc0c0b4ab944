"""Which files of a checkout are read: files, directories with all below them, and globs, in a stable order."""

from __future__ import annotations

import codecs
import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics import Findings, KcdError, Position

SUFFIXES = (".yaml", ".yml", ".json")
"""What kubectl takes from a directory."""

MAX_SOURCE_BYTES = 16 * 1024 * 1024
"""A file of manifests; etcd takes objects of 1.5 MiB, so that this is a file of ten of the largest."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text file of the checkout; `path` is how messages name it, relative to the project's root where it can be."""

    path: str
    text: str


def find_files(sources: Sequence[str], root: Path, ignore: Sequence[Path], findings: Findings) -> list[Path]:
    """The files that `sources` name, each once, sorted by path.

    A source is a file, a directory (read with all below it) or a glob, relative to `root`. Hidden directories and the
    directories of `ignore` (what kcd-gen writes) are passed over. A source that names nothing is an error.
    """
    ignored = {path.resolve() for path in ignore}
    found: dict[Path, Path] = {}  # by real path, so that a link to a file of the tree does not read it twice
    for source in sources:
        place = root / source
        names = [str(place)] if place.exists() else sorted(glob.glob(str(place), recursive=True))  # noqa: PTH207
        if not names:
            findings.error(
                KcdError(
                    f"the source '{source}' does not exist",
                    code="missing-source",
                    hint="a source is a file, a directory or a glob such as 'clusters/*/releases'",
                )
            )
        for name in names:
            for file in _walk(Path(name), ignored, set()):
                found.setdefault(file.resolve(), file)
    return sorted(found.values())


def _walk(path: Path, ignored: set[Path], above: set[Path]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    real = path.resolve()
    if real in ignored or real in above:  # `above`: a link to a directory that holds it
        return
    with os.scandir(path) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), ignored, above | {real})
        elif entry.name.endswith(SUFFIXES):
            yield Path(entry.path)


def display_path(path: Path, root: Path) -> str:
    """`path` as messages and reports name it: relative to `root`, else to the current directory, else absolute."""
    absolute = path.absolute()
    for base in (root.absolute(), Path.cwd()):
        if absolute.is_relative_to(base):
            return absolute.relative_to(base).as_posix()
    return absolute.as_posix()


def read_source(path: Path, display: str, mentions: Sequence[bytes]) -> SourceFile | None:
    """The text of a file that mentions one of `mentions`; None for any other, which is not looked at further.

    Raises KcdError for a file that can't be read, is over the size limit, or is not UTF-8 (or UTF-16 with its mark).
    """
    try:
        if not path.is_file():
            raise KcdError(f"'{display}' is not a regular file", code="unreadable-source", position=Position(display))
        if path.stat().st_size > MAX_SOURCE_BYTES:
            raise KcdError(
                f"the file is larger than {MAX_SOURCE_BYTES // 2**20} MiB, the limit of a source file",
                code="unreadable-source",
                position=Position(display),
                hint="split it, or leave it out of the cluster's sources",
            )
        data = path.read_bytes()
    except OSError as error:
        raise KcdError(
            f"the file can't be read: {error.strerror}", code="unreadable-source", position=Position(display)
        ) from error
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if encoding == "utf-8-sig" and not any(mention in data for mention in mentions):
        return None
    try:
        return SourceFile(display, data.decode(encoding))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise KcdError(
            "the file is not UTF-8 text", code="unreadable-source", position=Position(display, line)
        ) from error
