"""How long a run can wait for the network: one deadline for all its transfers, retries and redirects together.

Limits for one answer don't add up: a hundred hosts that drip each stay below theirs. Counted is the time in which at
least one request is under way; what helm and the disk take in between is not the network's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from kubocd_gen.budget.spending import Budget, BudgetExceededError

RESOURCE = "network-time"


class RunTime:
    """A context manager around each request; safe to use from several threads, and within itself."""

    def __init__(self, budget: Budget, clock: Callable[[], float]) -> None:
        self._budget, self._clock = budget, clock
        self._lock = threading.Lock()
        self._under_way = 0
        self._since = 0.0

    def __enter__(self) -> Self:
        with self._lock:
            if self._under_way == 0:
                self._since = self._clock()
            self._under_way += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._under_way -= 1
            if self._under_way == 0:
                with suppress(BudgetExceededError):  # what has come in time is used; the next request is refused
                    self._budget.spend(RESOURCE, self._clock() - self._since)

    def left(self) -> float:
        """Seconds until the deadline, 0 if it has passed."""
        with self._lock:
            waited = self._clock() - self._since if self._under_way else 0.0
        return max(0.0, self._budget.left(RESOURCE) - waited)

    def error(self) -> BudgetExceededError:
        """The error for a deadline that has passed, or for what ended the run before."""
        limit = self._budget.limits.of(RESOURCE)
        try:
            self._budget.spend(RESOURCE, limit + 1)
        except BudgetExceededError as error:
            return error
        return BudgetExceededError(RESOURCE, limit)
