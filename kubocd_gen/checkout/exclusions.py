"""Globs of files and directories that are not read, although they are in a source."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

from kubocd_gen.checkout.walk import MAX_PATTERN, PatternError


class Exclusions:
    """The globs in `patterns`. A glob that matches a directory excludes everything below it.

    A glob is relative to `root` or to the directory of a source. One without a slash matches names at any depth, such
    as `charts` or `*.sops.yaml`. `*` does not match a slash, and `**` matches any number of directories.
    """

    def __init__(self, patterns: Sequence[str], root: Path) -> None:
        """Raises PatternError for a glob that is too long."""
        if any(len(pattern) > MAX_PATTERN for pattern in patterns):
            raise PatternError(f"is a glob of more than {MAX_PATTERN} characters")
        self._root = root.absolute()
        self._globs: list[tuple[list[str], bool]] = []  # the parts, and whether it matches at any depth
        for pattern in patterns:
            if parts := [part for part in pattern.split("/") if part not in ("", ".")]:
                self._globs.append((parts, len(parts) == 1 and not pattern.startswith(("/", "./"))))

    def __bool__(self) -> bool:
        return bool(self._globs)

    def excludes(self, path: Path, source: Path | None = None) -> bool:
        """Return whether `path` is excluded; `source` is the directory of the source in which it was found."""
        absolute = path.absolute()
        for base in (self._root, *([source.absolute()] if source else [])):
            parts = tuple(os.path.relpath(absolute, base).split("/"))
            if parts[0] == "..":
                continue
            for glob, any_depth in self._globs:
                starts = range(len(parts)) if any_depth else (0,)
                if any(_matches(parts[start:], glob) for start in starts):
                    return True
        return False


def _matches(path: Sequence[str], glob: Sequence[str]) -> bool:
    """Return whether the glob matches `path` or a directory above it; `dir/**` does not match `dir` itself."""
    ends = {0}  # of the beginnings of `path` that the parts so far match
    for index, part in enumerate(glob):
        if part == "**":
            least = index == len(glob) - 1
            ends = {later for end in ends for later in range(end + least, len(path) + 1)}
        else:
            ends = {end + 1 for end in ends if end < len(path) and fnmatch.fnmatchcase(path[end], part)}
    return any(ends)
