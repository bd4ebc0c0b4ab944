"""Tables of text that fit the terminal; on a pipe, cells are never cut."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from unicodedata import combining, east_asian_width

from kubocd_gen.cli.progress import truncate
from kubocd_gen.diagnostics.problems import printable

_GAP = 2
_LEAST = 6  # the least width of a column that has longer cells


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
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
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
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def cut(text: str, columns: int) -> str:
    """Return `text`, cut to `columns` and ending in `…` if it is longer."""
    return text if _width(text) <= columns else f"{truncate(text, columns - 1)}…"


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
    space = " " * (columns - _width(text))
    return space + text if to_the_right else text + space


def _width(text: str) -> int:
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)
