"""One line on a terminal about what is waited for; nothing where nobody looks."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from unicodedata import combining, east_asian_width

from kubocd_gen.cli.logs import is_logging
from kubocd_gen.diagnostics.problems import printable


class Progress:
    """Writes each line over the one before, on standard error. Safe to use from several threads."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._visible = False
        self._mutex = Lock()

    def __call__(self, line: str) -> None:
        if not self._shown:
            return
        with self._mutex:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r{fitting(printable(line), width)}\x1b[K")
            sys.stderr.flush()
            self._visible = True

    def clear(self) -> None:
        """Take the line away, and write no other."""
        with self._mutex:
            self._shown = False
            if self._visible:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
                self._visible = False


def fitting(text: str, columns: int) -> str:
    """As much of `text` as a terminal shows in so many columns: wide characters take two, combining ones none."""
    for index, character in enumerate(text):
        if not combining(character):
            columns -= 2 if east_asian_width(character) in "WF" else 1
        if columns < 0:
            return text[:index]
    return text


@contextmanager
def progress(*, wanted: bool) -> Iterator[Progress]:
    """The line of a command, while it runs; not on a pipe, and not on a terminal that can't take a line back."""
    line = Progress(shown=wanted and not is_logging() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb")
    try:
        yield line
    finally:
        line.clear()
