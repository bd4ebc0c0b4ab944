"""Which files of a checkout are read: files, directories with all below them, and globs, in a stable order."""

from __future__ import annotations

import codecs
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.files import CheckoutFiles, NotRegularError
from kubocd_gen.checkout.source_files import NOWHERE, Places, SourceFile
from kubocd_gen.checkout.walk import READ_HINT, DirectoryWalk, PatternError
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError

SUFFIXES = (".yaml", ".yml", ".json")
"""What kubectl takes from a directory."""

MAX_SOURCE_BYTES = 16 * 1024 * 1024
"""A file of manifests; etcd takes objects of 1.5 MiB, so that this is a file of ten of the largest."""

MAX_SCANNED_BYTES = 256 * 1024 * 1024
"""A larger file is not even searched for what would make it one of manifests."""

_UNKEPT = 32  # times cheaper than a file that is kept is one that is only searched: it takes time, and no memory


_BLOCK = 1024 * 1024
_ATTEMPTS = 3
_SETTLED = 0.02  # seconds; several ticks of the clock that file systems take times from


def find_files(
    sources: Sequence[str],
    root: Path,
    ignore: Sequence[Path],
    places: Places = NOWHERE,
    *,
    files: CheckoutFiles | None = None,
    budget: Budget | None = None,
) -> tuple[list[Path], list[Problem]]:
    """The files that `sources` name, each once, sorted by path; and the sources and directories that can't be read.

    A source is a file, a directory (read with all below it) or a glob, relative to `root`. Of a directory and a glob
    the files that kubectl would read are taken. Hidden files and directories below a source, and the directories of
    `ignore`, are passed over. A source that names nothing is an error, where `places` says that the
    project file names it; so is a directory outside of `files`, by default the checkout of `root`.
    """
    walk = source_walk(root, ignore, files or CheckoutFiles.around(root), budget or Budget())
    found: dict[str, Path] = {}  # by real path, so that a link to a file of the tree does not read it twice
    errors: list[Problem] = []
    for source in sources:
        place = root / source
        if os.path.lexists(place):
            for real, file in walk.below(place):
                found.setdefault(real, file)
        else:
            try:
                matches = walk.matches(source, root)
            except PatternError as error:
                errors.append(_bad_pattern(source, str(error), places))
                continue
            if not matches and not walk.errors:
                errors.append(_missing(source, places))
            for match in matches:
                for real, file in walk.below(match):
                    if file.name.endswith(SUFFIXES):
                        found.setdefault(real, file)
        errors += walk.errors
        walk.errors.clear()
    return sorted(found.values()), errors


def source_walk(root: Path, ignore: Sequence[Path], files: CheckoutFiles, budget: Budget) -> DirectoryWalk:
    """The walk that finds sources below `root`."""
    return DirectoryWalk(files, budget, SUFFIXES, root, frozenset(os.path.realpath(path) for path in ignore))


def _missing(source: str, places: Places) -> Problem:
    return Problem(
        "missing-source",
        f"the source '{source}' does not exist",
        position=places[source]() if source in places else None,
        hint="use a file, a directory or a glob such as 'clusters/*/releases', relative to the project's root",
    )


def _bad_pattern(source: str, what: str, places: Places) -> Problem:
    return Problem(
        "invalid-value",
        f"a source {what}",
        position=places[source]() if source in places else None,
        hint="list the directories instead: all files below them are read",
    )


def _unreadable(what: str, error: OSError, display: str) -> Problem:
    hint = READ_HINT if isinstance(error, PermissionError) else None
    return Problem("unreadable-source", f"{what}: {error.strerror}", position=Position(display), hint=hint)


def read_source(
    path: Path,
    display: str,
    mentions: Sequence[bytes],
    files: CheckoutFiles | None = None,
    budget: Budget | None = None,
) -> SourceFile | None:
    """The text of a file that mentions one of `mentions`; None for any other, which is not looked at further.

    Raises ProblemsError for a file that can't be read, is outside of `files` (by default its own checkout), is over the
    size limit, or is not UTF-8 (or UTF-16 with its mark).
    """
    files, budget = files or CheckoutFiles.around(path.parent), budget or Budget()
    try:
        size = path.stat().st_size
        if size > MAX_SOURCE_BYTES:
            budget.spend("source-bytes", min(size, MAX_SCANNED_BYTES) / _UNKEPT, Position(display))
            with files.open(path, display) as file:
                if size <= MAX_SCANNED_BYTES and not _mentioned(file, mentions):
                    return None
            raise ProblemsError(_too_large(size, display))
        data = _read_at_rest(path, display, files)
    except NotRegularError as error:
        raise ProblemsError(
            Problem("unreadable-source", "this is not a regular file", position=Position(display))
        ) from error
    except OSError as error:
        if path.is_symlink() and error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            message = "this symlink is broken"
            raise ProblemsError(Problem("unreadable-source", message, position=Position(display))) from error
        raise ProblemsError(_unreadable("the file can't be read", error, display)) from error
    is_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    kept = is_utf_16 or any(mention in data for mention in mentions)
    budget.spend("source-bytes", len(data) if kept else len(data) / _UNKEPT, Position(display))
    if not kept:
        return None
    return _decoded(data, "utf-16" if is_utf_16 else "utf-8-sig", display)


def _too_large(size: int, display: str) -> Problem:
    limit = MAX_SOURCE_BYTES if size <= MAX_SCANNED_BYTES else MAX_SCANNED_BYTES
    what = "a source file" if size <= MAX_SCANNED_BYTES else "a file among the sources"
    return Problem(
        "unreadable-source",
        f"the file is larger than {limit // 2**20} MiB, the limit for {what}",
        position=Position(display),
        hint="split it, or leave it out of the cluster's sources",
    )


def _read_at_rest(path: Path, display: str, files: CheckoutFiles) -> bytes:
    """The content of a file that nobody writes meanwhile: half a file may well be YAML, of half the Releases.

    Who writes has just emptied it, or is between two halves, so that a file that changed a moment ago is looked at
    again a moment later.
    """
    for _ in range(_ATTEMPTS):
        with files.open(path, display) as file:
            before = _state(os.fstat(file.fileno()))
            data = file.read(min(before[0], MAX_SOURCE_BYTES) + 1)
        age = time.time() - path.stat().st_mtime
        if 0 <= age < _SETTLED:
            time.sleep(_SETTLED - age)
        if _state(path.stat()) == before and len(data) == before[0]:
            return data
    raise ProblemsError(
        Problem(
            "unreadable-source",
            "the file changed each time it was read",
            position=Position(display),
            hint="run again when no other process writes to it",
        )
    )


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _mentioned(file: BinaryIO, mentions: Sequence[bytes]) -> bool:
    """Whether a large file mentions one of `mentions`, found without having it in memory.

    It is not mapped there, either: of a file that someone shortens meanwhile, that would end the process.
    """
    longest = max(map(len, mentions))
    tail = b""
    left = MAX_SCANNED_BYTES
    while left > 0 and (block := file.read(_BLOCK)):
        data = tail + block
        if any(mention in data for mention in mentions):
            return True
        tail = data[-longest:]
        left -= len(block)
    return False


def _decoded(data: bytes, encoding: str, display: str) -> SourceFile:
    try:
        return SourceFile(display, data.decode(encoding))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, "ignore")
        raise ProblemsError(
            Problem(
                "unreadable-source",
                f"the file is not valid {error.encoding.removesuffix('-sig').upper()}",
                position=Position(display, before.count("\n") + 1, len(before) - before.rfind("\n")),
                hint="save it as UTF-8",
            )
        ) from error
