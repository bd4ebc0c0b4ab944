"""Paths as strings in messages and sources, and their resolution up to where symlinks must not be followed.

Symlinks inside a checkout are not followed, because a pull request can add them. Symlinks outside are the user's own
(`/tmp` on macOS, a home directory on another disk) and are followed. A directory is the top of a checkout if it
contains `.git` or a project file, or is the current directory; the outermost one counts.
"""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Callable
from pathlib import Path

from kubocd_gen.files.walk import SymlinkError

_MARKS = (".git", "kcd-gen.yaml")
_ROOT = Path("/")
_FOLLOWED = 40  # symlinks on one path, as in Linux


def checkout_root(directory: Path) -> Path | None:
    """Return the real path of the Git working tree that contains `directory`; None if there is none."""
    real = Path(os.path.realpath(directory))
    return next((one for one in (real, *real.parents) if os.path.lexists(one / ".git")), None)


def fixed_part(source: str) -> str:
    """Return a source up to its first part with a wildcard; "" if that is the first part."""
    fixed: list[str] = []
    for part in source.split("/"):
        if glob.has_magic(part):
            return "/".join(fixed) or ("/" if source.startswith("/") else "")
        fixed.append(part)
    return source


def display_path(path: Path, root: Path) -> str:
    """Return `path` for messages and reports: relative to `root` or the current directory, or absolute."""
    absolute = path.absolute()
    for base in (root.absolute(), Path.cwd()):
        if absolute.is_relative_to(base):
            absolute = absolute.relative_to(base)
            break
    return os.fsencode(absolute.as_posix()).decode("utf-8", "replace")  # names on disk can contain any bytes


def resolve(path: Path, passed: Callable[[Path, bool], None]) -> Path:
    """Resolve the absolute `path`, which need not exist, like the kernel; each component is read only once.

    `passed` is called with each symlink before it is followed, and with whether it is the last component. Raises
    OSError for too many symlinks.
    """
    left = [*reversed(path.parts)]
    done, followed = _ROOT, 0
    while left:
        part = left.pop()
        if part.startswith("/"):  # "//x" has the root "//" in pathlib, which is "/" for the kernel
            done = _ROOT
            continue
        below = done.parent if part == ".." else done / part
        try:
            target = below.readlink()
        except OSError:  # not a symlink
            done = below
            continue
        passed(below, not left)
        followed += 1
        if followed > _FOLLOWED:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        left += reversed(target.parts)
    return done


def locate(path: Path, *, follow_last: bool = False) -> tuple[Path, str]:
    """Resolve `path` without following symlinks in a checkout.

    Returns an existing directory without symlinks, and the path below it, which had no symlink when it was checked.
    Raises SymlinkError for such a symlink, or if the last component is a symlink unless `follow_last`; and OSError.
    """
    current = Path.cwd()

    def refuse(symlink: Path, is_last: bool) -> None:
        if (is_last and not follow_last) or checkout_top(symlink.parent, current):
            raise SymlinkError(str(symlink))

    real = resolve(current / path, refuse)
    anchor = checkout_top(real, current) or next(one for one in (real, *real.parents) if os.path.lexists(one))
    return anchor, "/".join(real.relative_to(anchor).parts)


def checkout_top(directory: Path, current: Path | None = None) -> Path | None:
    """Return the outermost of `directory` and its parents that is the top of a checkout; None if there is none.

    Both arguments are real paths. `current` counts as the top of a checkout, too.
    """
    for above in reversed((directory, *directory.parents)):
        if above != _ROOT and (above == current or any(os.path.lexists(above / mark) for mark in _MARKS)):
            return above
    return None
