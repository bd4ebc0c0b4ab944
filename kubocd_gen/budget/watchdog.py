"""What a compilation really takes, measured while it runs: time of the processor, and memory of all its processes.

The counts of a Budget are made where input is read, and can miss something; these two can't. What goes beyond exhausts
the budget, so that the next one to spend from it reports that and the run ends as after any error. Where nobody spends
in time, the process is ended from here.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import printable
from kubocd_gen.processes.children import end_at_once, programs

_EVERY = 0.05  # seconds
_GRACE = 5.0  # seconds until the run must have ended by itself
_TOO_MUCH = 1.125  # times the memory limit: then there is no waiting
_PAGE = os.sysconf("SC_PAGESIZE")


@contextlib.contextmanager
def watched(budget: Budget) -> Iterator[None]:
    """What runs inside takes no more than the budget's `cpu-time` and `memory`."""
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(budget, ended, _processor_time()), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()


def resident(processes: list[int]) -> int:
    """The memory, in bytes, that the processes and all that they have started hold; 0 where no system says it."""
    total, waiting, seen = 0, list(processes), set[int]()
    while waiting:
        process = waiting.pop()
        if process in seen:
            continue
        seen.add(process)
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
            total += int(_read(f"/proc/{process}/statm").split()[1]) * _PAGE
            if process != os.getpid():  # its own are `programs`
                for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208 - ten times a Path's speed
                    waiting += map(int, _read(f"/proc/{process}/task/{thread}/children").split())
    return total


def _watch(budget: Budget, ended: threading.Event, since: float) -> None:
    limits = budget.limits
    known: float | None = None  # when the budget was first seen to be used up
    while not ended.wait(_EVERY):
        memory = resident([os.getpid(), *programs()])
        time_taken = _processor_time() - since + budget.spent("helm-time")
        error: BudgetExceededError | None = None
        if memory > limits.memory:
            error = budget.exhaust("memory")
        elif time_taken > limits.cpu_time:
            error = budget.exhaust("cpu-time")
        if not budget.exhausted:
            continue
        known = time.monotonic() if known is None else known
        if error is not None and (time.monotonic() - known > _GRACE or memory > limits.memory * _TOO_MUCH):
            end_at_once(
                1, f"error[{error.problem.code}]: {printable(error.problem.message)}", f"    {error.problem.hint}"
            )


def _processor_time() -> float:
    times = os.times()
    return times.user + times.system


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii")
