"""The progress line, and tables that fit the terminal; on a pipe, cells are never cut."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from unicodedata import combining, east_asian_width

from kubocd_gen.cli.console import is_logging
from kubocd_gen.diagnostics.problems import printable

_GAP = 2
_LEAST = 6  # the least width of a column that has longer cells


class Progress:
    """The progress line on standard error, which each call replaces. Thread-safe."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._visible = False
        self._mutex = Lock()

    def __call__(self, line: str) -> None:
        if not self._shown:
            return
        with self._mutex:
            width = _columns() - 1
            sys.stderr.write(f"\r{truncate(printable(line), width)}\x1b[K")
            sys.stderr.flush()
            self._visible = True

    def clear(self) -> None:
        """Erase the line, and ignore later calls."""
        with self._mutex:
            self._shown = False
            if self._visible:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
                self._visible = False


def truncate(text: str, columns: int) -> str:
    """Return the longest start of `text` that fits into `columns`; wide characters take two, combining ones none."""
    for index, character in enumerate(text):
        if not combining(character):
            columns -= 2 if east_asian_width(character) in "WF" else 1
        if columns < 0:
            return text[:index]
    return text


@contextmanager
def progress(*, wanted: bool) -> Iterator[Progress]:
    """Show the progress line while a command runs, unless stderr is a pipe or a terminal that cannot erase a line."""
    line = Progress(shown=wanted and not is_logging() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb")
    try:
        yield line
    finally:
        line.clear()


def table(
    rows: Iterable[Sequence[str]],
    *,
    titles: Sequence[str] = (),
    indent: int = 0,
    right: Iterable[int] = (),
    columns: int | None = None,
) -> Iterator[str]:
    """Yield the printable lines of a table; without rows, nothing, not even `titles`.

    The columns at the indexes `right` are right-aligned. No line is wider than `columns`, by default the terminal's:
    the widest cells are cut first and end in `…`. Without a terminal, nothing is cut.
    """
    cells = [tuple(map(printable, row)) for row in rows]
    if not cells:
        return
    cells = [*([tuple(titles)] if titles else []), *cells]
    widths = [max(map(text_width, column)) for column in zip(*cells, strict=True)]
    columns = terminal_columns() if columns is None else columns
    if columns is not None:
        widths = _shared(widths, columns - indent - _GAP * (len(widths) - 1))
    ends = set(right)
    for row in cells:
        fitted = map(cut, row, widths)
        padded = (_padded(cell, widths[at], to_the_right=at in ends) for at, cell in enumerate(fitted))
        yield (" " * indent + (" " * _GAP).join(padded)).rstrip()


def terminal_columns() -> int | None:
    """Return the width of the terminal on standard output; None if it is not a terminal."""
    return _columns() if sys.stdout.isatty() else None


def _columns() -> int:
    import shutil  # most output does not depend on the width

    return shutil.get_terminal_size().columns


def cut(text: str, columns: int) -> str:
    """Return `text`, cut to `columns` and ending in `…` if it is longer."""
    return text if text_width(text) <= columns else f"{truncate(text, columns - 1)}…"


def _shared(widths: Sequence[int], room: int) -> list[int]:
    """Return the widths with the largest ones lowered to a common maximum until they fit into `room`."""
    for most in range(max(widths), _LEAST, -1):
        if sum(min(width, most) for width in widths) <= room:
            # Lowering all of them leaves spare columns, which go to the first cells that were cut.
            spare = room - sum(min(width, most) for width in widths)
            fitted = []
            for width in widths:
                more = min(spare, max(0, width - most))
                fitted.append(min(width, most) + more)
                spare -= more
            return fitted
    return [min(width, _LEAST) for width in widths]


def _padded(text: str, columns: int, *, to_the_right: bool) -> str:
    space = " " * (columns - text_width(text))
    return space + text if to_the_right else text + space


def text_width(text: str) -> int:
    """Return the number of columns that `text` takes; wide characters take two, combining ones none."""
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)
