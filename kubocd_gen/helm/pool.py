"""The helm processes of a run: as many at a time as fit in memory, all with one budget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kubocd_gen.budget.spending import Budget
from kubocd_gen.helm.process import Run, run_helm

# helm needs 64 MiB to start, and up to 30 times the size of its input.
_LEAST = 144 << 20
_TIMES_INPUT = 30
_PART = 0.55  # of the run's memory, for all helm processes; the rest is for their output and kcd-gen itself


class HelmPool:
    """Runs `binary`, at most `jobs` processes at a time. One pool is shared by a whole compilation."""

    def __init__(self, binary: Path, *, jobs: int = 2, budget: Budget | None = None) -> None:
        self.binary = binary.absolute()  # helm runs in a temporary directory
        self.jobs = max(1, jobs)
        self.budget = budget or Budget()
        self.memory = max(_LEAST, int(self.budget.limits.memory * _PART))
        self._free = self.memory
        self._running = 0
        self._waiting: list[object] = []
        self._changed = threading.Condition()

    def run(
        self,
        arguments: Sequence[str],
        home: Path,
        timeout: float,
        *,
        size: int = 0,
        whole: bool = False,
        free: float = 0.0,
        variables: Mapping[str, str] | None = None,
    ) -> Run:
        """Run helm as soon as enough memory is free.

        `size` is the size of its input in bytes; `whole` gives it all memory. The first `free` seconds of CPU time are
        not counted in the budget. Raises OSError if helm can't be started, and BudgetExceededError.
        """
        wanted = self.memory if whole else min(self.memory, _LEAST + _TIMES_INPUT * size)
        with self._room(wanted):
            self.budget.check()
            return run_helm(
                self.binary,
                arguments,
                home,
                timeout,
                memory=wanted,
                spend=_after(free, self.budget),
                variables=variables,
            )

    @contextmanager
    def _room(self, wanted: int) -> Iterator[None]:
        """Reserve `wanted` bytes, first come first served, so a run that needs all memory is not starved."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                while self._waiting[0] is not turn or self._free < wanted or self._running >= self.jobs:
                    self._changed.wait(0.5)  # with a timeout, so that signals are handled
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
            self._free -= wanted
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._running -= 1
                self._changed.notify_all()


def _after(free: float, budget: Budget) -> Callable[[float], None]:
    """Return a function that spends a run's seconds from `budget`, except for the first `free` seconds."""
    left = free

    def spend(seconds: float) -> None:
        nonlocal left
        counted = max(0.0, seconds - left)
        left = max(0.0, left - seconds)
        budget.spend("helm-time", counted)

    return spend
