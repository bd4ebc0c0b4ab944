"""HTTP/1.1 over sockets, as much as a static server for development needs.

The standard library's `http.server` takes requests without end (in headers, in time and in number) and has no way to
see a target as it was sent. Here a request has limits in bytes and in time, connections are counted, and what is not
HTTP is refused as nginx refuses it. A body is never read: no request that is answered has one.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

MAX_LINE = 4096  # of one line, as in the container's nginx.conf
MAX_HEAD = 4 * MAX_LINE
MAX_CONNECTIONS = 128
HEAD_TIME = 10.0  # seconds for a whole head: one byte at a time must not hold a thread
IDLE_TIME = 5.0  # between two requests
SEND_TIME = 30.0  # for each block
_BLOCK = 128 * 1024
_LINGER = 0.5

_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\xff]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head. Names of `fields` are in lower case; `target` is as it was sent, read as Latin-1."""

    method: str
    target: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FilePart:
    """`length` bytes from `start` of an open file, which whoever sends it closes."""

    descriptor: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `body` is left out of what is sent to HEAD, and its length told all the same."""

    status: int
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes | FilePart = b""


class Refused(Exception):
    """A request that can't be read, with the status that says so; the connection is closed after it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


Answer = Callable[[Request], Response]
Log = Callable[[str, str, int], None]


def plain(status: int, *fields: tuple[str, str], text: str = "") -> Response:
    """An answer of one line."""
    said = text or f"{status} {HTTPStatus(status).phrase}"
    more = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-cache"))
    return Response(status, (*more, *fields), f"{said}\n".encode())


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any that is free. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    return listening


def serve(listening: socket.socket, answer: Answer, log: Log) -> None:
    """Answer requests, a thread a connection, until the socket is closed. Above a number of them the others wait."""
    free = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def talk(connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                _talk(connection, answer, log)
        finally:
            free.release()

    while True:
        free.acquire()
        try:
            connection, _ = listening.accept()
        except OSError:
            free.release()
            if listening.fileno() < 0:
                return
            time.sleep(0.1)  # no descriptor is left: others will end
            continue
        threading.Thread(target=talk, args=(connection,), daemon=True).start()


def _talk(connection: socket.socket, answer: Answer, log: Log) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = bytearray()
    keep = True
    while keep:
        request = Request("?", "?")
        try:
            head = _receive_head(connection, received)
            if head is None:
                return
            request, keep = parse_head(head)
            response = answer(request)
        except Refused as refused:
            keep, response = False, plain(refused.status)
        log(request.method, request.target, response.status)
        _send(connection, response, with_body=request.method != "HEAD", keep=keep)
    # What is still on its way here would else be answered with a reset, which takes the answer away with it.
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(_LINGER)
    end = time.monotonic() + _LINGER
    while time.monotonic() < end and connection.recv(_BLOCK):
        pass


def _receive_head(connection: socket.socket, received: bytearray) -> bytes | None:
    """The next head, without the empty line behind it; None where the client has gone or says nothing more."""
    deadline = time.monotonic() + IDLE_TIME
    while True:
        while received.startswith((b"\r", b"\n")):
            del received[:1]
        if found := re.search(rb"\r?\n\r?\n", received):
            head = bytes(received[: found.start()])
            del received[: found.end()]
            return head
        _check_size(received)
        if b"\n" in received:
            _request_line(received.partition(b"\n")[0].removesuffix(b"\r"))  # of HTTP/0.9 nothing more would come
        try:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            data = connection.recv(MAX_LINE)
        except TimeoutError:
            if received:
                raise Refused(HTTPStatus.REQUEST_TIMEOUT) from None
            return None
        if not data:
            return None
        if not received:
            deadline = time.monotonic() + HEAD_TIME
        received += data


def _check_size(received: bytes | bytearray) -> None:
    lines = received.split(b"\n")
    if len(lines[0]) > MAX_LINE:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG)
    if len(received) > MAX_HEAD or max(map(len, lines)) > MAX_LINE:
        raise Refused(HTTPStatus.BAD_REQUEST)


def parse_head(head: bytes) -> tuple[Request, bool]:
    """The request in a head, and whether another may follow it. Raises Refused."""
    _check_size(head)
    first, *lines = (line.removesuffix(b"\r") for line in head.split(b"\n"))
    method, target, minor = _request_line(first)
    fields: dict[str, str] = {}
    for line in lines:
        named = _FIELD.fullmatch(line)
        if named is None:
            raise Refused(HTTPStatus.BAD_REQUEST)
        name, value = named[1].decode().lower(), named[2].decode("latin-1")
        if name in fields and name in ("host", "content-length", "transfer-encoding"):
            raise Refused(HTTPStatus.BAD_REQUEST)
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    if not _HOST.fullmatch(fields.get("host", "none" if minor == b"0" else "")):
        raise Refused(HTTPStatus.BAD_REQUEST)
    has_body = fields.get("content-length", "0") != "0" or "transfer-encoding" in fields
    if has_body and method in ("GET", "HEAD"):
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    closes = minor == b"0" or "close" in fields.get("connection", "").lower()
    return Request(method, target, fields), not (has_body or closes)


def _request_line(line: bytes | bytearray) -> tuple[str, str, bytes]:
    """Method, target and the minor version of HTTP/1. Raises Refused."""
    match = _REQUEST.fullmatch(line)
    if match is None:
        version = re.search(rb" HTTP/([0-9]+)\.[0-9]+$", line)
        unknown = version and version[1] != b"1"
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED if unknown else HTTPStatus.BAD_REQUEST)
    return match[1].decode(), match[2].decode("latin-1"), bytes(match[3])


def _send(connection: socket.socket, response: Response, *, with_body: bool, keep: bool) -> None:
    body = response.body
    try:
        status = HTTPStatus(response.status)
        fields = [("Date", formatdate(usegmt=True)), *response.fields]
        fields += [("X-Content-Type-Options", "nosniff"), ("Connection", "keep-alive" if keep else "close")]
        if status != HTTPStatus.NOT_MODIFIED:
            fields.append(("Content-Length", str(body.length if isinstance(body, FilePart) else len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        data = f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode("latin-1")
        connection.settimeout(SEND_TIME)
        if not with_body:
            connection.sendall(data)
        elif isinstance(body, bytes):
            connection.sendall(data + body)
        else:
            connection.sendall(data)
            _send_file(connection, body)
    finally:
        if isinstance(body, FilePart):
            os.close(body.descriptor)


def _send_file(connection: socket.socket, part: FilePart) -> None:
    sent = 0
    while sent < part.length:
        block = os.pread(part.descriptor, min(_BLOCK, part.length - sent), part.start + sent)
        if not block:
            raise OSError("the file became shorter")  # the length was told: only the end of the connection is honest
        connection.sendall(block)
        sent += len(block)
