"""One log line per operation, with its duration: a git or helm process, a write, or the reading of a cluster."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")


@contextmanager
def timed(log: logging.Logger, operation: str) -> Iterator[list[str]]:
    """Log `operation` and the duration of the block in seconds, at level INFO, also if the block raises.

    Strings appended to the yielded list are logged after the operation, for example counts known only at the end.
    """
    details: list[str] = []
    began = time.monotonic()
    try:
        yield details
    finally:
        if log.isEnabledFor(logging.INFO):
            counts = f" ({', '.join(details)})" if details else ""
            log.info("%s%s in %.3f s", operation, counts, time.monotonic() - began)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1, for a line of the log."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def without_user_info(text: str) -> str:
    """Return `text` without the user information in its URLs, which can contain a password.

    >>> without_user_info("clone https://me:secret@git.example.com/x")
    'clone https://git.example.com/x'
    """
    return _USER_INFO.sub("", text)
