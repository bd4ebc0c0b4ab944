"""One call at a time for the same key: threads that ask for a value while another makes it wait, and share it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Values by key. With `keep` each is made once in the object's life, otherwise only kept while a thread waits.

    An exception is shared like a value.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._calls: dict[Key, tuple[Hashable, Future[Value]]] = {}

    def get(self, key: Key, make: Callable[[], Value], *, origin: Hashable = None) -> Value:
        """Return what `make` returns, or the `make` of the first thread that asked for `key`. Raises what it raises.

        An exception is shared only with callers of the same `origin`: a blob that one registry refuses, another can
        have. They try again, one after the other.
        """
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
            del mine  # it holds the error, whose traceback holds this frame
            raise
        self._end(key)
        mine.set_result(value)
        return value

    def _end(self, key: Key) -> None:
        if not self._keep:
            with self._lock:
                del self._calls[key]
