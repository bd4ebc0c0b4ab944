"""Opening a directory, or writing or reading a whole file, by a path that a user or a project file names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubocd_gen.files.directory import Directory
from kubocd_gen.files.location import Location, locate
from kubocd_gen.files.walk import open_step


def open_directory(path: Path, *, follow_last: bool = False) -> Directory:
    """Open the directory at `path`; see `location` for the symlinks that are followed. Raises OSError."""
    location = locate(path, follow_last=follow_last)
    with _anchor(location) as anchor:
        return anchor.subdirectory("/".join(location.parts), shown=path)


@contextmanager
def made_directory(path: Path, *, follow_last: bool = False, mode: int = 0o777) -> Iterator[Directory]:
    """Open the directory at `path`. It and its parents are created if missing, and removed again if the block raises.

    `mode` is the mode of the last directory. Raises OSError.
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
    """Create the directory at `path` and its parents. Raises OSError, also for a symlink that is not followed."""
    with made_directory(path, follow_last=follow_last, mode=mode):
        pass


def write_whole(path: Path, data: bytes, *, make: bool = False) -> None:
    """Replace or create the file at `path` in one step: readers see the old or the new content, never a part.

    The mode of an existing file is kept. With `make`, missing directories are created. Raises OSError, without any
    change, also if `path` is a symlink or not a regular file, or goes through a symlink in a checkout.
    """
    opened = made_directory if make else open_directory
    with opened(path.parent) as directory:
        directory.write(path.name, data)


def read_whole(path: Path, limit: int = 256 << 20) -> bytes | None:
    """Return the content of the regular file at `path`, of at most `limit` bytes; None if there is none.

    Raises OSError like `write_whole`.
    """
    try:
        with open_directory(path.parent) as directory:
            return directory.read(path.name, limit)
    except FileNotFoundError:
        return None


def _anchor(location: Location) -> Directory:
    return Directory(open_step(location.anchor), location.anchor, location.anchor)
