"""The sockets below `requests`: time limits that hold, and the certificates that are trusted.

A timeout of `requests` limits the wait for the next byte, and connecting for each address of a name: a server that
sends a byte a minute, or a name with six dead addresses, would hold a build for as long as it likes. Here the whole of
connecting is limited, and a `Watch` limits the whole of an exchange.

This module imports `requests`, which takes 0.1 s; it is imported itself only when there is something to send.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests.adapters
import requests.utils
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from kubocd_gen.diagnostics.problems import Problem, ProblemsError

_SHARE = 2.0  # seconds that each address of a name gets at least, as long as there is time at all
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class Watch:
    """Ends an exchange at its deadline, by shutting its socket down under the thread that waits for it.

    The deadline moves with `begin` and `extend`, never beyond `most` seconds from now. `expired` tells that it has
    passed, `aborted` that `abort` was called.
    """

    def __init__(self, seconds: float, most: float) -> None:
        self.expired = False
        self.aborted = False
        now = time.monotonic()
        self._last = now + most
        self._deadline = min(now + seconds, self._last)
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self._done = False
        self._wake: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        self._arm()
        self._token = _WATCH.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _WATCH.reset(self._token)
        with self._lock:
            self._done = True
            if self._timer is not None:
                self._timer.cancel()
            if self._socket is not None:
                self._socket.close()

    def guard(self, sock: socket.socket) -> None:
        """Watch over this socket. A duplicate is kept: TLS and http.client take the original away or close it."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = sock.dup()
            if self.expired or self.aborted:
                self._shut()

    def begin(self, window: float) -> None:
        """Give what follows, the body, `window` seconds."""
        self._deadline = min(time.monotonic() + window, self._last)

    def extend(self, seconds: float, window: float) -> None:
        """Move the deadline by what bytes have earned, to no later than `window` seconds from now.

        So a quick beginning buys no slow end: what counts is the rate over the last `window` seconds.
        """
        self._deadline = min(self._deadline + seconds, time.monotonic() + window, self._last)

    def abort(self) -> None:
        """End the exchange now."""
        with self._lock:
            self.aborted = True
            self._shut()
            if self._wake is not None:
                self._wake()

    def on_abort(self, wake: Callable[[], None]) -> None:
        """Call `wake` when the exchange is aborted: who waits for something else than the socket."""
        with self._lock:
            self._wake = wake
            if self.aborted:
                wake()

    def _arm(self) -> None:
        self._timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._fire)
        self._timer.daemon = True
        self._timer.start()

    def _fire(self) -> None:
        with self._lock:
            if self._done:
                return
            if time.monotonic() < self._deadline:
                self._arm()
                return
            self.expired = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)


_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


def tls_context(ca_file: Path | None, environment: Mapping[str, str]) -> ssl.SSLContext:
    """What TLS trusts: the system's certificates, those of `requests` or its variables, and those of `ca_file`.

    Raises ProblemsError `usage` where `ca_file` or a variable leads to no certificates.
    """
    context = ssl.create_default_context()
    named = next(((name, environment[name]) for name in _BUNDLES if environment.get(name)), None)
    _trust(
        context,
        Path(named[1]) if named else Path(requests.utils.DEFAULT_CA_BUNDLE_PATH),
        named[0] if named else "certifi",
    )
    if ca_file is not None:
        _trust(context, ca_file, "--ca-file")
    return context


def _trust(context: ssl.SSLContext, path: Path, origin: str) -> None:
    try:
        if path.is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ProblemsError(
            Problem(
                "usage",
                f"{origin} names {path}, which holds no certificates",
                hint="give a file of certificates in PEM form, '-----BEGIN CERTIFICATE-----'",
            )
        ) from None
    except OSError as error:
        raise ProblemsError(Problem("usage", f"{origin} names {path}, which can't be read: {error.strerror}")) from None


class Adapter(requests.adapters.HTTPAdapter):
    """`requests` without its session: no cookies, no netrc, no redirects, nothing is tried again behind our back."""

    def __init__(self, context: ssl.SSLContext | None, connections: int) -> None:
        self._context = context
        super().__init__(pool_connections=32, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Connections of ours, with the one TLS context."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """The same through a proxy, which may speak TLS itself."""
        manager = super().proxy_manager_for(
            proxy, ssl_context=self._context, proxy_ssl_context=self._context, **options
        )
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: the context says what is trusted, once for all connections."""


class _Connection(HTTPConnection):
    """Connects within `timeout` altogether, and shows its socket to the Watch of the exchange that uses it."""

    _plain: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        # The place where urllib3's own SOCKS support puts in another way to connect.
        limit = self.timeout if isinstance(self.timeout, (int, float)) else None
        try:
            sock = _connect(self._dns_host, self.port or self.default_port, limit)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {self.host}: {error}") from error
        for option in self.socket_options or ():
            sock.setsockopt(*option)
        self._plain = sock.dup()  # TLS will take `sock` itself away
        self._show()
        return sock

    def request(self, *arguments: Any, **options: Any) -> None:
        self._show()  # of a connection that is used again
        super().request(*arguments, **options)

    def getresponse(self) -> Any:
        """The answer's head. Where it is refused, the answer is closed, which urllib3 leaves to the collector."""
        heads: list[http.client.HTTPResponse] = []

        def head(*arguments: Any, **options: Any) -> http.client.HTTPResponse:
            heads.append(http.client.HTTPResponse(*arguments, **options))
            return heads[-1]

        self.response_class = head  # type: ignore[assignment]
        try:
            return super().getresponse()
        except BaseException:
            for one in heads:
                one.close()
            raise
        finally:
            del self.response_class

    def close(self) -> None:
        plain, self._plain = self._plain, None
        if plain is not None:
            plain.close()
        super().close()

    def _show(self) -> None:
        watch = _WATCH.get()
        if watch is not None and self._plain is not None:
            watch.guard(self._plain)


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}


def _connect(host: str, port: int, limit: float | None) -> socket.socket:
    """A connection to the first address that takes one, within `limit` seconds for all. Raises OSError."""
    deadline = time.monotonic() + (limit if limit is not None else 3600.0)
    addresses = _addresses(host, port, deadline - time.monotonic())
    failure: OSError = OSError("the name has no address")
    watch = _WATCH.get()
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        left = deadline - time.monotonic()
        if left <= 0 or (watch is not None and watch.aborted):
            break
        sock = socket.socket(family, kind, protocol)
        try:
            if watch is not None:
                watch.guard(sock)  # a connection that is swallowed must not hold who wants to end
            sock.settimeout(min(left, max(_SHARE, left / (len(addresses) - index))))
            sock.connect(address)
            sock.settimeout(limit)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _addresses(host: str, port: int, limit: float) -> list[Any]:
    """What getaddrinfo says, which knows no time limit itself: it asks in a thread that is left behind then."""
    answers: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)))
        except OSError as error:
            answers.put(error)
        except UnicodeError:
            answers.put(socket.gaierror(socket.EAI_NONAME, "no host name"))

    threading.Thread(target=ask, daemon=True).start()
    watch = _WATCH.get()
    if watch is not None:
        watch.on_abort(lambda: answers.put(OSError("the network was shut down")))
    try:
        answer = answers.get(timeout=limit)
    except queue.Empty:
        raise socket.gaierror(socket.EAI_AGAIN, "no answer from the name servers") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
