"""Limit the time of clients of the development server: a deadline for the request's head, a rate for the response.

The timeout of a socket limits only the wait for the next byte, so a client that sends a byte every nine seconds could
occupy a thread forever. Here the deadline is for the whole operation.
"""

from __future__ import annotations

import io
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

SLOWEST = 4 * 1024  # bytes a second that a client must take


@dataclass(frozen=True, slots=True)
class Patience:
    """The limits: seconds for the whole head of a request, and for a response a time in seconds plus a rate.

    A response can take `answer` seconds in addition to the time that it takes at `slowest` bytes per second.
    """

    head: float = 10.0
    answer: float = 10.0
    slowest: int = SLOWEST


class Incoming(io.RawIOBase):
    """A stream of the bytes that a socket receives before a deadline."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        super().__init__()
        self._socket = sock
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Receive bytes. Raises TimeoutError after the deadline."""
        self._socket.settimeout(_left(self._end))
        return self._socket.recv_into(buffer)


class Outgoing(io.BufferedIOBase):
    """A stream of bytes that a socket sends. Each byte that the client receives extends its deadline."""

    _PIECE = 16 * 1024

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        super().__init__()
        self._socket, self._patience = sock, patience
        self._end: float | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Send all of `data`. Raises TimeoutError if the client is too slow."""
        if self._end is None:
            self._end = time.monotonic() + self._patience.answer
        view, sent = memoryview(data), 0
        while sent < len(view):
            self._socket.settimeout(_left(self._end))
            count = self._socket.send(view[sent : sent + self._PIECE])
            sent += count
            latest = time.monotonic() + self._patience.answer  # a fast start does not allow a slow end
            self._end = min(self._end + count / self._patience.slowest, latest)
        return sent


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("the client is too slow")
    return left
