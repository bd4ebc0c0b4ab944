"""An HTTP request and its response over all attempts, and the parsing of its untrusted header fields and URLs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit

from kubocd_gen import __version__
from kubocd_gen.budget.limits import MIB
from kubocd_gen.diagnostics.problems import shown
from kubocd_gen.network.reasons import NO_REASON, Reason
from kubocd_gen.network.settings import NetworkError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

SLOWEST = 1024  # bytes per second, on average over the longest allowed silence; slower servers are given up
NO_REGISTRY = "check the URL: the server does not behave like a registry"
_CHUNK = 64 * 1024
_LONGEST_URL = 8 * 1024

_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{0,256}"')
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - `token` of RFC 9110
# Either a scheme, or a parameter with a quoted or bare value. Some proxies leave URLs unquoted, against RFC 9110.
_PART = re.compile(
    rf'(?P<name>{_TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,"]+))|(?P<scheme>{_TOKEN})'
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response that was read completely. Header names are in lowercase; the body is never decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)  # after redirects; can contain a signature, so it must not be printed
    reason: Reason = NO_REASON  # why the request was refused, in the server's words


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
    probe: bool = False  # the caller has another request for a server that can't answer this one
    small: bool = True  # some kilobytes of JSON: it must arrive completely within the longest allowed silence
    received: bytearray | Spool = field(default_factory=bytearray)
    etag: str | None = None
    continues: bool = True  # whether a range can be requested
    tries: int = 0
    fetched: int = 0  # bytes of bodies, for the log

    def start_over(self) -> None:
        """Discard what was received."""
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


@dataclass(frozen=True, slots=True)
class Challenge:
    """An authentication method that a server offers; scheme and parameter names are in lowercase."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(text: str) -> list[Challenge]:
    """Return the challenges of a WWW-Authenticate field (RFC 9110, 11.6.1), in order.

    Invalid parts are ignored, because the field only decides which request is sent next.
    """
    challenges: list[Challenge] = []
    parameters: dict[str, str] = {}
    for part in _PART.finditer(text):
        if part["scheme"] is not None:
            parameters = {}
            challenges.append(Challenge(part["scheme"].lower(), parameters))
        elif challenges:
            quoted = part["quoted"]
            value = part["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(part["name"].lower(), value)
    return challenges


def retry_after(text: str | None, now: float) -> float | None:
    """Return the seconds of a Retry-After field, a number or a date. `now` is in seconds since 1970."""
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def range_start(text: str | None) -> int | None:
    """Return the offset at which a Content-Range begins; None if it is invalid or does not reach the end."""
    match = _RANGE.fullmatch(text or "")
    if match is None or int(match[2]) < int(match[1]) or (match[3] != "*" and int(match[3]) != int(match[2]) + 1):
        return None
    return int(match[1])


def strong_etag(text: str | None) -> str | None:
    """Return the field if it is a strong ETag, which If-Range requires (RFC 9110, 13.1.5); otherwise None."""
    return text if text and _STRONG_ETAG.fullmatch(text) else None


def follow(url: str, location: str) -> str:
    """Return the URL that a Location field in a response from `url` refers to. It is not checked."""
    try:
        return urljoin(url, location)
    except ValueError:
        return location


def split_url(url: str, origin: str) -> SplitResult:
    """Split a URL that is about to be requested, which `origin` referred to. Raises NetworkError if it is invalid."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or len(url) > _LONGEST_URL or not url.isprintable() or " " in url:
        raise no_registry(_host(origin), f"refers to {shown(public(url))}, which is not a valid HTTP URL")
    return parts


def public(url: str) -> str:
    """Return a URL for messages, without its user information and query, which can be secret."""
    return re.sub(r"//[^/]*@", "//…@", url.partition("?")[0])


def no_registry(host: str, what: str, hint: str = NO_REGISTRY) -> NetworkError:
    """Return the error for behavior that no registry has; `what` follows the host's name in the message."""
    return NetworkError(f"{host} {what}", code="registry-failed", hint=hint)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "the address"
    except ValueError:
        return "the address"
