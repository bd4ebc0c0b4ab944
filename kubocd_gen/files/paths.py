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
from typing import Self

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


class FilePath(str):
    """The name of a file in reports for programs, which also knows where the file is, for people."""

    _directory: Path
    _below: str

    def __new__(cls, name: str, directory: Path, below: str = "") -> Self:
        made = super().__new__(cls, name)
        made._directory, made._below = directory, below
        return made

    def __reduce__(self) -> tuple[type[FilePath], tuple[str, Path, str]]:
        return FilePath, (str(self), self._directory, self._below)

    @property
    def absolute(self) -> Path:
        """Where the file is. Only messages need it, so it is not computed for each file that is read."""
        return self._directory / self._below if self._below else self._directory


def display_path(path: Path, root: Path, origin: str = "") -> str:
    """Return the name of `path` in reports: relative to `root` or the current directory, or absolute; a FilePath.

    `origin` names the Git revision whose files are in `root`. A file of it is not a FilePath, because it is temporary.
    """
    absolute = path.absolute()
    text = str(absolute)
    bases = (str(base).rstrip("/") + "/" for base in (root.absolute(), Path.cwd()))
    start = next((len(base) for base in bases if f"{text}/".startswith(base)), 0)
    name = _encoded(text[start:] or ".")
    return f"{origin}{name}" if origin else FilePath(name, absolute)


def name_below(directory: str, path: str) -> str:
    """Return the name of the file at `path` below the directory with a name, which can be a FilePath."""
    if isinstance(directory, FilePath):
        return FilePath(f"{directory}/{path}", directory.absolute, path)
    return f"{directory}/{path}"


def shown_path(path: Path | str) -> str:
    """Return `path` as text for people, who open it from where they are: relative to the current directory.

    A path that has nothing in common with the current directory stays absolute. A string is returned as it is unless it
    is a FilePath: it can also name a package or a file in a Git revision.
    """
    if isinstance(path, FilePath):
        path = path.absolute
    elif isinstance(path, str):
        return path
    absolute, current = path.absolute(), Path.cwd()
    if absolute.is_relative_to(current):
        return _text(absolute.relative_to(current))
    real = Path(os.path.realpath(absolute.parent)) / absolute.name  # `..` leads out of a directory, not of a symlink
    return _text(absolute if real.parts[:2] != current.parts[:2] else Path(os.path.relpath(real, current)))


def hint_of(error: OSError) -> str | None:
    """Return the hint for a write that failed because of a symlink or a non-regular file; None for other errors."""
    name = shown_path(Path(error.filename)) if isinstance(error.filename, str) else None
    if isinstance(error, SymlinkError):
        return f"replace the symlink '{name}' with the file or directory itself, or choose another path"
    if name and error.errno in (errno.EINVAL, errno.EISDIR):
        return f"choose the path of a regular file or of a new file instead of '{name}'"
    if name and error.errno == errno.ENOTDIR:
        return f"choose another path: there is a file where '{name}' needs a directory"
    return None


def _text(path: Path) -> str:
    return _encoded(path.as_posix())


def _encoded(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")  # names on disk can contain any bytes


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
