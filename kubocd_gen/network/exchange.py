"""One HTTP request and its answer, over all the tries that it takes."""

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

SLOWEST = 1024  # bytes a second: who sends less, on an average over the longest silence that is allowed, is given up
MIB = 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end. Header names are in lower case; the body is never decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)  # after redirects; may carry a signature, so it is not for messages


class Spool:
    """An answer's body on its way to a file, with its digest: what may be large is never held in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length, self._hash = 0, hashlib.sha256()

    def __len__(self) -> int:
        return self._length

    def extend(self, chunk: bytes) -> None:
        """Append `chunk`, as a bytearray does."""
        try:
            self._file.write(chunk)
        except OSError as error:  # else it would look like a failure of the network
            raise SpoolError(error) from error
        self._hash.update(chunk)
        self._length += len(chunk)

    def __bytes__(self) -> bytes:
        return b""

    def clear(self) -> None:
        """Start anew."""
        self._file.seek(0)
        self._file.truncate()
        self._length, self._hash = 0, hashlib.sha256()

    @property
    def digest(self) -> str:
        """Of what has come so far."""
        return f"sha256:{self._hash.hexdigest()}"


class SpoolError(Exception):
    """The file of a Spool could not be written; `cause` says why."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class FileBody:
    """A request's body out of a file, from its beginning at every try."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """The next bytes, for who sends them."""
        return self._file.read(size)

    def rewind(self) -> None:
        """Begin anew."""
        self._file.seek(0)


Body = bytes | FileBody


class AnswerTooLargeError(NetworkError):
    """The answer is longer than the caller takes; `media_type` is what it says of itself."""

    media_type = ""


@dataclass(slots=True)
class Exchange:
    """One request and what has come of it so far, over all its tries."""

    method: str
    url: str
    headers: Mapping[str, str]
    data: Body | None
    limit: int
    timeout: float
    size: int | None = None  # None: not known
    small: bool = True  # JSON of some kilobytes: it must have come, to its end, within the longest silence allowed
    received: bytearray | Spool = field(default_factory=bytearray)
    etag: str | None = None
    continues: bool = True  # whether a part may be asked for
    tries: int = 0
    fetched: int = 0  # bytes of bodies, for the log

    def start_over(self) -> None:
        self.received.clear()
        self.etag = None


def next_fields(exchange: Exchange, headers: Mapping[str, str]) -> dict[str, str]:
    """The header fields of the next try, which asks for the rest where something has come that may be continued."""
    fields = {
        "Accept": "*/*",
        # Bodies are taken as they come. Nothing that is compressed on the way can then burst on arrival.
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
    """Append the body to `taken`; False where it grows over `limit`. `came` gets the length of each part."""
    for chunk in response.stream(_CHUNK, decode_content=False):
        taken.extend(chunk)
        came(len(chunk))
        if len(taken) > limit:
            return False
    return True


def status_text(status: int) -> str:
    """A status with its name, for messages."""
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def sized(limit: int) -> str:
    """A number of bytes, for messages."""
    return f"{limit // MIB} MiB" if limit >= MIB and limit % MIB == 0 else f"{limit} bytes"
