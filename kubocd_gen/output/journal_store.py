"""The directory in which the journal of a write is stored, outside of what a commit can contain.

Git refuses paths with a component `.git`, so the journal is stored in the repository's Git directory,
`<git directory>/kcd-gen/<key>`, with a key derived from the output's path in the working tree. If the output is not in
a repository, or its Git directory is not writable, the journal is stored in the user's state directory,
`$XDG_STATE_HOME/kcd-gen/<key>` (default: `~/.local/state`), with a key derived from the output's real path.
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

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.directory import Directory
from kubocd_gen.files.paths import checkout_top
from kubocd_gen.files.walk import open_step
from kubocd_gen.output.tree import output_position

_NAME = "kcd-gen"
_LONGEST_POINTER = 8192  # bytes of a file `.git`
# Errors after which the next location is tried.
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENOENT, errno.ELOOP)
_ATTEMPTS = 10  # to create a directory that other processes remove because it is empty


@dataclass(frozen=True, slots=True)
class _Location:
    """A base directory (Git's or the user's) and the key of an output in it."""

    base: Path
    key: str
    is_state: bool = False

    @property
    def path(self) -> str:
        return f"{_NAME}/{self.key}"


class JournalStore:
    """The open directory of one output in a trusted location. Methods raise OSError."""

    def __init__(self, base: Directory, path: str, directory: Directory) -> None:
        self._base = base
        self._path = path
        self.directory = directory

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the content of a file, or None if there is no such file."""
        try:
            return self.directory.read(name, limit)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes, *, durable: bool) -> None:
        """Write a file atomically; if `durable`, return only once it is on disk."""
        self.directory.write(name, data, durable=durable)
        if durable:
            self.directory.sync("")

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self.directory.remove_file(name)
            with contextlib.suppress(OSError):  # the file is removed; only a power failure could restore it
                self.directory.sync("")

    def discard(self) -> None:
        """Remove the directory and its content. It is safe to kill this at any point."""
        with contextlib.suppress(OSError):
            self._base.remove(self._path)
            self._base.remove_empty(_NAME)


def stores(output: Path) -> list[JournalStore]:
    """Return the existing stores of the output with this real path."""
    found = []
    for location in _locations(output):
        with contextlib.suppress(OSError):
            base = _base(location)
            directory = base.subdirectory(location.path)
            if _is_private(base.status(_NAME)) and _is_private(directory.status()):
                found.append(JournalStore(base, location.path, directory))
    return found


def make_store(output: Path) -> JournalStore:
    """Create the store of the output with this real path, in the first location that is writable.

    Raises ProblemsError `unwritable-state` if there is none, and OSError if the disk is full or fails.
    """
    refused: list[OSError] = []
    for location in _locations(output):
        try:
            return _make(location)
        except OSError as error:
            if error.errno not in _UNUSABLE:
                raise
            refused.append(error)
    reason = "; ".join(f"{output_position(Path(str(error.filename)))}: {error.strerror}" for error in refused)
    raise ProblemsError.of(
        "unwritable-state",
        "cannot store the journal: neither the Git directory nor the state directory is writable"
        f"{f' ({reason})' if reason else ''}",
        position=output_position(output),
        hint="set XDG_STATE_HOME to a directory outside the checkout to which only you can write",
    )


def _locations(output: Path) -> Iterator[_Location]:
    if found := _git_directory(output):
        top, git = found
        yield _Location(git, _key(output.relative_to(top)))
    state = _state_directory()
    if state is None:
        return
    if not checkout_top(state):
        yield _Location(state, _key(output), is_state=True)
    elif found := _git_directory(state):  # the home directory is a checkout, so its files are not trusted
        yield _Location(found[1], _key(output))


def _key(path: str | Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32]


def _base(location: _Location) -> Directory:
    return Directory(open_step(location.base), location.base, location.base)


def _make(location: _Location) -> JournalStore:
    if location.is_state:
        location.base.mkdir(mode=0o700, parents=True, exist_ok=True)
    base = _base(location)
    for attempt in range(_ATTEMPTS):
        try:
            for path in (_NAME, location.path):
                base.make(path, mode=0o700)
            directory = base.subdirectory(location.path)
            if not (_is_private(base.status(_NAME)) and _is_private(directory.status())):
                raise OSError(
                    errno.EACCES, "it belongs to another user, or others can write to it", f"{base.path}/{_NAME}"
                )
            return JournalStore(base, location.path, directory)
        except FileNotFoundError:  # another kcd-gen process removed the empty directory
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _git_directory(directory: Path) -> tuple[Path, Path] | None:
    """Return the innermost working tree that contains `directory`, and its Git directory; None if it is not trusted.

    This does not run git, because the configuration of a checkout must have no influence. The owner of a Git directory
    controls its content, so it must be the user (or anyone if the user is root, as in containers).
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
    """Return the real path of the directory that `.git` is or points to (worktrees, submodules).

    Returns None if that is inside a working tree, where its content could be committed.
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
    """Return the real path of the user's state directory, or None if there is no home directory."""
    given = os.environ.get("XDG_STATE_HOME", "")
    if not given.startswith("/"):  # the XDG Base Directory Specification says to ignore relative paths
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
