"""Finding and reading source files: files, directories (recursively) and globs, in a reproducible order."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kubocd_gen.budget.limits import MIB
from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.content import HEAD, Unreadable, is_utf_16, unreadable
from kubocd_gen.checkout.exclusions import Exclusions
from kubocd_gen.checkout.files import CheckoutFiles, NotRegularError
from kubocd_gen.checkout.walk import (
    NO_TARGET,
    READ_HINT,
    DirectoryWalk,
    PatternError,
    broken_symlink,
    chart_of_template,
)
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import fixed_part

SUFFIXES = (".yaml", ".yml", ".json")
"""The suffixes of files that kubectl reads from a directory."""

MAX_SOURCE_BYTES = 16 * MIB
"""The maximum size of a source file: ten of the largest objects, because etcd stores at most 1.5 MiB."""

MAX_SCANNED_BYTES = 256 * MIB
"""The maximum size of a file that is searched for manifests."""

MAX_MENTION = 200
"""The maximum length of what is searched in source files, in bytes."""

Mention = bytes | re.Pattern[bytes]
"""What is searched in source files. A pattern starts with literal bytes, which makes the search fast."""

_UNKEPT = 32  # the factor by which a searched file costs less than one that is kept, which also takes memory
_BLOCK = MIB
_ATTEMPTS = 3
_SETTLED = 0.02  # seconds: several ticks of the file system clock

Places = Mapping[str, Callable[[], Position]]
"""The positions of sources in the project file, computed only when a message needs them."""

NOWHERE: Places = {}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text file of the checkout. `path` is its name in messages: relative to the project's root if it is below it."""

    path: str
    text: str


class FoundFiles(NamedTuple):
    """The files that sources name, sorted by path, and the errors.

    `empty_directories`: some sources contain them. `charts` are the directories of Helm charts in the sources.
    """

    paths: list[Path]
    errors: list[Problem]
    empty_directories: bool
    charts: list[Path]


def find_files(
    sources: Sequence[str],
    root: Path,
    ignore: Sequence[Path],
    places: Places = NOWHERE,
    *,
    files: CheckoutFiles | None = None,
    budget: Budget | None = None,
    exclude: Sequence[str] = (),
    origin: str = "",
) -> FoundFiles:
    """Return the files that `sources` name, without duplicates.

    A source is a file, a directory (read recursively) or a glob, relative to `root`. In directories and globs, only
    files with kubectl's suffixes are read. Hidden files and directories below a source, and the directories in
    `ignore`, are skipped. A source that matches nothing is an error, at its position in `places`; so is a directory
    outside of `files`, which defaults to the checkout of `root`. The globs in `exclude` (see `Exclusions`) and the
    templates of Helm charts are skipped. `origin` is a prefix for the names of files in errors.
    """

    def position_of(source: str) -> Position | None:
        return places[source]() if source in places else None

    walk = source_walk(root, ignore, files or CheckoutFiles.around(root), budget or Budget())
    walk.origin = origin
    found: dict[str, Path] = {}  # by real path: a symlink does not make a file be read twice
    errors: list[Problem] = []
    exclusions = Exclusions(exclude, root)
    for source in sources:
        path = root / source
        if exclusions:
            base = root / fixed_part(source)
            walk.excluded = partial(exclusions.excludes, source=base)
        if os.path.lexists(path):
            for real, file in walk.below(path):
                if not walk.excluded(file):
                    found.setdefault(real, file)
        else:
            try:
                matches = walk.matches(source, root)
            except PatternError as error:
                hint = "list the directories instead: all files below them are read"
                errors.append(Problem("invalid-value", f"a source {error}", position_of(source), hint))
                continue
            if not matches and not walk.errors:
                hint = "use a file, a directory or a glob such as 'clusters/*/releases', relative to the project's root"
                reason = "does not exist" if fixed_part(source) == source else "matches no file"
                message = f"the source '{source}' {reason}"
                errors.append(Problem("missing-source", message, position_of(source), hint))
            for match in matches:
                if chart := chart_of_template(match):
                    walk.charts.append(chart)
                    continue
                for real, file in walk.below(match):
                    if file.name.endswith(SUFFIXES) and not walk.excluded(file):
                        found.setdefault(real, file)
        errors += walk.errors
        walk.errors.clear()
    return FoundFiles(sorted(found.values()), errors, walk.found_empty, sorted(set(walk.charts)))


def source_walk(root: Path, ignore: Sequence[Path], files: CheckoutFiles, budget: Budget) -> DirectoryWalk:
    """Return the walk that finds sources below `root`."""
    return DirectoryWalk(files, budget, SUFFIXES, root, frozenset(os.path.realpath(path) for path in ignore))


def read_source(
    path: Path,
    display: str,
    mentions: Sequence[Mention],
    files: CheckoutFiles | None = None,
    budget: Budget | None = None,
) -> SourceFile | None:
    """Return a file that contains one of `mentions`; None if it contains none of them.

    Raises ProblemsError for a file that can't be read, is outside of `files` (its own checkout by default), exceeds the
    size limit, or is neither UTF-8 nor UTF-16 with a byte order mark. Content that can't be YAML, such as a Git LFS
    pointer or encrypted content, is an error in every file, because it can be that of a Release.
    """
    files, budget = files or CheckoutFiles.around(path.parent), budget or Budget()
    try:
        size = path.stat().st_size
        if size > MAX_SOURCE_BYTES:
            budget.spend("source-bytes", min(size, MAX_SCANNED_BYTES) / _UNKEPT, Position(display))
            with files.open(path, display) as file:
                head = file.read(HEAD)
                if reason := unreadable(head):
                    raise _unreadable_content(display, reason)
                if size <= MAX_SCANNED_BYTES and not _mentioned(file, head, mentions):
                    return None
            is_source = size <= MAX_SCANNED_BYTES
            limit, kind = (
                (MAX_SOURCE_BYTES, "a source file") if is_source else (MAX_SCANNED_BYTES, "a file among the sources")
            )
            message = f"the file is larger than {limit // MIB} MiB, the limit for {kind}"
            raise _unreadable(display, message, "split it, or exclude it from the cluster's sources")
        data = _read_at_rest(path, display, files)
    except NotRegularError as error:
        raise _unreadable(display, "this is not a regular file", "remove it, or exclude it") from error
    except OSError as error:
        if path.is_symlink() and error.errno in NO_TARGET:
            raise ProblemsError(broken_symlink(path, display)) from error
        hint = READ_HINT if isinstance(error, PermissionError) else None
        raise _unreadable(display, f"cannot read the file: {error.strerror}", hint) from error
    if reason := unreadable(data):
        raise _unreadable_content(display, reason)
    utf_16 = is_utf_16(data)
    kept = utf_16 or _mentions(data, mentions)
    budget.spend("source-bytes", len(data) if kept else len(data) / _UNKEPT, Position(display))
    if not kept:
        return None
    return decoded(data, display)


def _unreadable(display: str, message: str, hint: str | None = None) -> ProblemsError:
    return ProblemsError.of("unreadable-source", message, Position(display), hint)


def _unreadable_content(display: str, reason: Unreadable) -> ProblemsError:
    hint = f"{reason.hint}, or exclude it from the cluster's sources"
    return _unreadable(display, f"the file {reason.message}", hint)


def _read_at_rest(path: Path, display: str, files: CheckoutFiles) -> bytes:
    """Return the content of a file that is not being written: half a file can be valid YAML with half the Releases.

    A writer can have truncated the file or written only a part, so a file that changed just now is checked again after
    a moment.
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
    hint = "run again when no other process writes to it"
    raise _unreadable(display, "the file changed each time it was read", hint)


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _mentioned(file: BinaryIO, head: bytes, mentions: Sequence[Mention]) -> bool:
    """Return whether a large file, of which `head` was read, contains one of `mentions`.

    The file is not loaded into memory. It is not mapped either: the process would be killed if another one truncated
    the file.
    """
    tail = head
    left = MAX_SCANNED_BYTES
    while left > 0 and (block := file.read(_BLOCK)):
        data = tail + block
        if _mentions(data, mentions):
            return True
        tail = data[-MAX_MENTION:]
        left -= len(block)
    return False


def _mentions(data: bytes, mentions: Sequence[Mention]) -> bool:
    return any(one in data if isinstance(one, bytes) else one.search(data) for one in mentions)


def decoded(data: bytes, display: str) -> SourceFile:
    """Return the source file with this content. Raises ProblemsError if it is neither UTF-8 nor UTF-16 with a mark."""
    encoding = "utf-16" if is_utf_16(data) else "utf-8-sig"
    try:
        return SourceFile(display, data.decode(encoding))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, "ignore")
        raise ProblemsError.of(
            "unreadable-source",
            f"the file is not valid {error.encoding.removesuffix('-sig').upper()}",
            position=Position(display, before.count("\n") + 1, len(before) - before.rfind("\n")),
            hint="save it as UTF-8",
        ) from error
