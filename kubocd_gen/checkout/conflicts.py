"""Conflict markers that Git leaves in a file after a merge, a rebase or a stash."""

from __future__ import annotations

import re
from collections.abc import Iterator

_START = re.compile(r"<<<<<<<(?: |$)")
_BASE = re.compile(r"\|\|\|\|\|\|\|(?: |$)")  # with merge.conflictStyle diff3
_SEPARATOR = re.compile(r"=======$")
_END = re.compile(r">>>>>>>(?: |$)")


def conflict_line(text: str) -> int | None:
    """Return the number of the first line with a conflict marker, starting at 1, or None."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if _START.match(line)), None)


def both_sides(text: str) -> tuple[str, str]:
    """Return the text with the lines of the first side of each conflict, and with those of the second side."""
    return "".join(_side(text, first=True)), "".join(_side(text, first=False))


def _side(text: str, *, first: bool) -> Iterator[str]:
    inside: bool | None = None  # in the first or second side of a conflict, or None outside
    is_base = False
    for line in text.splitlines(keepends=True):
        if _START.match(line):
            inside, is_base = True, False
        elif inside is not None and _BASE.match(line):
            is_base = True
        elif inside is not None and _SEPARATOR.match(line.rstrip("\r\n")):
            inside, is_base = False, False
        elif inside is not None and _END.match(line):
            inside = None
        elif not is_base and inside in (None, first):
            yield line
