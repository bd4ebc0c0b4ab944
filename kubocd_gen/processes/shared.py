"""One fetch of a thing at a time: who asks for what is under way waits, and shares what comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from kubocd_gen.diagnostics.problems import ProblemsError

T = TypeVar("T")


class Shared(Generic[T]):
    """Fetches under way, by a key. A result is kept no longer than somebody waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, tuple[object, Future[T]]] = {}

    def fetch(self, key: Hashable, way: object, get: Callable[[], T]) -> T:
        """What `get` returns or raises, or another's `get` for the same key that began earlier.

        A failure is shared only among those who go the same `way`: what one registry refuses, another may give.
        """
        while True:
            with self._lock:
                there = self._under_way.get(key)
                if there is None:
                    mine: Future[T] = Future()
                    self._under_way[key] = way, mine
            if there is None:
                break
            other_way, other = there
            try:
                return other.result()
            except ProblemsError:
                if other_way == way:
                    raise
        try:
            result = get()
        except BaseException as error:
            self._end(key)
            mine.set_exception(error)
            del mine  # it holds the error, whose traceback holds this frame
            raise
        self._end(key)
        mine.set_result(result)
        return result

    def _end(self, key: Hashable) -> None:
        with self._lock:
            del self._under_way[key]
