"""Errors of operations below a directory, with error number, message and file name like those of the system."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


class SymlinkError(OSError):
    """A component of a path is a symlink, which is not followed because it could lead anywhere."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ELOOP, "refusing to follow a symlink", path)


def hint_of(error: OSError) -> str | None:
    """Return the hint for a write that failed because of a symlink or a non-regular file; None for other errors."""
    name = error.filename.removeprefix(f"{Path.cwd()}/") if isinstance(error.filename, str) else None
    if isinstance(error, SymlinkError):
        return f"replace the symlink '{name}' with the file or directory itself, or choose another path"
    if name and error.errno == errno.EINVAL:
        return f"move '{name}' away, or choose another path"
    return None


def not_regular(path: str) -> OSError:
    """Return the error for a FIFO, socket, device or directory at `path` instead of a regular file."""
    return OSError(errno.EINVAL, "not a regular file", path)


def too_large(path: str, limit: int) -> OSError:
    """Return the error for a file at `path` that is larger than `limit` bytes."""
    return OSError(errno.EFBIG, f"larger than {limit} bytes", path)


def refuse_component(part: str, path: str) -> None:
    """Raise OSError for a path component that is not a valid name of an entry, or that is Git's own directory."""
    if part in ("", ".", "..") or "/" in part or "\0" in part:
        raise OSError(errno.EINVAL, "not a path below the directory", path.replace("\0", "\\0"))
    if part.casefold() == ".git":
        raise OSError(errno.EPERM, "refusing to access Git's own directory", path)


def name_error(error: OSError, descriptor: int, name: str, path: str) -> OSError:
    """Return `error`, about the entry `name` of an open directory, with the full path; for a symlink, SymlinkError."""
    if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_symlink(descriptor, name):
        return SymlinkError(path)
    error.filename, error.filename2 = path, None
    return error


def _is_symlink(descriptor: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
    except OSError:
        return False
