"""Find sources that Git has and the working tree lacks: outside a sparse checkout, or in a missing submodule.

`git status` does not report them. They must not count as removed, because Releases can be in them.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from kubocd_gen.checkout.discovery import SUFFIXES
from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import checkout_root, display_path, fixed_part
from kubocd_gen.git.repository import Repository, repository_at

_SYMLINK, _SUBMODULE = "120000", "160000"  # modes in the index
_SUBMODULE_PATH = re.compile(r"^\s*path\s*=\s*(.*?)\s*$", re.MULTILINE)  # in .gitmodules
_SKIPPED = "S"  # the tag of an entry that is outside the sparse checkout (`git ls-files -t`)


def missing_sources(sources: Sequence[str], root: Path, *, empty_directories: bool) -> list[Problem]:
    """Return an error for each file and submodule that Git has in `sources` and that is not in the working tree.

    `sources` are files, directories and globs relative to `root`. Git is asked only if the repository has submodules or
    a sparse checkout, or if the sources have `empty_directories`, which Git creates only for submodules. If Git cannot
    answer then, this is an error, too.
    """
    top = checkout_root(root)
    if top is None:
        return []
    within = [os.path.relpath(os.path.realpath(root / fixed_part(source)), top) for source in sources]
    patterns = [
        _Pattern(below, _glob(source)) for below, source in zip(within, sources, strict=True) if ".." not in below
    ]
    if not patterns or not (empty_directories or _may_lack_files(top, patterns)):
        return []
    try:
        repository = repository_at(top)
        if not isinstance(repository, Repository):
            raise ProblemsError.of("git-failed", repository.reason if repository else "there is no repository")
        entries = repository.index_entries()
    except ProblemsError as error:
        message = f"cannot determine whether all sources are checked out: {error.problem.message}"
        hint = error.problem.hint or "check the repository with 'git status'"
        return [Problem("git-failed", message, Position(display_path(top, root)), hint)]
    return list(_missing(entries, patterns, top, root))


def _may_lack_files(top: Path, patterns: Sequence[_Pattern]) -> bool:
    git = top / ".git"
    if not git.is_dir():  # a worktree, whose sparse checkout is configured elsewhere, or itself a submodule
        return True
    if os.path.lexists(git / "info/sparse-checkout"):
        return True
    try:
        text = (
            CheckoutFiles.around(top).read(top / ".gitmodules", ".gitmodules", CONFIGURATION).decode(errors="replace")
        )
    except FileNotFoundError:
        return False
    except (OSError, ProblemsError):
        return True
    submodules = [PurePosixPath(path.strip('"')).parts for path in _SUBMODULE_PATH.findall(text)]
    return any(one.meets(path) for one in patterns for path in submodules)


class _Pattern:
    """A source: a directory or file `below` the top of the repository, and the parts of a glob below it."""

    def __init__(self, below: str, parts: tuple[str, ...]) -> None:
        self.below = () if below == "." else PurePosixPath(below).parts
        self.parts = parts

    def has(self, path: tuple[str, ...]) -> bool:
        """Return whether the source contains the file `path`."""
        return path[: len(self.below)] == self.below and _matches(path[len(self.below) :], self.parts)

    def meets(self, directory: tuple[str, ...]) -> bool:
        """Return whether the source contains files of `directory`, or can contain them."""
        common = min(len(directory), len(self.below))
        return directory[:common] == self.below[:common] and (
            len(directory) <= len(self.below) or _can_match(directory[len(self.below) :], self.parts)
        )


def _glob(source: str) -> tuple[str, ...]:
    return tuple(part for part in source[len(fixed_part(source)) :].split("/") if part)


def _matches(path: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Return whether the glob matches `path` or a directory above it, below which everything is read."""
    if not parts:
        return not any(part.startswith(".") for part in path)
    if parts[0] == "**":
        return any(_matches(path[count:], parts[1:]) for count in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], parts[0]) and _matches(path[1:], parts[1:])


def _can_match(directory: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Return whether the glob can match `directory`, a directory above it, or something below it."""
    if not parts or parts[0] == "**" or not directory:
        return not any(part.startswith(".") for part in directory) or "**" in parts
    return fnmatch.fnmatchcase(directory[0], parts[0]) and _can_match(directory[1:], parts[1:])


def _missing(
    entries: Iterable[tuple[str, str, str]], patterns: Sequence[_Pattern], top: Path, root: Path
) -> Iterator[Problem]:
    for tag, mode, name in entries:
        path = PurePosixPath(name).parts
        if mode == _SUBMODULE:
            if any(one.meets(path) for one in patterns) and not os.path.lexists(top / name / ".git"):
                hint = "run 'git submodule update --init', or exclude it from the cluster's sources"
                yield _problem(top / name, root, "this submodule is not checked out", hint)
        elif not (name.endswith(SUFFIXES) or any(one.below == path for one in patterns)):
            continue
        elif tag == _SKIPPED and not os.path.lexists(top / name):
            if any(one.has(path) for one in patterns):
                hint = "run 'git sparse-checkout add DIRECTORY', or exclude it from the cluster's sources"
                yield _problem(top / name, root, "this file is in Git, but outside the sparse checkout", hint)
        elif mode == _SYMLINK and _is_plain_file(top / name) and any(one.has(path) for one in patterns):
            hint = "run 'git config core.symlinks true', then 'git restore' for the file"
            yield _problem(top / name, root, "this file is a symlink in Git, but was checked out as a file", hint)


def _is_plain_file(path: Path) -> bool:
    return not path.is_symlink() and path.is_file()


def _problem(path: Path, root: Path, message: str, hint: str) -> Problem:
    return Problem("unreadable-source", message, Position(display_path(path, root)), hint)
