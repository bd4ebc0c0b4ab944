"""The files of states in a cache, to be listed and removed."""

from __future__ import annotations

import contextlib
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.files.directory import STAGED, Directory, open_directory

STATES = "state"  # the directory of states in a cache
_ABANDONED = 60 * 60  # seconds: a file of this age that is not complete was left by a process that was killed
_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class CachedState:
    """The state of the builds of one cluster. `used` is in seconds since 1970, accurate to a day."""

    name: str  # relative to the cache
    size: int  # bytes
    used: float


def cached_states(cache: Path) -> list[CachedState]:
    """Return the states in the cache directory, by name. Raises OSError."""
    with _opened(cache) as directory:
        if directory is None:
            return []
        return [
            CachedState(f"{STATES}/{name}", size, used)
            for name, size, used in _files(directory)
            if _NAME.fullmatch(name)
        ]


def prune_states(cache: Path, unused_for: float, now: float | None = None) -> tuple[int, int]:
    """Remove the states that were not used for `unused_for` seconds. Return their number and total size in bytes.

    Files that killed processes have left are removed, too. Raises OSError.
    """
    now = time.time() if now is None else now
    count = freed = 0
    with _opened(cache) as directory:
        for name, size, used in _files(directory) if directory else ():
            if _NAME.fullmatch(name) and now - used >= unused_for:
                count, freed = count + 1, freed + size
            elif not name.startswith(STAGED) or now - used <= _ABANDONED:
                continue
            with contextlib.suppress(FileNotFoundError):
                directory.remove_file(name)  # type: ignore[union-attr]
    return count, freed


@contextlib.contextmanager
def _opened(cache: Path) -> Iterator[Directory | None]:
    try:
        directory = open_directory(cache / STATES)
    except FileNotFoundError:
        yield None
        return
    with directory:
        yield directory


def _files(directory: Directory) -> list[tuple[str, int, float]]:
    """Return the name, the size and the modification time of each regular file, by name."""
    found = []
    for entry in sorted(directory.entries(""), key=lambda entry: entry.name):
        status = directory.status(entry.name)
        if status is not None and stat.S_ISREG(status.st_mode):
            found.append((entry.name, status.st_size, status.st_mtime))
    return found
