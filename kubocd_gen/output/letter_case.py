"""Paths that differ in the case of their letters alone: two files on Linux, one on most Macs and on Windows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def clashes(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each path that is another one but for its case, after that other one."""
    first: dict[str, str] = {}
    for path in sorted(paths):
        other = first.setdefault(path.casefold(), path)
        if other != path:
            yield other, path


def ignores_case(folder: Path) -> bool:
    """Whether names in `folder`, which need not exist, are the same in both cases; found without writing anything."""
    absolute = folder.absolute()
    for place in (absolute, *absolute.parents):
        other = place.with_name(place.name.swapcase())
        if other != place and os.path.lexists(place):
            return os.path.lexists(other) and os.path.samestat(os.lstat(place), os.lstat(other))
    return False
