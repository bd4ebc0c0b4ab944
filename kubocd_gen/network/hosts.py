"""The state of a host during a run: its four connections, and how long it, and the network as a whole, can delay it.

An unavailable registry must delay a build by seconds, not by seconds for each package. So all requests of a run to a
host share one time account. Time is charged while at least one failed request is neither answered nor given up. When a
failed request succeeds later, the time since the last charge is forgiven, so a registry that throttles but responds is
never given up. When the account is empty, the host is closed: all further requests fail immediately, with the same
cause.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import Self

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.network.settings import NetworkError

CONNECTIONS = 4
TRIES = 5
# Full jitter: a random part of 1, 2, 4, 8 s. 7.5 s on average for the five attempts of a request, 15 s at most.
BACKOFF, BACKOFF_LIMIT = 1.0, 8.0
RETRY_AFTER_LIMIT = 10.0  # a longer Retry-After is cut to this
# The time account of a host, in seconds. Connecting is limited to the time left, so a host that drops connections, or
# that returns errors, is closed after exactly this time. A request in progress then gets at most LAST_WAIT. 25 s + 10 s
# are within the 40 s that a registry can delay a build, with 5 s to spare.
OUTAGE = 25.0
LAST_WAIT = 10.0
_NETWORK_TIME = "network-time"


PLAIN_HTTP = "if it serves plain HTTP, use a URL that starts with 'http://'"
"""The hint for a host that does not serve HTTPS. A client replaces it if its users don't write URLs."""


@dataclass(eq=False)
class AttemptError(Exception):
    """A failed attempt of a request. `text` is a message that starts with the host, without a full stop."""

    host: str
    text: str
    _: KW_ONLY
    hint: str | None = None
    passing: bool = True  # the failure may be temporary
    reached: bool = True  # the host has responded, even with an error
    broken: bool = False  # it failed while the body was read
    retry_after: float | None = None  # the host's Retry-After in seconds
    began: float | None = None  # when the request was sent; waiting for a free connection can take long before that


class Host:
    """A host and port. Thread-safe."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.slots = threading.BoundedSemaphore(CONNECTIONS)
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0  # requests that have failed and are being retried
        self._since = 0.0  # the time up to which the account is settled
        self._charged = 0.0
        self._closed: tuple[AttemptError, str] | None = None  # the cause, and the end of the message
        self._answered = False
        self._not_before = 0.0

    def check(self) -> None:
        """Raise NetworkError if the host is closed."""
        with self._lock:
            if self._closed is not None:
                raise _failed(*self._closed)

    def answered(self) -> None:
        """Record that the host has sent a response, even an error."""
        with self._lock:
            self._answered = True

    def left(self) -> float | None:
        """Return the seconds left in the account; None if no failed request is waiting."""
        with self._lock:
            return max(0.0, OUTAGE - self._spent()) if self._waiting else None

    def hold(self) -> float:
        """Return the seconds to wait because of the host's Retry-After."""
        with self._lock:
            return max(0.0, self._not_before - self._clock())

    def begin(self, since: float) -> None:
        """Record that a request has failed for the first time, in an attempt that began at `since`."""
        with self._lock:
            if self._waiting == 0:
                self._since = max(self._since, since)
            self._waiting += 1

    def end(self, *, recovered: bool) -> None:
        """Record that a failed request has succeeded, or is given up."""
        with self._lock:
            now = self._clock()
            if not recovered:
                self._charged += now - self._since
            self._since = now
            self._waiting -= 1

    def earn(self, seconds: float) -> None:
        """Reduce the charged time by `seconds` because a failed request is receiving data again."""
        with self._lock:
            if self._waiting:
                self._since = min(self._clock(), self._since + seconds)

    def pause(self, trouble: AttemptError, tries: int, chance: float) -> float:
        """Return the seconds to wait after `tries` attempts; `chance` is a random number from 0 to 1.

        Raises NetworkError if there must be no further attempt, and closes the host if it is unavailable.
        """
        asked = min(trouble.retry_after or 0.0, RETRY_AFTER_LIMIT)
        wait = max(asked, chance * min(BACKOFF_LIMIT, BACKOFF * 2.0 ** (tries - 1)))
        with self._lock:
            if self._closed is None and wait >= OUTAGE - self._spent():
                self._closed = trouble, f"; gave up after {self._spent():.0f} s"
            elif self._closed is None and tries >= TRIES and not trouble.reached and not self._answered:
                self._closed = trouble, f", after {tries} attempts"
            if self._closed is not None:
                raise _failed(*self._closed)
            if tries >= TRIES:
                raise _failed(trouble, f", after {tries} attempts")
            if asked:
                self._not_before = max(self._not_before, self._clock() + asked)
        return wait

    def _spent(self) -> float:
        return self._charged + (self._clock() - self._since if self._waiting else 0.0)


def _failed(trouble: AttemptError, suffix: str) -> NetworkError:
    hint = trouble.hint
    if trouble.retry_after is not None and trouble.retry_after > RETRY_AFTER_LIMIT:
        hint = f"run again in {trouble.retry_after:.0f} s, as the host requests"
    return NetworkError(f"{trouble.text}{suffix}", code="registry-failed", hint=hint)


class RunTime:
    """The network time of a run: a context manager around each request. Thread-safe and reentrant.

    Limits for single responses are not enough: a hundred slow hosts can each stay below theirs. This one counts the
    time during which at least one request is in progress, but not the time of helm and the disk in between.
    """

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

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._under_way -= 1
            if self._under_way == 0:
                with suppress(BudgetExceededError):  # a response that arrived in time is used; the next request fails
                    self._budget.spend(_NETWORK_TIME, self._clock() - self._since)

    def left(self) -> float:
        """Return the seconds left; 0 if the limit is reached."""
        with self._lock:
            waited = self._clock() - self._since if self._under_way else 0.0
        return max(0.0, self._budget.left(_NETWORK_TIME) - waited)

    def error(self) -> BudgetExceededError:
        """Return the error for the exceeded limit, or for the limit that ended the run before."""
        return self._budget.exhaust(_NETWORK_TIME)


def exhausted(host: str, error: BudgetExceededError) -> NetworkError:
    """Return the error that ends a run's transfers, with the current host."""
    problem = error.problem
    message = f"the transfer from {host} was stopped: {problem.message}"
    return NetworkError(message, code=problem.code, hint=problem.hint)


def interrupted() -> NetworkError:
    """Return the error of a transfer that `close` has ended."""
    return NetworkError("the transfer was interrupted", code="registry-failed")
