"""One log line per operation, with its duration: a git or helm process, a write, or a phase of a compilation.

`recording` also passes each operation to a function, for example for a profile.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")


class Operation(NamedTuple):
    """An operation that has ended. `began` is a time of `time.monotonic`, and `kind` the name of the logger."""

    kind: str
    name: str
    began: float
    seconds: float
    details: tuple[str, ...]


_recorders: list[Callable[[Operation], None]] = []


@contextmanager
def recording(record: Callable[[Operation], None]) -> Iterator[None]:
    """Call `record` with each operation that ends during the block, in the thread that carried it out."""
    _recorders.append(record)
    try:
        yield
    finally:
        _recorders.remove(record)


def report(log: logging.Logger, name: str, began: float, seconds: float, details: Sequence[str] = ()) -> None:
    """Pass an operation that has ended in this thread to `recording`."""
    for record in tuple(_recorders):
        record(Operation(log.name, name, began, seconds, tuple(details)))


@contextmanager
def timed(log: logging.Logger, operation: str, *about: str, level: int = logging.INFO) -> Iterator[list[str]]:
    """Log `operation` and the duration of the block in seconds, also if the block raises.

    Strings in `about` and those that are appended to the yielded list are logged after the operation, for example
    counts known only at the end.
    """
    details = [*about]
    began = time.monotonic()
    try:
        yield details
    finally:
        seconds = time.monotonic() - began
        report(log, operation, began, seconds, details)
        if log.isEnabledFor(level):
            counts = f" ({', '.join(details)})" if details else ""
            log.log(level, "%s%s in %.3f s", operation, counts, seconds)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1, for a line of the log."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def without_user_info(text: str) -> str:
    """Return `text` without the user information in its URLs, which can contain a password.

    >>> without_user_info("clone https://me:secret@git.example.com/x")
    'clone https://git.example.com/x'
    """
    return _USER_INFO.sub("", text)
