"""The helm processes of a run: never more at once than fit into memory together, and all on one budget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kubocd_gen.budget.spending import Budget
from kubocd_gen.helm.process import Run, run_helm

# helm starts in 64 MiB, and takes up to thirty times the size of its input.
_LEAST = 144 << 20
_TIMES_INPUT = 30
_PART = 0.55  # of the run's memory, for all helm processes; the rest is for what they print, and for kcd-gen itself


class HelmPool:
    """Runs `binary`, at most `jobs` processes at once. All who run helm in one compilation share the pool."""

    def __init__(self, binary: Path, *, jobs: int = 2, budget: Budget | None = None) -> None:
        self.binary = binary.absolute()  # helm runs in a scratch folder
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
        """One run, once there is room for it.

        `size` is that of its input, in bytes; `whole` gives it all memory. The seconds up to `free` are not counted.

        Raises OSError where helm can't be started, and BudgetExceededError.
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
        """`wanted` bytes, in the order in which they were asked for: one who wants all of them gets them, too."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                while self._waiting[0] is not turn or self._free < wanted or self._running >= self.jobs:
                    self._changed.wait(0.5)  # at times, so that a signal is noticed
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
    """What spends the seconds that a run takes once it has had the first `free` of them."""
    left = free

    def spend(seconds: float) -> None:
        nonlocal left
        counted = max(0.0, seconds - left)
        left = max(0.0, left - seconds)
        budget.spend("helm-time", counted)

    return spend
