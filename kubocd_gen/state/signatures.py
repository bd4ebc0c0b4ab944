"""Recognize unchanged files by their status instead of their content, with Git's rule for files that changed just now.

A file system stores times in ticks. A file that is changed twice in one tick, without a change of its size, has the
same status after both changes (Git calls such an entry "racily clean"). So a status is remembered only if, when it was
taken, the last tick in which the file changed was over.
"""

from __future__ import annotations

import os
import time

Signature = str
"""Size, modification time, change time and inode: `mv`, `cp -p` and `touch` can fake some of them, but not all.

It is a string because a state has thousands, and JSON reads one string faster than four numbers.
"""

_COARSE = 2_000_000_000  # nanoseconds: the longest tick of a file system, that of FAT; HFS+ has 1 s
_FINE = 50_000_000  # if the times have fractions of a millisecond, they have the ticks of the kernel: 1 to 10 ms
_MILLISECOND = 1_000_000


def signature(status: os.stat_result) -> Signature:
    """Return the signature of a regular file."""
    return f"{status.st_size}.{status.st_mtime_ns}.{status.st_ctime_ns}.{status.st_ino}"


def is_settled(status: os.stat_result, now: int | None = None) -> bool:
    """Return whether a later change of the file would change its signature. `now` is in nanoseconds since 1970.

    Times in the future are those of another clock, and never settled.
    """
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    tick = _FINE if status.st_ctime_ns % _MILLISECOND else _COARSE
    return changed < (time.time_ns() if now is None else now) - tick
