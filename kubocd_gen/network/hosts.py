"""What a run knows about a host: its four connections, and how long it may keep a build waiting.

A dead registry must cost a build seconds, not seconds for each of its packages. So the requests of a run share one
account a host. Time is charged while at least one request that has failed is neither answered nor given up; when a
request gets through after all, the time since the last charge is forgiven, so that a registry that throttles but serves
is never given up. When the account is empty the host is closed: whatever else would ask it fails at once, for the same
cause.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kubocd_gen.network.settings import NetworkError

CONNECTIONS = 4
TRIES = 5
# Full jitter: a random part of 1, 2, 4, 8 s. 7.5 s on average for the five tries of one request, 15 s at most.
BACKOFF, BACKOFF_LIMIT = 1.0, 8.0
RETRY_AFTER_LIMIT = 10.0  # a host that wants to be left alone for longer is asked again after this, or given up
# With connecting limited to what is left, a host that swallows connections is closed after exactly this; one that
# answers errors, too. A request that is under way then gets LAST_WAIT at most: 25 s + 10 s stay below the 40 s that a
# build may lose to a registry, with 5 s for all the rest.
OUTAGE = 25.0
LAST_WAIT = 10.0


class AttemptError(Exception):
    """An attempt that came to nothing. `text` is a sentence about the host without its end.

    `passing`: worth another try. `reached`: the host has answered, however badly. `broken`: while the answer's body was
    read. `retry_after`: seconds for which the host asks to be left alone.
    """

    def __init__(
        self,
        host: str,
        text: str,
        *,
        hint: str | None = None,
        passing: bool = True,
        reached: bool = True,
        broken: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text)
        self.host, self.text, self.hint = host, text, hint
        self.began: float | None = None  # when the host was asked, which may be long after a slot was waited for
        self.passing, self.reached, self.broken, self.retry_after = passing, reached, broken, retry_after


class Host:
    """One host and port; safe to use from several threads."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.slots = threading.BoundedSemaphore(CONNECTIONS)
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0  # requests that have failed and are still tried
        self._since = 0.0  # up to when time has been charged or forgiven
        self._charged = 0.0
        self._closed: AttemptError | None = None
        self._why = ""
        self._answered = False
        self._not_before = 0.0

    def check(self) -> None:
        """Raises NetworkError where the host is closed."""
        with self._lock:
            if self._closed is not None:
                raise _failed(self._closed, self._why)

    def answered(self) -> None:
        """The host has sent an answer, be it an error: it is there."""
        with self._lock:
            self._answered = True

    def left(self) -> float | None:
        """Seconds of the account while a request waits for the host, None while none does."""
        with self._lock:
            return max(0.0, OUTAGE - self._spent()) if self._waiting else None

    def hold(self) -> float:
        """Seconds for which the host has asked to be left alone."""
        with self._lock:
            return max(0.0, self._not_before - self._clock())

    def begin(self, since: float) -> None:
        """A request has failed for the first time, in an attempt that began at `since`."""
        with self._lock:
            if self._waiting == 0:
                self._since = max(self._since, since)
            self._waiting += 1

    def end(self, *, recovered: bool) -> None:
        """That request was answered after all, or is given up."""
        with self._lock:
            now = self._clock()
            if not recovered:
                self._charged += now - self._since
            self._since = now
            self._waiting -= 1

    def earn(self, seconds: float) -> None:
        """Bytes of a request that had failed come again: what they are worth is not charged."""
        with self._lock:
            if self._waiting:
                self._since = min(self._clock(), self._since + seconds)

    def pause(self, trouble: AttemptError, tries: int, chance: float) -> float:
        """How many seconds to wait after `tries` tries; `chance` is random, from 0 to 1.

        Raises NetworkError where there is to be no further try, and closes the host where it is the host's fault.
        """
        asked = min(trouble.retry_after or 0.0, RETRY_AFTER_LIMIT)
        wait = max(asked, chance * min(BACKOFF_LIMIT, BACKOFF * 2.0 ** (tries - 1)))
        with self._lock:
            if self._closed is not None:
                raise _failed(self._closed, self._why)
            if wait >= OUTAGE - self._spent():
                self._close(trouble, f"; gave up after {self._spent():.0f} s")
            elif tries >= TRIES and not trouble.reached and not self._answered:
                self._close(trouble, f", after {tries} attempts")
            if self._closed is not None:
                raise _failed(self._closed, self._why)
            if tries >= TRIES:
                raise _failed(trouble, f", after {tries} attempts")
            if asked:
                self._not_before = max(self._not_before, self._clock() + asked)
        return wait

    def _close(self, trouble: AttemptError, why: str) -> None:
        self._closed, self._why = trouble, why

    def _spent(self) -> float:
        return self._charged + (self._clock() - self._since if self._waiting else 0.0)


def _failed(trouble: AttemptError, why: str) -> NetworkError:
    hint = trouble.hint
    if trouble.retry_after is not None and trouble.retry_after > RETRY_AFTER_LIMIT:
        hint = f"run again in {trouble.retry_after:.0f} s, as the host requests"
    return NetworkError(f"{trouble.text}{why}", code="registry-failed", hint=hint)
