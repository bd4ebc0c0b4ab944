"""A watchdog that measures the CPU time and the memory of a compilation and all its processes.

The counts of a Budget can miss something; these measurements can't. If one exceeds its limit, the budget is exhausted,
so the next call that spends from it reports that, and the run ends like after any other error. If no such call is made
in time, the watchdog ends the process.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import printable
from kubocd_gen.processes.children import end_at_once, programs

_EVERY = 0.05  # seconds
_GRACE = 5.0  # seconds that the run has to end by itself
_TOO_MUCH = 1.125  # times the memory limit, at which the process is ended immediately
_PAGE = os.sysconf("SC_PAGESIZE")


@contextlib.contextmanager
def watched(budget: Budget) -> Iterator[None]:
    """Limit the block to the budget's `cpu-time` and `memory`."""
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(budget, ended, _processor_time()), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()


def resident(processes: list[int]) -> int:
    """Return the resident memory of processes and their children in bytes; 0 if the system does not report it."""
    total, waiting, seen = 0, list(processes), set[int]()
    while waiting:
        process = waiting.pop()
        if process in seen:
            continue
        seen.add(process)
        with contextlib.suppress(OSError, ValueError, IndexError):  # the process has just ended
            total += int(_read(f"/proc/{process}/statm").split()[1]) * _PAGE
            if process != os.getpid():  # the children of kcd-gen are passed as `processes`
                for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208 - ten times as fast as a Path
                    waiting += map(int, _read(f"/proc/{process}/task/{thread}/children").split())
    return total


def _watch(budget: Budget, ended: threading.Event, since: float) -> None:
    limits = budget.limits
    known: float | None = None  # when the budget was first found exhausted
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
    # Not a file object: each of its system calls waits for the thread that compiles, and it makes twice as many.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while part := os.read(descriptor, 1 << 16):
            content += part
    finally:
        os.close(descriptor)
    return content.decode("ascii")
