"""What several threads want and one makes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Once(Generic[Key, Value]):
    """A value for each key, made by whoever asks first; the others wait for it. An exception is an answer, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Key, Future[Value]] = {}

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value for `key`, made by `make` where nobody has asked for it yet."""
        with self._lock:
            first = key not in self._made
            future = self._made.setdefault(key, Future())
        if first:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001 - told to all who wait
                future.set_exception(error)
        return future.result()
