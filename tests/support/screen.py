"""A terminal's screen: what a program that moves the cursor leaves on it."""

from __future__ import annotations

import re
from unicodedata import east_asian_width

_TOKENS = re.compile(r"\x1b\[(\d*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n])")
_REST = "\0"  # the second column of a wide character


class Screen:
    """A screen with `columns` and `lines`; `text` has its lines without trailing spaces, also those above it."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self._columns, self._lines = columns, lines
        self._rows: list[str] = [""]
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        """Write to the screen what a program prints."""
        for number, command, back, down, character in _TOKENS.findall(text):
            if command == "A":
                self._row = max(len(self._rows) - self._lines, 0, self._row - int(number or 1))
            elif command == "J":
                del self._rows[self._row + 1 :]
                self._rows[self._row] = self._rows[self._row][: self._column]
            elif command == "K":
                self._rows[self._row] = self._rows[self._row][: self._column]
            elif back:
                self._column = 0
            elif down:
                self._down()
            elif character:
                cells = character + _REST * (east_asian_width(character) in "WF")
                if self._column + len(cells) > self._columns:
                    self._down()
                row = self._rows[self._row].ljust(self._column)
                self._rows[self._row] = row[: self._column] + cells + row[self._column + len(cells) :]
                self._column += len(cells)

    def _down(self) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._rows):
            self._rows.append("")

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self._rows).rstrip("\n").replace(_REST, "")
