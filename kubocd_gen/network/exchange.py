"""One HTTP request and its answer, over all the tries that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kubocd_gen import __version__
from kubocd_gen.network.settings import READ_TIMEOUT, NetworkError
from kubocd_gen.packages.oci import MIB

if TYPE_CHECKING:
    import requests

SLOWEST = 32 * 1024  # bytes a second: who is slower than this, over the whole of an answer, is not served
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end. Header names are in lower case; the body is never decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)  # after redirects; may carry a signature, so it is not for messages


class TooLarge(NetworkError):
    """The answer is longer than the caller takes; `media_type` is what it says of itself."""

    media_type = ""


@dataclass(slots=True)
class Exchange:
    """One request and what has come of it so far, over all its tries."""

    method: str
    url: str
    headers: Mapping[str, str]
    data: bytes | None
    limit: int
    timeout: float
    size: int | None  # None: not known
    received: bytearray = field(default_factory=bytearray)
    etag: str | None = None
    continues: bool = True  # whether a part may be asked for
    tries: int = 0

    def start_over(self) -> None:
        self.received, self.etag = bytearray(), None


def new_exchange(
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    data: bytes | None,
    limit: int,
    timeout: float | None,
    size: int | None,
) -> Exchange:
    """The exchange for the arguments of `Transport.request`."""
    taken = limit if size is None else size
    return Exchange(method, url, dict(headers or {}), data, taken, timeout or READ_TIMEOUT, size)


def prepared(exchange: Exchange, url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
    """The request for the next try, which asks for the rest where something has come that may be continued."""
    import requests

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
    request = requests.Request(exchange.method, url, headers=fields, data=exchange.data)
    return request.prepare()


def drain(response: requests.Response, taken: bytearray, limit: int, earned: Callable[[float], None]) -> bool:
    """Append the body to `taken`; False where it grows over `limit`. `earned` is told the seconds that bytes buy."""
    raw: Any = response.raw
    for chunk in raw.stream(_CHUNK, decode_content=False):
        taken += chunk
        earned(len(chunk) / SLOWEST)
        if len(taken) > limit:
            return False
    return True


def sized(limit: int) -> str:
    """A number of bytes, for messages."""
    return f"{limit // MIB} MiB" if limit >= MIB and limit % MIB == 0 else f"{limit} bytes"
