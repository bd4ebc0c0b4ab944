"""A strict HTTP server for development, on the standard library's server, with one request per connection.

The library parses a request; this module refuses requests that a production server would refuse. A request body is
never read and the connection is closed after the response, so nothing after a request can be interpreted as another
request (request smuggling). Slow clients are disconnected, and the number of connections is limited.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from kubocd_gen.server.client_limits import Incoming, Outgoing, Patience

MAX_LINE = 4096  # bytes of the request line or a header field, as in the container's nginx.conf
MAX_HEAD = 4 * MAX_LINE
CONNECTIONS = 128  # at a time; each has a thread
_BLOCK = 128 * 1024  # bytes
_LINGER = 0.5  # seconds
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. Names of `fields` are in lowercase; `target` is unchanged, decoded as Latin-1."""

    method: str
    target: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilePart:
    """The `length` bytes from `start` of an open file. Sending it closes the descriptor."""

    descriptor: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Response:
    """A response. For HEAD, only the length of `body` is sent."""

    status: int
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes | FilePart = b""


Answer = Callable[[Request], Response]
Log = Callable[[str, str, int], None]


def plain(status: int, *fields: tuple[str, str], text: str = "") -> Response:
    """Return a plain-text response of one line."""
    line = text or f"{status} {HTTPStatus(status).phrase}"
    more = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-cache"))
    return Response(status, (*more, *fields), f"{line}\n".encode())


_BUSY = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Server(ThreadingHTTPServer):
    """A listening server with one thread per connection. Port 0 selects a free port. Raises OSError.

    If there are `most` connections, further ones are answered with 503 and closed.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, *, patience: Patience | None = None, most: int = CONNECTIONS) -> None:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        self.answer: Answer = lambda _: plain(HTTPStatus.SERVICE_UNAVAILABLE)
        self.log: Log = lambda *_: None
        self.patience = patience or Patience()
        self._free = threading.Semaphore(most)
        super().__init__((str(address[0]), port), _Handler)

    def server_bind(self) -> None:
        """Bind the socket without the library's reverse DNS lookup, which can take seconds."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle the connection in a new thread, unless there are too many."""
        if not self._free.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle the connection, then allow another one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: the client has disconnected. `answer` reports all other errors."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def setup(self) -> None:
        """Set up streams with deadlines."""
        self.connection = self.request
        # Data in the send buffer does not show whether the client receives it, so keep the buffer small.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BLOCK)
        self.rfile = io.BufferedReader(Incoming(self.connection, self.server.patience.head))
        self.wfile = Outgoing(self.connection, self.server.patience)

    def handle_one_request(self) -> None:
        """Read a request, validate it, and send the response."""
        self.close_connection = True
        self.command, self.path = "?", "?"
        self.raw_requestline = self.rfile.readline(MAX_LINE + 1)
        if not self.raw_requestline:
            return
        if len(self.raw_requestline) > MAX_LINE:
            self._send(plain(HTTPStatus.REQUEST_URI_TOO_LONG))
        elif len(self.raw_requestline.split()) == 2:  # HTTP/0.9 has no head, but the library would wait for one
            self._send(plain(HTTPStatus.BAD_REQUEST))
        elif self.parse_request():  # otherwise `send_error` has sent the response
            # The library merges slashes in `path`, and also separates words by tabs.
            target = f"{self.raw_requestline.decode('latin-1')} ".split(" ")[1]
            refused = self._refused(target)
            request = Request(self.command, target, {name.lower(): value for name, value in self.headers.items()})
            self._send(plain(refused) if refused else self.server.answer(request))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request that the library can't parse, without repeating its content."""
        self._send(plain(code))

    def _refused(self, target: str) -> HTTPStatus | None:
        """Return the status with which a parsed request is refused, or None."""
        fields = self.headers.items()
        sizes = [len(name) + len(value) + 4 for name, value in fields]
        if max(sizes, default=0) > MAX_LINE or sum(sizes) > MAX_HEAD:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        hosts = self.headers.get_all("Host", [])
        bad = self.headers.defects or any(re.search(r"[\0\r\n]", value) for _, value in fields)
        if bad or not re.fullmatch(r"[\x21-\xff]+", target) or self.request_version not in ("HTTP/1.0", "HTTP/1.1"):
            return HTTPStatus.BAD_REQUEST
        if len(hosts) > 1 or not _HOST.fullmatch("".join(hosts) or ("-" if self.request_version == "HTTP/1.0" else "")):
            return HTTPStatus.BAD_REQUEST
        lengths = self.headers.get_all("Content-Length", [])
        if self.command in ("GET", "HEAD") and (lengths not in ([], ["0"]) or "Transfer-Encoding" in self.headers):
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return None

    def _send(self, response: Response) -> None:
        body = response.body
        self.server.log(self.command, self.path, response.status)
        self.request_version = self.protocol_version  # for HTTP/0.9 the library would not send a head
        try:
            self.send_response_only(response.status)
            length = body.length if isinstance(body, FilePart) else len(body)
            more = () if response.status == HTTPStatus.NOT_MODIFIED else (("Content-Length", str(length)),)
            date = ("Date", self.date_time_string())
            for name, value in (date, *response.fields, ("X-Content-Type-Options", "nosniff"), *more):
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self._send_body(body)
        finally:
            if isinstance(body, FilePart):
                os.close(body.descriptor)

    def _send_body(self, body: bytes | FilePart) -> None:
        if isinstance(body, bytes):
            self.wfile.write(body)
            return
        sent = 0
        while sent < body.length:
            block = os.pread(body.descriptor, min(_BLOCK, body.length - sent), body.start + sent)
            if not block:
                return  # the file was truncated, and closing the connection is the only way to report it
            self.wfile.write(block)
            sent += len(block)

    def finish(self) -> None:
        """Drain the socket before closing it, because a reset for unread data can make the client lose the response."""
        with contextlib.suppress(OSError):
            super().finish()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER)
            end = time.monotonic() + _LINGER
            while time.monotonic() < end and self.connection.recv(_BLOCK):
                pass
