"""Memory for packed layers: as many at a time as fit, whatever the number of threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kubocd_gen.budget.limits import MIB

CAPACITY = 64 * MIB  # six of the largest packages known; one that is larger than this is alone


class Room:
    """Room for `capacity` bytes; safe to use from several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take `size` bytes as soon as they are free, and give them back at the end of the block."""
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
