"""Where a path leads that a user or a project file names, and from where on no symlink may be followed.

What is in a checkout came with it, symlinks included: a pull request can add one. What is outside belongs to the user,
whose symlinks (`/tmp` on macOS, a home on another disk) are followed. A directory counts as the top of a checkout if it
holds `.git` or a project file, or is the current directory; of several, the outermost counts.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.files.errors import SymlinkError

_MARKS = (".git", "kcd-gen.yaml")
_ROOT = Path("/")
_FOLLOWED = 40  # symlinks on one path, as in Linux


@dataclass(frozen=True, slots=True)
class Location:
    """A real directory that exists, and the components that lead on from it, none of them a symlink when looked at."""

    anchor: Path
    parts: tuple[str, ...]


def locate(path: Path, *, follow_last: bool = False) -> Location:
    """Resolve `path`, which need not exist, as the kernel would, but for symlinks in a checkout.

    Raises SymlinkError for one of these, and for a symlink as the last component unless `follow_last`; OSError.
    """
    current = Path.cwd()
    left = [*reversed((current / path).parts)]
    done, followed = _ROOT, 0
    while left:
        part = left.pop()
        if part == "/":
            done = _ROOT
            continue
        if part == "..":
            done = done.parent
            continue
        here = done / part
        if not here.is_symlink():
            done = here
            continue
        if (not left and not follow_last) or checkout_top(done, current):
            raise SymlinkError(str(here))
        followed += 1
        if followed > _FOLLOWED:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        left += reversed(here.readlink().parts)
    anchor = checkout_top(done, current) or _existing(done)
    return Location(anchor, done.relative_to(anchor).parts)


def checkout_top(directory: Path, current: Path | None = None) -> Path | None:
    """Return the outermost directory above `directory`, or itself, that is the top of a checkout. Both are real paths.

    `current` counts as one, too.
    """
    for above in reversed((directory, *directory.parents)):
        if above != _ROOT and (above == current or any(os.path.lexists(above / mark) for mark in _MARKS)):
            return above
    return None


def _existing(directory: Path) -> Path:
    return next(above for above in (directory, *directory.parents) if os.path.lexists(above))
