"""Open files below a directory without following symlinks, because a checkout must not give access to other files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # do not block on a pipe without a writer


@contextmanager
def open_root(path: Path) -> Iterator[int]:
    """Yield a descriptor of the directory that the user named, which can be a symlink. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_directory(parent: int, name: str) -> Iterator[int]:
    """Yield a descriptor of the directory `name` in `parent`. Raises OSError, also for a symlink."""
    descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(parent: int, name: str) -> int:
    """Return a descriptor of the regular file `name` in `parent`. Raises OSError, also for a symlink or a device."""
    descriptor = os.open(name, _FILE, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def open_below(root: Path, parts: Sequence[str]) -> int:
    """Return a descriptor of the regular file with the path components `parts` below `root`. Raises OSError."""
    with open_root(root) as descriptor:
        return _open_parts(descriptor, parts)


def _open_parts(parent: int, parts: Sequence[str]) -> int:
    if len(parts) == 1:
        return open_file(parent, parts[0])
    with open_directory(parent, parts[0]) as descriptor:
        return _open_parts(descriptor, parts[1:])


def read_file(parent: int, name: str, limit: int) -> bytes:
    """Return the first `limit` bytes of a regular file. Raises OSError."""
    with open(open_file(parent, name), "rb") as file:
        return file.read(limit)


def files_in(directory: int) -> dict[str, os.stat_result]:
    """Return the regular files in a directory by name, without hidden ones. Raises OSError."""
    with os.scandir(directory) as entries:
        return {
            entry.name: entry.stat(follow_symlinks=False)
            for entry in entries
            if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False)
        }


def directories_in(directory: int) -> list[str]:
    """Return the sorted names of the subdirectories, without symlinks and hidden ones. Raises OSError."""
    with os.scandir(directory) as entries:
        return sorted(
            entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        )
