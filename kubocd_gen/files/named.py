"""From a path that a user or a project file names to an open directory, or to one file written whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubocd_gen.files.directory import Directory
from kubocd_gen.files.location import Location, locate
from kubocd_gen.files.walk import open_step


def open_directory(path: Path, *, follow_last: bool = False) -> Directory:
    """Open the directory at `path`; see `location` for the symlinks that are followed on the way. Raises OSError."""
    location = locate(path, follow_last=follow_last)
    with _anchor(location) as anchor:
        return anchor.subdirectory("/".join(location.parts), shown=path)


@contextmanager
def made_directory(path: Path, *, follow_last: bool = False, mode: int = 0o777) -> Iterator[Directory]:
    """The directory at `path`, made with those above it if missing, and removed again if the body raises.

    `mode` is that of the last one. Raises OSError.
    """
    location = locate(path, follow_last=follow_last)
    with _anchor(location) as anchor:
        below = "/".join(location.parts)
        made = anchor.make(below, mode=mode) if below else []
        try:
            with anchor.subdirectory(below, shown=path) as directory:
                yield directory
        except BaseException:
            for one in reversed(made):
                with contextlib.suppress(OSError):
                    anchor.remove_directory(one)
            raise


def make_directory(path: Path, *, follow_last: bool = False, mode: int = 0o777) -> None:
    """Make the directory at `path`, with those above it. Raises OSError, also for a symlink that is not followed."""
    with made_directory(path, follow_last=follow_last, mode=mode):
        pass


def write_whole(path: Path, data: bytes, *, make: bool = False) -> None:
    """Replace the file at `path`, or create it: a reader sees the old or the new content, never a part of one.

    The mode of a file that exists is kept. With `make`, missing directories are made. Raises OSError, and changes
    nothing, also where `path` is a symlink or no regular file, or leads through a symlink of a checkout.
    """
    opened = made_directory if make else open_directory
    with opened(path.parent) as directory:
        directory.write(path.name, data)


def read_whole(path: Path, limit: int = 256 << 20) -> bytes | None:
    """Return the content of the regular file at `path`, of at most `limit` bytes; None if there is none.

    Raises OSError as `write_whole` does.
    """
    try:
        with open_directory(path.parent) as directory:
            return directory.read(path.name, limit)
    except FileNotFoundError:
        return None


def _anchor(location: Location) -> Directory:
    return Directory(open_step(location.anchor), location.anchor, location.anchor)
