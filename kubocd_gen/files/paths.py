"""Paths for messages, the fixed part of a glob, and the Git working tree that contains a directory."""

from __future__ import annotations

import glob
import os
from pathlib import Path


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
    """Return `path` for messages and reports: relative to `root`, else to the current directory, else absolute."""
    absolute = path.absolute()
    for base in (root.absolute(), Path.cwd()):
        if absolute.is_relative_to(base):
            absolute = absolute.relative_to(base)
            break
    return os.fsencode(absolute.as_posix()).decode("utf-8", "replace")  # names on disk can contain any bytes
