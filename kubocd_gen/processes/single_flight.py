"""One call at a time per key: threads that need a value while another thread computes it wait for it and share it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Values by key. With `keep`, each value is computed only once; otherwise it is shared only with waiting threads.

    Exceptions are shared like values.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._calls: dict[Key, tuple[Hashable, Future[Value]]] = {}

    def get(self, key: Key, make: Callable[[], Value], *, origin: Hashable = None) -> Value:
        """Return the result of `make`, or of the thread that is already computing `key`. Raises what `make` raises.

        An exception is shared only with callers that have the same `origin`, because another registry can have a blob
        that this one refuses. The other callers try again, one after another.
        """
        from concurrent.futures import Future  # imports logging; many commands have nothing to share

        while True:
            with self._lock:
                other = self._calls.get(key)
                if other is None:
                    mine: Future[Value] = Future()
                    self._calls[key] = origin, mine
                    break
            try:
                return other[1].result()
            except Exception:
                if self._keep or other[0] == origin:
                    raise
        try:
            value = make()
        except BaseException as error:
            self._end(key)
            mine.set_exception(error)
            del mine  # breaks a reference cycle: it refers to the error, whose traceback refers to this frame
            raise
        self._end(key)
        mine.set_result(value)
        return value

    def _end(self, key: Key) -> None:
        if not self._keep:
            with self._lock:
                del self._calls[key]
