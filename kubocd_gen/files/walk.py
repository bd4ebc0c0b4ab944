"""An open directory. Everything below it is reached component by component, without following symlinks.

Each operation opens the directories in its path again, with `O_NOFOLLOW`, and then acts on a name in the last of them.
So if a directory is replaced by a symlink, before or during the operation, the operation fails or acts on the original
directory.
"""

from __future__ import annotations

import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, Self

from kubocd_gen.files.errors import name_error, not_regular, refuse_component, too_large

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not block

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# On Linux, directories in the path can be opened without read permission.
_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
        descriptor = self._open(_parts(path), _OPEN)
        return type(self)(descriptor, shown or self.path / path, self.real / path)

    def status(self, path: str = "") -> os.stat_result | None:
        """Return the status of the entry at `path`, without following a symlink; None if it does not exist."""
        if not path:
            return os.fstat(self.descriptor)
        try:
            above, name = self._reach(path)
            try:
                return os.stat(name, dir_fd=above, follow_symlinks=False)
            except OSError as error:
                raise self._named(error, above, name, path) from None
            finally:
                self._leave(above)
        except FileNotFoundError:
            return None

    def entries(self, path: str = "") -> list[Entry]:
        """Return the entries of the directory `path`, sorted by name."""
        with self.subdirectory(path) as directory, os.scandir(directory.descriptor) as entries:
            found = [
                Entry(one.name, one.is_dir(follow_symlinks=False), one.is_symlink(), one.is_file(follow_symlinks=False))
                for one in entries
            ]
        return sorted(found)

    def open_file(self, path: str) -> BufferedReader:
        """Open a regular file for reading."""
        return os.fdopen(self._open_file(path)[0], "rb")

    def read(self, path: str, limit: int) -> bytes:
        """Return the content of a regular file of at most `limit` bytes."""
        descriptor, size = self._open_file(path)
        try:
            if size > limit:
                raise too_large(self._name(path), limit)
            data = b""
            while len(data) < size and (more := os.read(descriptor, size - len(data))):
                data += more  # at most `size`, even if the file is growing
            return data
        finally:
            os.close(descriptor)

    def _name(self, path: str) -> str:
        return str(self.path / path) if path else str(self.path)

    def _open(self, parts: tuple[str, ...], flags: int) -> int:
        """Return a new descriptor of the directory at `parts`."""
        if not parts:
            return os.open(".", flags & ~os.O_NOFOLLOW, dir_fd=self.descriptor)
        above = self.descriptor
        for depth, part in enumerate(parts, 1):
            try:
                below = os.open(part, flags if depth == len(parts) else _STEP, dir_fd=above)
            except OSError as error:
                raise name_error(error, above, part, self._name("/".join(parts[:depth]))) from None
            finally:
                if above != self.descriptor:
                    os.close(above)
            above = below
        return above

    def _open_file(self, path: str) -> tuple[int, int]:
        """Return a descriptor of a regular file, and its size."""
        above, name = self._reach(path)
        try:
            descriptor = os.open(name, READ, dir_fd=above)
        except OSError as error:
            raise self._named(error, above, name, path) from None
        finally:
            self._leave(above)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise not_regular(self._name(path))
        return descriptor, status.st_size

    @contextmanager
    def _above(self, path: str) -> Iterator[tuple[int, str]]:
        """Yield the descriptor of the parent directory of `path`, and the name in it. Errors get the full path."""
        above, name = self._reach(path)
        try:
            yield above, name
        except OSError as error:
            if isinstance(error.filename, str) and error.filename.startswith("/"):
                raise  # already has its full path
            named = self._named(error, above, name, path)
            if named is error:
                raise
            raise named from None
        finally:
            self._leave(above)

    def _reach(self, path: str) -> tuple[int, str]:
        """Return the descriptor of the parent directory of `path`, to be closed with `_leave`, and the name in it."""
        if not path:
            refuse_component(path, path)
        *above, name = _parts(path)
        return (self._open(tuple(above), _STEP) if above else self.descriptor), name

    def _leave(self, descriptor: int) -> None:
        if descriptor != self.descriptor:
            os.close(descriptor)

    def _named(self, error: OSError, descriptor: int, name: str, path: str) -> OSError:
        return name_error(error, descriptor, name, self._name(path))


def open_step(path: Path) -> int:
    """Open a directory as a starting point, on Linux without read permission. Raises OSError."""
    return os.open(path, _STEP)


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(path.split("/")) if path else ()
    for part in parts:
        refuse_component(part, path)
    return parts
