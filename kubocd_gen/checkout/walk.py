"""Walking directories and matching globs, at a cost that symlinks can't multiply.

Symlinks are followed. Eight directories with symlinks to each other have more paths than can ever be walked. So each
real directory is listed only once per walk or pattern part, by the first path that reaches it.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, shown
from kubocd_gen.files.paths import display_path

MAX_DEPTH = 100
"""The maximum depth of directories below a source. The deepest real checkouts have some 20."""

MAX_PATTERN = 500
"""The maximum length of a glob in characters."""

_MAX_RECURSIVE = 4  # '**' in a glob: each multiplies the number of times that a directory is listed
_COUNTED_AT = 1000  # entries after which they are counted, because a directory can have millions
READ_HINT = "allow the user who runs kcd-gen to read it, or exclude it from the cluster's sources"
NO_TARGET = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # a broken symlink

# Names of files that are not sources. A symlink with any other name can lead to a directory with Releases.
_NOT_SOURCES = re.compile(
    r"\.(md|rst|adoc|txt|html|pdf|png|jpe?g|gif|svg|py|sh|go|js|ts|tf|toml|ini|lock|log|tgz|gz|zip|tpl|tmpl|j2)$",
    re.IGNORECASE,
)
_CHART, _TEMPLATES = "Chart.yaml", "templates"

_Identity = tuple[int, int]


class PatternError(ValueError):
    """A glob exceeds a limit. The message is the rest of a sentence after "a source"."""


def can_lead_to_sources(name: str) -> bool:
    """Return whether a symlink of this name can lead to a source or a directory with sources."""
    return not _NOT_SOURCES.search(name)


def broken_symlink(path: Path, display: str) -> Problem:
    """Return the error for a symlink among the sources whose target does not exist."""
    try:
        target = f" to {shown(str(path.readlink()))}"
    except OSError:  # it was replaced in the meantime
        target = ""
    hint = "restore its target, or exclude the symlink from the cluster's sources"
    return Problem("unreadable-source", f"the symlink{target} is broken", Position(display), hint)


@dataclass(slots=True)
class DirectoryWalk:
    """A walk through directories of a checkout. Hidden names and the directories in `ignored` are skipped.

    Only files with one of `suffixes` are found. Paths that can't be read, or are outside of `files`, are added to
    `errors`, with the prefix `origin`. Every entry counts in the budget's `files`. `listed` has the real paths of the
    directories that were read; `found_empty` is set if one of them has no entries at all. Paths for which `excluded`
    returns True are skipped. So are the templates of Helm charts, which are no manifests; `charts` has the directories
    of these charts.
    """

    files: CheckoutFiles
    budget: Budget
    suffixes: tuple[str, ...]
    display_root: Path
    ignored: frozenset[str] = frozenset()
    origin: str = ""
    excluded: Callable[[Path], bool] = lambda _: False
    errors: list[Problem] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)
    found_empty: bool = False
    charts: list[Path] = field(default_factory=list)
    _walked: set[_Identity] = field(default_factory=set)
    _reported: set[str] = field(default_factory=set)

    def below(self, path: Path) -> Iterator[tuple[str, Path]]:
        """Yield the real path and the path of `path`, or, if it is a directory, of the files below it, in order.

        Directories that this walk has already visited are skipped. A broken symlink is an error, because Releases can
        be in its target.
        """
        if not os.path.isdir(path):  # noqa: PTH112 - it raises nothing
            self.report_broken(path)
            yield os.path.realpath(path), path
            return
        waiting: list[tuple[Path, int, str | None]] = [(path, 0, None)]
        while waiting:
            at, depth, real_file = waiting.pop()
            if real_file is not None:
                yield real_file, at
                continue
            if not self.is_new(at, self._walked):
                continue
            entries = self.entries(at, depth)
            is_chart = any(entry.name == _CHART for entry in entries)
            for entry in reversed(entries):
                if self.excluded(at / entry.name):
                    continue
                if self.is_directory(entry, at):
                    if is_chart and entry.name == _TEMPLATES:
                        self.charts.append(at)
                        continue
                    waiting.append((at / entry.name, depth + 1, None))
                elif entry.name.endswith(self.suffixes):
                    real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                    waiting.append((at / entry.name, depth, real))

    def matches(self, pattern: str, root: Path) -> list[Path]:
        """Return the paths that a glob matches, sorted, like `glob.glob` with `recursive`, but not files below these.

        Raises PatternError.
        """
        parts = [part for part in pattern.split("/") if part]
        if len(pattern) > MAX_PATTERN:
            raise PatternError(f"is a glob of more than {MAX_PATTERN} characters")
        if parts.count("**") > _MAX_RECURSIVE:
            raise PatternError(f"is a glob with more than {_MAX_RECURSIVE} '**' parts")
        base = Path("/") if pattern.startswith("/") else root
        search = _Search(self, parts, directories_only=pattern.endswith("/"))
        return sorted(set(search.run(base)), key=str)

    def is_new(self, path: Path, seen: set[_Identity]) -> bool:
        """Return whether the directory is not yet in `seen`, by any path, and add it."""
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            # The path has too many symlinks; the directory can be reached by another path.
            if error.errno not in (*NO_TARGET, errno.ENAMETOOLONG):
                self._unreadable(path, error)
            return False
        known = len(seen)
        seen.add((status.st_dev, status.st_ino))
        return len(seen) > known

    def entries(self, path: Path, depth: int, *, hidden: bool = False) -> list[os.DirEntry[str]]:
        """Return the entries of a directory, sorted by name."""
        real = os.path.realpath(path)
        if real in self.ignored:
            return []
        if not self.files.holds(Path(real)):
            self._report(path, lambda position: self.files.refusal("the path", Path(real), position))
            return []
        if depth > MAX_DEPTH:
            self._unreadable(path, f"it is nested more than {MAX_DEPTH} directories deep")
            return []
        self.listed.add(real)
        try:
            with os.scandir(real) as found:
                every = list(self._counted(found))
        except OSError as error:
            self._unreadable(path, error)
            return []
        self.found_empty |= not every
        kept = (entry for entry in every if hidden or not entry.name.startswith("."))
        return sorted(kept, key=lambda entry: entry.name)

    def is_directory(self, entry: os.DirEntry[str], above: Path) -> bool:
        """Return whether an entry is a directory or a symlink to one."""
        if not entry.is_symlink():
            return entry.is_dir()
        try:
            return stat.S_ISDIR(entry.stat().st_mode)
        except OSError as error:
            if error.errno in NO_TARGET:
                self.report_broken(above / entry.name)
            else:
                self._unreadable(above / entry.name, error)
            return False

    def report_broken(self, path: Path) -> None:
        """Add an error if `path` is a broken symlink that can lead to a directory with sources.

        If its name is that of a source, the walk finds it, and reading it is an error.
        """
        if path.name.endswith(self.suffixes) or not can_lead_to_sources(path.name) or self.excluded(path):
            return
        if path.is_symlink() and not os.path.exists(path):  # noqa: PTH110
            self._report(path, lambda position: broken_symlink(path, position.path))

    def _counted(self, entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        count = 1  # the directory itself: even an empty one costs time
        for entry in entries:
            yield entry
            count += 1
            if count == _COUNTED_AT:
                self.budget.spend("files", count)
                count = 0
        self.budget.spend("files", count)

    def _unreadable(self, path: Path, reason: OSError | str) -> None:
        hint = READ_HINT if isinstance(reason, PermissionError) else None
        text = (reason.strerror or str(reason)) if isinstance(reason, OSError) else reason
        what = f"cannot read the directory: {text}"
        self._report(path, lambda position: Problem("unreadable-source", what, position, hint))

    def _report(self, path: Path, error: Callable[[Position], Problem]) -> None:
        """Add an error about a path, only once per path."""
        display = display_path(path, self.display_root)
        if display not in self._reported:
            self._reported.add(display)
            self.errors.append(error(Position(self.origin + display)))


@dataclass(slots=True)
class _Search:
    """The search for one glob. Each real directory is listed once for each part of the pattern."""

    walk: DirectoryWalk
    parts: Sequence[str]
    directories_only: bool

    def run(self, base: Path) -> Iterator[Path]:
        seen: list[set[_Identity]] = [set() for _ in self.parts]
        waiting = [(base, 0, 0)]  # path, index of the part to match below it, depth
        while waiting:
            at, index, depth = waiting.pop()
            if index == len(self.parts):
                yield at
            elif self.walk.is_new(at, seen[index]):
                part, last = self.parts[index], index + 1 == len(self.parts)
                if part == "**" and last and not (self.directories_only and at == base):
                    yield at  # includes everything below: the caller reads directories recursively
                else:
                    waiting += self._below(at, index, depth)

    def _below(self, at: Path, index: int, depth: int) -> Iterator[tuple[Path, int, int]]:
        """Yield the next steps of the search, in reverse order."""
        part, last = self.parts[index], index + 1 == len(self.parts)
        if part == "**":
            for entry in reversed(self.walk.entries(at, depth)):
                if self.walk.is_directory(entry, at):
                    yield at / entry.name, index, depth + 1
            if not last:
                yield at, index + 1, depth
        elif not glob.has_magic(part):
            below = at / part
            may_be_file = last and not self.directories_only
            if os.path.lexists(below) if may_be_file else os.path.isdir(below):  # noqa: PTH112
                yield below, index + 1, depth + 1
            elif not may_be_file:
                self.walk.report_broken(below)
        else:
            takes = re.compile(fnmatch.translate(part)).match
            for entry in reversed(self.walk.entries(at, depth, hidden=part.startswith("."))):
                may_be_file = last and not self.directories_only
                if takes(entry.name) and (may_be_file or self.walk.is_directory(entry, at)):
                    yield at / entry.name, index + 1, depth + 1


def chart_of_template(path: Path) -> Path | None:
    """Return the directory of the Helm chart of which `path` is a template; None if it is not one."""
    templates = (one for one in path.parents if one.name == _TEMPLATES)
    return next((one.parent for one in templates if (one.parent / _CHART).is_file()), None)


def real_directories(root: Path, budget: Budget) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield the directories at and below `root` like `os.walk`, without symlinks; callers can remove names.

    Entries count in the budget's `files`. Directories more than MAX_DEPTH deep are skipped.
    """
    for name, directories, files in os.walk(root):
        path = Path(name)
        budget.spend("files", 1 + len(directories) + len(files))
        if len(path.relative_to(root).parts) >= MAX_DEPTH:
            directories.clear()
        yield path, directories, files
