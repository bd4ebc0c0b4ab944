"""A limit on processor time: excessive computing fails, but a busy machine has no influence."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def processor_limit(seconds: float) -> Iterator[None]:
    """Fail with an AssertionError once this process has computed for `seconds` in the block.

    The time is that of all threads in user mode. Pass many times what the block needs: the limit only distinguishes
    moments from minutes.
    """

    def too_much(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"exceeded {seconds} s of processor time")

    before = signal.signal(signal.SIGVTALRM, too_much)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
