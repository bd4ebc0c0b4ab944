"""The progress line on a terminal."""

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
    """The progress line on standard error, which each call replaces. Thread-safe."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._visible = False
        self._mutex = Lock()

    def __call__(self, line: str) -> None:
        if not self._shown:
            return
        with self._mutex:
            width = shutil.get_terminal_size().columns - 1
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
