"""A scripted HTTP server that answers one request after another and records them.

    with FaultServer() as server:
        server.script("GET /v2/p/blobs/x", reply(503), reply(200, b"..."))

The replies for a path are used in order; the last one is repeated. A path without a script gets 404.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Request:
    """A request as received."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lowercase
    body: bytes


Handler = BaseHTTPRequestHandler
Reply = Callable[[Handler, Request], None]


def reply(
    status: int,
    body: bytes = b"",
    fields: Mapping[str, str] | None = None,
    *,
    cut: int | None = None,
    length: int | None = None,
) -> Reply:
    """Return an answer. `cut` breaks the connection after so many bytes; `length` declares a false length."""

    def give(handler: Handler, request: Request) -> None:
        handler.send_response(status)
        for name, value in (fields or {}).items():
            handler.send_header(name, value)
        if "Transfer-Encoding" not in (fields or {}):
            handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        if request.method != "HEAD":
            handler.wfile.write(body if cut is None else body[:cut])
        if cut is not None or length is not None:
            hang_up(handler, request)

    return give


def ranged(body: bytes, *, etag: str | None = None, cut: int | None = None) -> Reply:
    """Answer like a server that supports ranges and If-Range."""

    def give(handler: Handler, request: Request) -> None:
        wanted = request.headers.get("range", "")
        extra = {"ETag": etag} if etag else {}
        if wanted and request.headers.get("if-range") in (None, etag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            part = f"bytes {start}-{len(body) - 1}/{len(body)}"
            reply(206, body[start:], {"Content-Range": part, **extra}, cut=cut)(handler, request)
        else:
            reply(200, body, extra, cut=cut)(handler, request)

    return give


def raw(*pieces: bytes, pause: float = 0.0) -> Reply:
    """Send raw bytes, with a pause after each; then close."""

    def give(handler: Handler, request: Request) -> None:
        try:
            for piece in pieces:
                handler.wfile.write(piece)
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:
            pass  # the client has given up
        hang_up(handler, request)

    return give


def endless(head: bytes, piece: bytes, pause: float = 0.0) -> Reply:
    """Send a head, and then a piece again and again until the client gives up."""

    def give(handler: Handler, request: Request) -> None:
        try:
            handler.wfile.write(head)
            while True:
                handler.wfile.write(piece)
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:
            hang_up(handler, request)

    return give


def silent(handler: Handler, _request: Request) -> None:
    """Send nothing until the client is gone."""
    handler.connection.settimeout(30)
    with contextlib.suppress(OSError):
        handler.connection.recv(1)
    handler.close_connection = True


def hang_up(handler: Handler, _request: Request) -> None:
    """Close the connection, without an answer or in the middle of one."""
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)


@dataclass
class FaultServer:
    """The server; `host` is `127.0.0.1:port`. With `certificate` (certificate and key files) it uses TLS."""

    certificate: tuple[str, str] | None = None
    asked: list[Request] = field(default_factory=list)
    busiest: int = 0  # the largest number of concurrent requests

    def __post_init__(self) -> None:
        self._scripts: dict[str, list[Reply]] = {}
        self._lock = threading.Lock()
        self._busy = 0
        server = self

        class RequestHandler(Handler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                server._answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_CONNECT = answer  # noqa: N815 - names of http.server

        self._server = _Server(("127.0.0.1", 0), RequestHandler)
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.host}"

    def script(self, request: str, *replies: Reply) -> None:
        """Set the replies to `METHOD /path`, in this order."""
        self._scripts[request] = list(replies)

    def paths(self) -> list[str]:
        """Return the requests so far, as `METHOD /path`."""
        return [f"{one.method} {one.path}" for one in self.asked]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: Handler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.command, handler.path, headers, handler.rfile.read(length))
        with self._lock:
            self.asked.append(request)
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            path = request.path.partition("?")[0]
            replies = self._scripts.get(f"{request.method} {path}") or self._scripts.get(f"{request.method} *") or []
            give = (replies.pop(0) if len(replies) > 1 else replies[0]) if replies else reply(404)
        try:
            give(handler, request)
        finally:
            with self._lock:
                self._busy -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Connections that end early are what is tested."""


def each(items: Iterable[Reply]) -> Reply:
    """Return one reply that is several in turn, for scripts in which requests for all paths share a sequence."""
    waiting = list(items)
    lock = threading.Lock()

    def give(handler: Handler, request: Request) -> None:
        with lock:
            one = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        one(handler, request)

    return give
