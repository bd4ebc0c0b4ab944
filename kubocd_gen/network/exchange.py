"""An HTTP request and its response, over all attempts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO

from kubocd_gen import __version__
from kubocd_gen.network.settings import NetworkError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

SLOWEST = 1024  # bytes per second, on average over the longest allowed silence; slower servers are given up
MIB = 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response that was read completely. Header names are in lower case; the body is never decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)  # after redirects; can contain a signature, so it must not be printed


class Spool:
    """A response body that is written to a file while its digest is computed, so it is never held in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length, self._hash = 0, hashlib.sha256()

    def __len__(self) -> int:
        return self._length

    def extend(self, chunk: bytes) -> None:
        """Append `chunk`, as a bytearray does."""
        try:
            self._file.write(chunk)
        except OSError as error:  # otherwise it would be reported as a network failure
            raise SpoolError(error) from error
        self._hash.update(chunk)
        self._length += len(chunk)

    def __bytes__(self) -> bytes:
        return b""

    def clear(self) -> None:
        """Discard what was written."""
        self._file.seek(0)
        self._file.truncate()
        self._length, self._hash = 0, hashlib.sha256()

    @property
    def digest(self) -> str:
        """The digest of the bytes received so far."""
        return f"sha256:{self._hash.hexdigest()}"


class SpoolError(Exception):
    """The file of a Spool could not be written; `cause` is the reason."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class FileBody:
    """A request body that is read from a file, from the beginning for each attempt."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes to send."""
        return self._file.read(size)

    def rewind(self) -> None:
        """Go back to the beginning of the file."""
        self._file.seek(0)


Body = bytes | FileBody


class AnswerTooLargeError(NetworkError):
    """The response is larger than the caller's limit; `media_type` is its Content-Type."""

    media_type = ""


@dataclass(slots=True)
class Exchange:
    """A request and what has been received for it so far, over all its attempts."""

    method: str
    url: str
    headers: Mapping[str, str]
    data: Body | None
    limit: int
    timeout: float
    size: int | None = None  # None if unknown
    small: bool = True  # some kilobytes of JSON: it must arrive completely within the longest allowed silence
    received: bytearray | Spool = field(default_factory=bytearray)
    etag: str | None = None
    continues: bool = True  # whether a range can be requested
    tries: int = 0
    fetched: int = 0  # bytes of bodies, for the log

    def start_over(self) -> None:
        self.received.clear()
        self.etag = None


def next_fields(exchange: Exchange, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the header fields of the next attempt, which requests only the rest if the download can be resumed."""
    fields = {
        "Accept": "*/*",
        # Bodies are never decompressed, so a small response can't expand to a huge one.
        "Accept-Encoding": "identity",
        "User-Agent": f"kcd-gen/{__version__}",
        **headers,
    }
    if exchange.received and exchange.continues and (exchange.etag or exchange.size is not None):
        fields["Range"] = f"bytes={len(exchange.received)}-"
        if exchange.etag:
            fields["If-Range"] = exchange.etag
    else:
        exchange.start_over()
    if isinstance(exchange.data, FileBody):
        exchange.data.rewind()
        fields["Content-Length"] = str(len(exchange.data))  # otherwise urllib3 sends it in chunks
    return fields


def drain(response: BaseHTTPResponse, taken: bytearray | Spool, limit: int, came: Callable[[int], None]) -> bool:
    """Append the body to `taken`; return False if it exceeds `limit`. `came` is called with each chunk's length."""
    for chunk in response.stream(_CHUNK, decode_content=False):
        taken.extend(chunk)
        came(len(chunk))
        if len(taken) > limit:
            return False
    return True


def status_text(status: int) -> str:
    """Return a status with its name, for messages."""
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def sized(limit: int) -> str:
    """Return a number of bytes with its unit, for messages."""
    return f"{limit // MIB} MiB" if limit >= MIB and limit % MIB == 0 else f"{limit} bytes"
