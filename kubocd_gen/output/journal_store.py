"""Where the journal of a write is kept: a directory that nobody can change by what a checkout holds.

Git carries no path with a component `.git`, so the repository's own Git directory is such a place:
`<git directory>/kcd-gen/<key>`, where the key is made of the output's path in the working tree. An output that is in no
repository, or in one whose Git directory can't be written, has a place in the user's state directory,
`$XDG_STATE_HOME/kcd-gen/<key>` (by default `~/.local/state`), where the key is made of the output's real path.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.files import Directory
from kubocd_gen.files.location import checkout_top
from kubocd_gen.files.walk import open_step
from kubocd_gen.output.tree import place

_NAME = "kcd-gen"
_LONGEST_POINTER = 8192  # bytes of a file `.git`
_ELSEWHERE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENOENT, errno.ELOOP)
_MADE_AGAIN = 10  # times that a directory is made which others remove because it is empty


@dataclass(frozen=True, slots=True)
class _Place:
    """A base directory of the user or of Git, and the key of one output there."""

    base: Path
    key: str
    is_state: bool = False

    @property
    def path(self) -> str:
        return f"{_NAME}/{self.key}"


class JournalStore:
    """The directory of one output in a trusted place, open. Methods raise OSError."""

    def __init__(self, base: Directory, path: str, directory: Directory) -> None:
        self._base = base
        self._path = path
        self.directory = directory

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a file's content, None if there is no such file."""
        try:
            return self.directory.read(name, limit)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes, *, durable: bool) -> None:
        """Write a file whole; if `durable`, have it on the disk."""
        self.directory.write(name, data, durable=durable)
        if durable:
            self.directory.sync("")

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.directory.remove_file(name)
            with contextlib.suppress(OSError):  # it is gone; only a power failure could bring it back
                self.directory.sync("")

    def discard(self) -> None:
        """Remove the directory with all that is in it; it may be interrupted at will."""
        with contextlib.suppress(OSError):
            self._base.remove(self._path)
            self._base.remove_empty(_NAME)


def stores(output: Path) -> list[JournalStore]:
    """Return the directories that exist for the output with this real path."""
    found = []
    for one in _places(output):
        with contextlib.suppress(OSError):
            base = _base(one)
            directory = base.subdirectory(one.path)
            if _is_private(base.status(_NAME)) and _is_private(directory.status()):
                found.append(JournalStore(base, one.path, directory))
    return found


def make_store(output: Path) -> JournalStore:
    """Make the directory for the output with this real path, in the first place that can be written.

    Raises ProblemsError `unwritable-state` if there is none, and OSError for a disk that is full or fails.
    """
    refused: list[OSError] = []
    for one in _places(output):
        try:
            return _make(one)
        except OSError as error:
            if error.errno not in _ELSEWHERE:
                raise
            refused.append(error)
    raise ProblemsError(_unwritable(output, refused))


def _places(output: Path) -> Iterator[_Place]:
    if found := _git_directory(output):
        top, git = found
        yield _Place(git, _key(output.relative_to(top)))
    state = _state_directory()
    if state is None:
        return
    if not checkout_top(state):
        yield _Place(state, _key(output), is_state=True)
    elif found := _git_directory(state):  # a home that is a checkout, whose content may be anybody's
        yield _Place(found[1], _key(output))


def _key(text: str | Path) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:32]


def _base(one: _Place) -> Directory:
    return Directory(open_step(one.base), one.base, one.base)


def _make(one: _Place) -> JournalStore:
    if one.is_state:
        one.base.mkdir(mode=0o700, parents=True, exist_ok=True)
    base = _base(one)
    for attempt in range(_MADE_AGAIN):
        try:
            for path in (_NAME, one.path):
                base.make(path, mode=0o700)
            directory = base.subdirectory(one.path)
            if not (_is_private(base.status(_NAME)) and _is_private(directory.status())):
                raise OSError(
                    errno.EACCES, "it belongs to another user, or others can write it", f"{base.path}/{_NAME}"
                )
            return JournalStore(base, one.path, directory)
        except FileNotFoundError:  # another kcd-gen has removed an empty directory meanwhile
            if attempt == _MADE_AGAIN - 1:
                raise
    raise AssertionError


def _git_directory(directory: Path) -> tuple[Path, Path] | None:
    """Return the innermost working tree that holds `directory`, and its Git directory; None if none can be trusted.

    No git process is asked: what a checkout configures must not matter. Whoever owns a Git directory decides what is in
    it, so it must be the user's, unless that is root, who runs as such in containers.
    """
    for above in (directory, *directory.parents):
        if os.path.lexists(above / ".git"):
            try:
                git = _resolved(above / ".git")
                return (above, git) if git and os.geteuid() in (0, git.stat().st_uid) else None
            except OSError:
                return None
    return None


def _resolved(git: Path) -> Path | None:
    """Return the real path of the directory that `.git` is or names (worktrees, submodules).

    None for one in a working tree, where its content could be committed.
    """
    real = Path(os.path.realpath(git))
    if real.is_file():
        with real.open("rb") as file:
            pointer = file.read(_LONGEST_POINTER).partition(b"\n")[0]
        if not pointer.startswith(b"gitdir:") or b"\0" in pointer:
            return None
        real = Path(os.path.realpath(git.parent / os.fsdecode(pointer[7:].strip())))
    if not real.is_dir():
        return None
    top = checkout_top(real)
    return real if top is None or ".git" in map(str.casefold, real.relative_to(top).parts) else None


def _state_directory() -> Path | None:
    """Return the real path of the user's directory for state, None if there is no home."""
    given = os.environ.get("XDG_STATE_HOME", "")
    if not given.startswith("/"):  # relative ones are to be ignored (XDG Base Directory Specification)
        try:
            given = str(Path.home() / ".local/state")
        except RuntimeError:
            return None
    return Path(os.path.realpath(given))


def _is_private(status: os.stat_result | None) -> bool:
    return (
        status is not None
        and stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & 0o022
    )


def _unwritable(output: Path, refused: list[OSError]) -> Problem:
    reason = "; ".join(f"{place(Path(str(one.filename)))}: {one.strerror}" for one in refused)
    return Problem(
        "unwritable-state",
        f"no directory for the journal of a write can be used{f' ({reason})' if reason else ''}",
        position=place(output),
        hint="set XDG_STATE_HOME to a directory outside of the checkout that you alone can write",
    )
