"""How long a client of the development server can take: seconds for a head as a whole, and a rate for an answer.

A timeout of a socket limits the wait for the next byte, so that who sends a byte every nine seconds would hold a
thread for ever. Here the time for what is done as a whole is shared out among its steps.
"""

from __future__ import annotations

import io
import socket
import time
from dataclasses import dataclass

SLOWEST = 4 * 1024  # bytes a second that a client must take


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for a head in total, and those before an answer must go at `slowest` bytes a second."""

    head: float = 10.0
    answer: float = 10.0
    slowest: int = SLOWEST


class Incoming(io.RawIOBase):
    """What a socket receives, until the deadline."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        super().__init__()
        self._socket = sock
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Raises TimeoutError after the deadline."""
        self._socket.settimeout(_left(self._end))
        return self._socket.recv_into(buffer)


class Outgoing(io.BufferedIOBase):
    """What a socket is to send. Each byte that a client has taken earns it time for others."""

    _PIECE = 16 * 1024

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        super().__init__()
        self._socket, self._patience = sock, patience
        self._end: float | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Send all of `data`. Raises TimeoutError where the client is too slow."""
        if self._end is None:
            self._end = time.monotonic() + self._patience.answer
        view, sent = memoryview(data), 0
        while sent < len(view):
            self._socket.settimeout(_left(self._end))
            count = self._socket.send(view[sent : sent + self._PIECE])
            sent += count
            latest = time.monotonic() + self._patience.answer  # a quick beginning buys no slow end
            self._end = min(self._end + count / self._patience.slowest, latest)
        return sent


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("the client is too slow")
    return left
