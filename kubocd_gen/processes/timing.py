"""One line of the log for one operation at a border: a git or helm process, a write, the reading of a cluster."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")


@contextmanager
def timed(log: logging.Logger, operation: str) -> Iterator[list[str]]:
    """Log `operation` and the seconds that the block takes, at level INFO, also if it raises.

    What is appended to the yielded list follows the operation: counts that are known at the end.
    """
    details: list[str] = []
    began = time.monotonic()
    try:
        yield details
    finally:
        if log.isEnabledFor(logging.INFO):
            what = ", ".join((operation, *details))
            log.info("%s: %.3f s", what, time.monotonic() - began)


def without_user_info(text: str) -> str:
    """Return `text` without what is before the `@` in its URLs: a password can be there.

    >>> without_user_info("clone https://me:secret@git.example.com/x")
    'clone https://git.example.com/x'
    """
    return _USER_INFO.sub("", text)
