"""Recognize unchanged files by their status instead of their content, with Git's rule for files that changed just now.

A file system stores times in ticks. A file that is changed twice in one tick, without a change of its size, has the
same status after both changes (Git calls such an entry "racily clean"). So a status is remembered only if, when it was
taken, the last tick in which the file changed was over.

Times in whole seconds are not trusted at all. File systems with such times are FAT, HFS+ and ext3, and read-only images
(squashfs), where all files of all images can have the same time, and the same inode in each image.
"""

from __future__ import annotations

import os
import stat
import time

Signature = str
"""Size, modification time, change time and inode: `mv`, `cp -p` and `touch` can fake some of them, but not all.

It is a string because a state has thousands, and JSON reads one string faster than four numbers.
"""

_TICK = 50_000_000  # nanoseconds: times have the ticks of the kernel, 1 to 10 ms, if they have fractions of one
_MILLISECOND = 1_000_000


def signature(status: os.stat_result) -> Signature:
    """Return the signature of a regular file."""
    return f"{status.st_size}.{status.st_mtime_ns}.{status.st_ctime_ns}.{status.st_ino}"


def is_settled(status: os.stat_result, now: int | None = None) -> bool:
    """Return whether a later change of the file would change its signature. `now` is in nanoseconds since 1970.

    Times in the future are those of another clock, and never settled.
    """
    if status.st_ctime_ns % _MILLISECOND == 0:
        return False
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    return changed < (time.time_ns() if now is None else now) - _TICK


class RealPaths:
    """The real paths of the files of a run: a symlink above an unchanged file can make it another one's.

    Each directory is resolved once.
    """

    def __init__(self) -> None:
        self._directories: dict[str, str] = {}

    def status(self, path: str) -> tuple[os.stat_result, str]:
        """Return the status of a file, and its real path. Raises OSError."""
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return os.stat(path), os.path.realpath(path)  # noqa: PTH116
        directory, _, name = path.rpartition("/")
        real = self._directories.get(directory)
        if real is None:
            real = self._directories[directory] = os.path.realpath(directory or "/")
        return status, f"{real}/{name}"
