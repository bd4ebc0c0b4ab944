"""Connections with urllib3: strict time limits, certificates, and connection pools for each proxy.

urllib3's timeouts limit the wait for the next byte and for each address of a host name. A server that sends one byte a
minute, or a name with six dead addresses, could block a build for as long as it likes. Here, a `Deadline` limits the
time to connect and the exchange as a whole.

This module imports urllib3, which takes 50 ms, so it is imported only before a request.
"""

from __future__ import annotations

import base64
import errno
import http.client
import logging
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import unquote

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import InvalidHeader, LocationValueError, NewConnectionError
from urllib3.util import parse_url, wait_for_write

from kubocd_gen.diagnostics.problems import ProblemsError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")

_STEP = 0.25  # seconds that a wait can last after `close`
_SHARE = 2.0  # minimum of seconds for each address of a name, within the time limit
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_HOSTS = 32  # the number of hosts whose idle connections are kept

logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # it logs whole URLs, which can contain signatures


class ExpiredError(Exception):
    """The deadline has passed, or the run ends. It is not an OSError, so http.client and urllib3 don't catch it."""


class Deadline:
    """The time limit of this thread's exchange, which applies even if bytes keep arriving.

    A socket's timeout starts again with every `recv`, and http.client calls `recv` until a line, a head or a chunk is
    complete. So every wait of the sockets below goes through `wait`, which waits in short steps and checks the deadline
    and `ended` in between. This needs no watchdog thread, and also ends a wait on Ctrl-C.

    `begin` and `extend` move the deadline, but never to more than `most` seconds after its creation.
    """

    def __init__(self, seconds: float, most: float, ended: Callable[[], bool]) -> None:
        now = time.monotonic()
        self._last = now + most
        self._end = min(now + seconds, self._last)
        self._ended = ended
        self._silent = False  # no data has arrived since `begin`

    def __enter__(self) -> Self:
        self._token: Token[Deadline] = _DEADLINE.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _DEADLINE.reset(self._token)

    def begin(self, window: float) -> None:
        """Set the deadline for the start of the body to `window` seconds from now."""
        self._end = min(time.monotonic() + window, self._last)
        self._silent = True

    def extend(self, seconds: float, window: float) -> None:
        """Move the deadline by `seconds`, which received bytes have earned, to at most `window` seconds from now.

        A fast start therefore does not allow a slow end: what counts is the rate over the last `window` seconds.
        """
        self._end = min(self._end + seconds, time.monotonic() + window, self._last)

    def wait(self, limit: float | None, attempt: Callable[[float], T]) -> T:
        """Call `attempt` with the seconds that it can wait until it raises no TimeoutError, and return its result.

        Raises TimeoutError after `limit` seconds, and ExpiredError.
        """
        until = time.monotonic() + (float("inf") if limit is None else limit)
        while True:
            now = time.monotonic()
            if self._ended() or (now >= self._end and not self._silent):
                raise ExpiredError
            left = min(until, self._end) - now
            if left <= 0:
                raise TimeoutError("timed out")
            try:
                result = attempt(min(_STEP, left))
            except TimeoutError as error:
                if error.errno is None:
                    continue
                raise  # from the operating system: the connection has timed out
            self._silent = False
            return result


_DEADLINE: ContextVar[Deadline] = ContextVar("deadline")


class _Socket(socket.socket):
    """A socket whose waits respect the deadline. Its own timeout, which urllib3 sets, limits each wait."""

    def connect(self, address: Any) -> None:
        limit = self.gettimeout()
        self.setblocking(False)
        failure = self.connect_ex(address)
        if failure == errno.EINPROGRESS:
            _DEADLINE.get().wait(limit, self._writable)
            failure = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            raise OSError(failure, os.strerror(failure))
        self.settimeout(limit)

    def recv(self, *arguments: Any) -> bytes:
        return self._timed(lambda: super(_Socket, self).recv(*arguments))

    def recv_into(self, buffer: WriteableBuffer, *arguments: Any) -> int:
        return self._timed(lambda: super(_Socket, self).recv_into(buffer, *arguments))

    def send(self, data: ReadableBuffer, *arguments: Any) -> int:
        return self._timed(lambda: super(_Socket, self).send(data, *arguments))

    def sendall(self, data: ReadableBuffer, *arguments: Any) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, *arguments) :]

    def _writable(self, seconds: float) -> None:
        if not wait_for_write(self, seconds):
            raise TimeoutError

    def _timed(self, act: Callable[[], T]) -> T:
        limit = self.gettimeout()

        def attempt(seconds: float) -> T:
            self.settimeout(seconds)
            return act()

        try:
            return _DEADLINE.get().wait(limit, attempt)
        finally:
            self.settimeout(limit)


class _TLSSocket(_Socket, ssl.SSLSocket):
    """A TLS socket whose waits respect the deadline. OpenSSL can resume a handshake or a record after a timeout."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            self._timed(lambda: super(_Socket, self).do_handshake(block))
        except ExpiredError:  # ssl.py closes the socket on other exceptions
            self.close()
            raise


def tls_context(ca_file: Path | None, environment: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that trusts the system's certificates, those that a variable names, and those in `ca_file`.

    They are verified in the same way with every version of Python, and as helm, cosign and curl do: an authority needs
    no key usage and no key identifiers, which VERIFY_X509_STRICT requires since Python 3.13, and any trusted
    certificate ends the chain. Raises ProblemsError `usage` if `ca_file` or the variable's file contains no
    certificates.
    """
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.sslsocket_class = _TLSSocket
    for name in _BUNDLES:
        if environment.get(name):
            _trust(context, Path(environment[name]), name)
            break
    if ca_file is not None:
        _trust(context, ca_file, "--ca-file")
    return context


def _trust(context: ssl.SSLContext, path: Path, origin: str) -> None:
    try:
        directory = path if path.is_dir() else None
        context.load_verify_locations(None if directory else path, directory)
    except ssl.SSLError:
        raise ProblemsError.of(
            "usage",
            f"'{path}', set by {origin}, contains no certificates",
            hint="use a file of certificates in PEM format ('-----BEGIN CERTIFICATE-----')",
        ) from None
    except OSError as error:
        raise ProblemsError.of("usage", f"cannot read '{path}', set by {origin}: {error.strerror}") from None


def new_manager(proxy: str | None, size: int, context: ssl.SSLContext | None) -> urllib3.PoolManager:
    """Return pools of `size` connections per host. Raises LocationValueError if `proxy` is invalid."""
    manager: urllib3.PoolManager
    if proxy is None:
        manager = urllib3.PoolManager(_HOSTS, maxsize=size, ssl_context=context)
    else:
        address = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        if not address.host:
            raise LocationValueError("the proxy's address has no host")
        login = base64.b64encode(unquote(address.auth).encode()).decode() if address.auth else None
        manager = urllib3.ProxyManager(
            address._replace(auth=None).url,
            _HOSTS,
            proxy_headers={"Proxy-Authorization": f"Basic {login}"} if login else None,
            proxy_ssl_context=context,
            maxsize=size,
            ssl_context=context,
        )
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
    return manager


class _Head(http.client.HTTPResponse):
    """The head of a response."""

    def begin(self) -> None:
        """Read the head. Raises InvalidHeader here, where http.client closes the connection; urllib3 would not."""
        super().begin()
        lengths = ",".join(self.headers.get_all("Content-Length", ())).split(",")
        if len({length.strip() for length in lengths}) > 1:
            raise InvalidHeader("several lengths")


class _Connection(HTTPConnection):
    """A connection that is established within `timeout` seconds, for all addresses together."""

    response_class = _Head

    def _new_conn(self) -> socket.socket:
        # urllib3's SOCKS support overrides the same method.
        try:
            sock = _connect(self._dns_host, self.port or self.default_port, self.timeout or float("inf"))
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {self.host}") from error
        for option in self.socket_options or ():
            sock.setsockopt(*option)
        return sock


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def _connect(host: str, port: int, limit: float) -> socket.socket:
    """Connect to the first address that accepts, within `limit` seconds for all addresses. Raises OSError."""
    until = time.monotonic() + limit
    addresses = _addresses(host, port, limit)
    failure: OSError = OSError("the name has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        left = until - time.monotonic()
        if left <= 0:
            break
        sock = _Socket(family, kind, protocol)
        try:
            sock.settimeout(min(left, max(_SHARE, left / (len(addresses) - index))))
            sock.connect(address)
            sock.settimeout(limit)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _addresses(host: str, port: int, limit: float) -> list[Any]:
    """Return the result of getaddrinfo. It can't time out, so it runs in a thread, abandoned after `limit` seconds."""
    answers: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)))
        except OSError as error:
            answers.put(error)
        except UnicodeError:
            answers.put(socket.gaierror(socket.EAI_NONAME, "no host name"))

    def answer(seconds: float) -> list[Any] | OSError:
        try:
            return answers.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = _DEADLINE.get().wait(limit, answer)
    except TimeoutError:
        raise socket.gaierror(socket.EAI_AGAIN, "no answer from the name servers") from None
    if isinstance(found, OSError):
        raise found
    return found
