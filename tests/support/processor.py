"""A limit on the processor's time: what computes too much fails, and a busy machine changes nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def processor_limit(seconds: float) -> Iterator[None]:
    """Fail with an AssertionError once this process has computed for so many seconds in the block.

    The time is that of all threads in user mode. Give many times what the block takes: the limit is there to tell a
    moment from minutes.
    """

    def too_much(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"it takes more than {seconds} seconds of the processor")

    before = signal.signal(signal.SIGVTALRM, too_much)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
