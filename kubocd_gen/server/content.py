"""Files below a folder, opened step by step without following a link: what a checkout holds must not lead out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe without a writer must not hold us up


@contextmanager
def open_root(path: Path) -> Iterator[int]:
    """The descriptor of the folder that the user named, who may name it by a link. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_folder(above: int, name: str) -> Iterator[int]:
    """The descriptor of the folder `name` in the folder `above`. Raises OSError, also for a link."""
    descriptor = os.open(name, _FOLDER, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(above: int, name: str) -> int:
    """A descriptor of the regular file `name` in the folder `above`. Raises OSError, also for a link or a device."""
    descriptor = os.open(name, _FILE, dir_fd=above)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return descriptor


def open_below(root: Path, parts: Sequence[str]) -> int:
    """A descriptor of the regular file that the names `parts` lead to from `root`. Raises OSError."""
    with open_root(root) as descriptor:
        return _open_parts(descriptor, parts)


def _open_parts(above: int, parts: Sequence[str]) -> int:
    if len(parts) == 1:
        return open_file(above, parts[0])
    with open_folder(above, parts[0]) as descriptor:
        return _open_parts(descriptor, parts[1:])


def read_file(above: int, name: str, limit: int) -> bytes:
    """The first `limit` bytes of a regular file. Raises OSError."""
    with open(open_file(above, name), "rb") as file:
        return file.read(limit)


def files_in(folder: int) -> dict[str, os.stat_result]:
    """The regular files in a folder by name, dot files aside. Raises OSError."""
    with os.scandir(folder) as entries:
        return {
            entry.name: entry.stat(follow_symlinks=False)
            for entry in entries
            if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False)
        }


def folders_in(folder: int) -> list[str]:
    """The names of the folders in a folder, sorted; no links and no hidden ones. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        )
