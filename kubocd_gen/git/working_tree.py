"""Find sources that Git has and the working tree lacks: outside a sparse checkout, or in a missing submodule.

`git status` does not report them. They must not count as removed, because Releases can be in them.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from kubocd_gen.checkout.discovery import SUFFIXES
from kubocd_gen.checkout.exclusions import Exclusions
from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.checkout.walk import can_lead_to_sources
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import checkout_root, display_path, fixed_part

_SYMLINK, _SUBMODULE = "120000", "160000"  # modes in the index
_SUBMODULE_PATH = re.compile(r"^\s*path\s*=\s*(.*?)\s*$", re.MULTILINE)  # in .gitmodules
_NO_SYMLINKS = re.compile(rb"^\s*symlinks\s*=\s*(false|no|off|0)\b", re.MULTILINE | re.IGNORECASE)  # in its config
_MOST = 20  # problems; a sparse checkout can leave out thousands of files
_SKIPPED = "S"  # the tag of an entry that is outside the sparse checkout (`git ls-files -t`)


def missing_sources(
    sources: Sequence[str], root: Path, *, empty_directories: bool, exclude: Sequence[str] = ()
) -> list[Problem]:
    """Return an error for each file and submodule that Git has in `sources` and that is not in the working tree.

    `sources` are files, directories and globs relative to `root`. Git is asked only if the repository has submodules,
    a sparse checkout or symlinks that are files, or if the sources have `empty_directories`, which Git creates only for
    submodules. If Git cannot answer then, this is an error, too. Files that a glob in `exclude` matches are not
    reported.
    """
    top = checkout_root(root)
    if top is None:
        return []
    within = [os.path.relpath(os.path.realpath(root / fixed_part(source)), top) for source in sources]
    patterns = [
        _Pattern(below, _glob(source))
        for below, source in zip(within, sources, strict=True)
        if below.partition("/")[0] != ".."
    ]
    if not patterns or not (empty_directories or _may_lack_files(top, patterns)):
        return []
    from kubocd_gen.git.repository import Repository, refusal, repository_at  # few builds ask Git

    try:
        repository = repository_at(top)
        if not isinstance(repository, Repository):
            raise refusal(top, repository) if repository else ProblemsError.of("git-failed", "there is no repository")
        entries = repository.index_entries()
    except ProblemsError as error:
        message = f"cannot determine whether all sources are checked out: {error.problem.message}"
        hint = error.problem.hint or "check the repository with 'git status'"
        return [Problem("git-failed", message, Position(display_path(top, root)), hint)]
    excludes = Exclusions(exclude, root).excludes
    bases = [Path(root / fixed_part(source)) for source in sources] if exclude else []
    wanted = [one for one in entries if not any(excludes(top / one[2], base) for base in bases)]
    found = list(_missing(wanted, patterns, top, root))
    if len(found) > _MOST:
        message = f"{len(found) - _MOST} more files and submodules are not checked out"
        found[_MOST:] = [replace(found[_MOST], message=message, position=Position(display_path(top, root)))]
    return found


def _may_lack_files(top: Path, patterns: Sequence[_Pattern]) -> bool:
    git = top / ".git"
    if not git.is_dir():  # a worktree, whose sparse checkout is configured elsewhere, or itself a submodule
        return True
    if os.path.lexists(git / "info/sparse-checkout") or _lacks_symlinks(git / "config"):
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


def _lacks_symlinks(config: Path) -> bool:
    """Return whether Git checks out symlinks as files, which it notes when it creates the repository."""
    try:
        return _NO_SYMLINKS.search(config.read_bytes()) is not None
    except OSError as error:
        return not isinstance(error, FileNotFoundError)


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
    """Return whether the glob matches `path` or a directory above it, below which everything is read.

    `*` and `**` do not match hidden names.
    """
    ends = {0}  # of the beginnings of `path` that the parts so far match
    for part in parts:
        if part == "**":
            ends = {later for end in ends for later in range(end, end + _shown(path[end:]) + 1)}
        else:
            ends = {end + 1 for end in ends if end < len(path) and _takes(part, path[end])}
    return any(_shown(path[end:]) == len(path) - end for end in ends)


def _takes(part: str, name: str) -> bool:
    return fnmatch.fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))


def _shown(path: tuple[str, ...]) -> int:
    """Return the number of names before the first hidden one."""
    return next((index for index, name in enumerate(path) if name.startswith(".")), len(path))


def _can_match(directory: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Return whether the glob can match `directory`, a directory above it, or something below it."""
    if not parts or parts[0] == "**" or not directory:
        return not any(part.startswith(".") for part in directory) or "**" in parts
    return fnmatch.fnmatchcase(directory[0], parts[0]) and _can_match(directory[1:], parts[1:])


def _missing(
    entries: Iterable[tuple[str, str, str]], patterns: Sequence[_Pattern], top: Path, root: Path
) -> Iterator[Problem]:
    from kubocd_gen.git.repository import git_command

    for tag, mode, name in entries:
        path = PurePosixPath(name).parts
        if mode == _SUBMODULE:
            if any(one.meets(path) for one in patterns) and not os.path.lexists(top / name / ".git"):
                command = git_command(top, "submodule", "update", "--init", name)
                yield _problem(top / name, root, "this submodule is not checked out", command)
        elif not (_can_be_source(name, mode) or any(one.below == path for one in patterns)):
            continue
        elif tag == _SKIPPED and not os.path.lexists(top / name):
            if any(one.has(path) for one in patterns):
                command = git_command(top, "sparse-checkout", "add", str(PurePosixPath(name).parent))
                yield _problem(top / name, root, "this file is in Git, but outside the sparse checkout", command)
        elif mode == _SYMLINK and _is_plain_file(top / name) and any(one.has(path) for one in patterns):
            message = "this file is a symlink in Git, but was checked out as a file"
            yield _problem(top / name, root, message, git_command(top, "config", "core.symlinks", "true"))


def _can_be_source(name: str, mode: str) -> bool:
    return can_lead_to_sources(name) if mode == _SYMLINK else name.endswith(SUFFIXES)


def _is_plain_file(path: Path) -> bool:
    return not path.is_symlink() and path.is_file()


def _problem(path: Path, root: Path, message: str, command: str) -> Problem:
    hint = f"run '{command}', or exclude it from the cluster's sources"
    return Problem("unreadable-source", message, Position(display_path(path, root)), hint)
