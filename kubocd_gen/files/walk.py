"""An open directory. Everything below it is reached component by component, without following symlinks.

Each operation opens the directories in its path again, with `O_NOFOLLOW`, and then acts on a name in the last of them.
So if a directory is replaced by a symlink, before or during the operation, the operation fails or acts on the original
directory.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, Self

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not block

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# On Linux, directories in the path can be opened without read permission.
_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class SymlinkError(OSError):
    """A component of a path is a symlink, which is not followed because it could lead anywhere."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ELOOP, "refusing to follow a symlink", path)


class Entry(NamedTuple):
    """An entry of a directory. A symlink is not a directory, even if it leads to one."""

    name: str
    is_directory: bool
    is_symlink: bool
    is_file: bool


class OpenDirectory:
    """An open directory for reading. Its descriptor is closed with this object.

    Paths are relative to it, with slashes (`a/b`); "" is the directory itself, if allowed. `..`, empty components,
    absolute paths and `.git` are refused. `path` is the directory's name in messages, `real` its real path and
    `descriptor` its file descriptor. Every method raises OSError with the full path as `filename`, and SymlinkError for
    a symlink instead of a directory or file.
    """

    def __init__(self, descriptor: int, path: Path, real: Path) -> None:
        self.path = path.absolute()
        self.real = real
        self.descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def subdirectory(self, path: str, shown: Path | None = None) -> Self:
        """Open a directory below this one, or this one again; `shown` is its name in messages."""
        descriptor = self._open(_components(path) if path else [], _OPEN)
        return type(self)(descriptor, shown or self.path / path, self.real / path)

    def status(self, path: str = "") -> os.stat_result | None:
        """Return the status of the entry at `path`, without following a symlink; None if it does not exist."""
        if not path:
            return os.fstat(self.descriptor)
        try:
            with self._above(path) as (above, name):
                try:
                    return os.stat(name, dir_fd=above, follow_symlinks=False)
                except FileNotFoundError:
                    return None
        except FileNotFoundError:  # a directory above it
            return None

    def entries(self, path: str = "") -> list[Entry]:
        """Return the entries of the directory `path`, sorted by name."""
        with self.subdirectory(path) as directory, os.scandir(directory.descriptor) as entries:
            found = [
                Entry(one.name, one.is_dir(follow_symlinks=False), one.is_symlink(), one.is_file(follow_symlinks=False))
                for one in entries
            ]
        return sorted(found)

    def statuses(self) -> dict[str, os.stat_result]:
        """Return the status of each entry of this directory by its name, without following symlinks."""
        found = {}
        with os.scandir(self.descriptor) as entries:
            for one in entries:
                with suppress(FileNotFoundError):  # removed in the meantime
                    found[one.name] = one.stat(follow_symlinks=False)
        return found

    def open_file(self, path: str) -> BufferedReader:
        """Open a regular file for reading."""
        return os.fdopen(self._open_regular(path), "rb")

    def _open_regular(self, path: str) -> int:
        with self._above(path) as (above, name):
            descriptor = os.open(name, READ, dir_fd=above)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            mode = os.fstat(descriptor).st_mode
            os.close(descriptor)
            raise not_regular(self._name(path), mode)
        return descriptor

    def read(self, path: str, limit: int) -> bytes:
        """Return the content of a regular file of at most `limit` bytes."""
        descriptor = self._open_regular(path)
        try:
            size = os.fstat(descriptor).st_size
            if size > limit:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", self._name(path))
            data = os.read(descriptor, size)  # not more, even if the file is growing
            while len(data) < size and (more := os.read(descriptor, size - len(data))):  # a signal can interrupt it
                data += more
            return data
        finally:
            os.close(descriptor)

    def _name(self, path: str) -> str:
        return str(self.path / path) if path else str(self.path)

    def _open(self, parts: list[str], flags: int) -> int:
        """Return a new descriptor of the directory at `parts`."""
        if not parts:
            return os.open(".", flags & ~os.O_NOFOLLOW, dir_fd=self.descriptor)
        above = self.descriptor
        for depth, part in enumerate(parts, 1):
            try:
                below = os.open(part, flags if depth == len(parts) else _STEP, dir_fd=above)
            except OSError as error:
                raise _named(error, above, part, self._name("/".join(parts[:depth]))) from None
            finally:
                if above != self.descriptor:
                    os.close(above)
            above = below
        return above

    @contextmanager
    def _above(self, path: str) -> Iterator[tuple[int, str]]:
        """Yield the descriptor of the parent directory of `path`, and the name in it. Errors get the full path."""
        *parents, name = _components(path)
        above = self._open(parents, _STEP) if parents else self.descriptor
        try:
            yield above, name
        except OSError as error:
            if isinstance(error.filename, str) and error.filename.startswith("/"):
                raise  # already has its full path
            raise _named(error, above, name, self._name(path)) from None
        finally:
            if above != self.descriptor:
                os.close(above)


def open_step(path: Path) -> int:
    """Open a directory as a starting point, on Linux without read permission. Raises OSError."""
    return os.open(path, _STEP)


def not_regular(path: str, mode: int) -> OSError:
    """Return the error for a FIFO, socket, device or directory at `path` instead of a regular file."""
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a directory"}
    return OSError(errno.EINVAL, f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a regular file", path)


def _components(path: str) -> list[str]:
    """Split `path`. Raises OSError for a component that is not a valid name, or that is Git's own directory."""
    parts = path.split("/")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part:
            raise OSError(errno.EINVAL, "not a path below the directory", path.replace("\0", "\\0"))
        if part.casefold() == ".git":
            raise OSError(errno.EPERM, "refusing to access Git's own directory", path)
    return parts


def _named(error: OSError, descriptor: int, name: str, path: str) -> OSError:
    """Return `error`, about the entry `name` of an open directory, with the full path; for a symlink, SymlinkError."""
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        with suppress(OSError):
            if stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                return SymlinkError(path)
    error.filename, error.filename2 = path, None
    return error
