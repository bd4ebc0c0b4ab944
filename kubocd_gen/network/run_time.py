"""The network time of a run: one limit for all its transfers, retries and redirects together.

Limits for single responses are not enough: a hundred slow hosts can each stay below theirs. The limit counts the time
during which at least one request is in progress, but not the time of helm and the disk in between.
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
    """A context manager around each request. Thread-safe and reentrant."""

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
                with suppress(BudgetExceededError):  # a response that arrived in time is used; the next request fails
                    self._budget.spend(RESOURCE, self._clock() - self._since)

    def left(self) -> float:
        """Return the seconds left; 0 if the limit is reached."""
        with self._lock:
            waited = self._clock() - self._since if self._under_way else 0.0
        return max(0.0, self._budget.left(RESOURCE) - waited)

    def error(self) -> BudgetExceededError:
        """Return the error for the exceeded limit, or for the limit that ended the run before."""
        limit = self._budget.limits.of(RESOURCE)
        try:
            self._budget.spend(RESOURCE, limit + 1)
        except BudgetExceededError as error:
            return error
        return BudgetExceededError(RESOURCE, limit)
