"""A limit on the memory that threads use for packed layers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kubocd_gen.budget.limits import MIB

_LAYER_MEMORY = 64 * MIB  # six of the largest known packages; a larger layer is read alone


class LayerMemory:
    """The memory that packed layers use at the same time, whatever the number of threads: a semaphore for bytes."""

    def __init__(self, capacity: int = _LAYER_MEMORY) -> None:
        self._capacity = capacity
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes are free, and hold them for the duration of the block."""
        share = min(size, self._capacity)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + share <= self._capacity)
            self._taken += share
        try:
            yield
        finally:
            with self._changed:
                self._taken -= share
                self._changed.notify_all()
