"""The development server answers and refuses exactly like the container; in addition, it has a page."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.server import http
from kubocd_gen.server.client_limits import Outgoing, Patience
from kubocd_gen.server.site import Site
from tests.support.requests import (
    CHART_PATH,
    INDEX,
    INDEX_PATH,
    REQUESTS,
    ask,
    check_all,
    parse,
    request,
    write_content,
)

ANY_LENGTH = {"gzip for YAML"}  # nginx compresses while it sends, and can't know the length
AS_IN_THE_CONTAINER = [
    replace(one, headers={**one.headers, "content-length": r"\d+"}) if one.name in ANY_LENGTH else one
    for one in REQUESTS
    if one.name != "refused /"  # the page, which the container does not have
]


@contextmanager
def serving(output: Path, *, only_here: bool = False, **settings: Any) -> Iterator[int]:
    """Start a server for `output` and return its port."""
    with http.Server("127.0.0.1", 0, **settings) as server:
        port: int = server.server_address[1]
        server.answer = Site(output, address=f"127.0.0.1:{port}", only_here=only_here).answer
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield port
        server.shutdown()


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_content(tmp_path_factory.mktemp("content"))


@pytest.fixture(scope="module")
def port(output: Path) -> Iterator[int]:
    with serving(output) as port:
        yield port


def test_the_requests_of_the_table(port: int) -> None:
    check_all(port, AS_IN_THE_CONTAINER)


def test_the_gzipped_index_is_the_index(port: int) -> None:
    assert gzip.decompress(ask(port, request(INDEX_PATH, "Accept-Encoding: br;q=1.0, gzip;q=0.8")).body) == INDEX
    assert ask(port, request(INDEX_PATH, "Accept-Encoding: gzip;q=0, br")).body == INDEX


def test_the_page_is_only_at_the_root(port: int) -> None:
    page = ask(port, request("/"))
    assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
    assert b"<h3>web</h3>" in page.body
    head = ask(port, request("/", method="HEAD"))
    assert (head.status, head.body, head.header("content-length")) == (200, b"", page.header("content-length"))
    assert ask(port, request("/index.html")).status == 404


def test_without_charts_the_server_is_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path) as port:
        assert ask(port, request("/readyz")).status == 503
        assert ask(port, request("/healthz")).status == 200
        assert ask(port, request("/")).status == 200
        (tmp_path / "hr").symlink_to("/etc")
        assert ask(port, request("/readyz")).status == 503
        (tmp_path / "hr").unlink()
        (tmp_path / "hr").mkdir()
        assert ask(port, request("/readyz")).status == 200


def test_a_loopback_server_refuses_other_host_names(output: Path) -> None:
    def status(port: int, host: str) -> int:
        return ask(port, f"GET {INDEX_PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()).status

    with serving(output, only_here=True) as port:
        for host in ("localhost", f"127.0.0.1:{port}", "[::1]:80", "charts.kubocd.svc", "charts", "a.localhost:1"):
            assert status(port, host) == 200, host
        for host in ("charts.example.com", "127.0.0.1.example.com:80", "a.svc.example.com"):
            assert status(port, host) == 421, host


def test_a_connection_serves_one_request(port: int) -> None:
    first = f"GET {INDEX_PATH} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(first + first)
        received = b""
        while data := connection.recv(65536):
            received += data
    answer = parse(received)
    assert (answer.status, answer.body, answer.rest) == (200, INDEX, b"")


def test_an_idle_client_is_disconnected(output: Path) -> None:
    with serving(output, patience=Patience(head=0.3)) as port:
        for sent in (b"GET / HTTP/1.1\r\nHos", b""):
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(sent)
                while connection.recv(65536):
                    pass


def test_a_chart_truncated_during_a_download_closes_the_connection(tmp_path: Path) -> None:
    chart = write_content(tmp_path) / CHART_PATH[1:]
    chart.write_bytes(b"a" * 50_000_000)
    with serving(tmp_path / "output") as port, socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request(CHART_PATH))
        received = len(connection.recv(65536))
        os.truncate(chart, 10)
        while data := connection.recv(1 << 20):
            received += len(data)
        assert received < 50_000_000


def test_fifty_clients_get_whole_files_while_a_build_replaces_them(tmp_path: Path) -> None:
    output = write_content(tmp_path)
    bodies = {bytes([65 + n]) * 20_000 for n in range(8)}
    chart = output / CHART_PATH[1:]
    chart.write_bytes(min(bodies))
    end = time.monotonic() + 2
    seen: list[tuple[int, bytes]] = []

    def client(port: int) -> None:
        while time.monotonic() < end:
            answer = ask(port, request(CHART_PATH))
            seen.append((answer.status, answer.body))

    with serving(output) as port:
        clients = [threading.Thread(target=client, args=(port,)) for _ in range(50)]
        for one in clients:
            one.start()
        while time.monotonic() < end:
            for body in bodies:
                new = chart.with_name(".new")
                new.write_bytes(body)
                new.replace(chart)
        for one in clients:
            one.join()
    assert len(seen) > 100
    assert all(status == 200 and body in bodies for status, body in seen)


def test_a_request_head_that_drips_is_given_up(output: Path) -> None:
    """Each byte arrives in time; the head as a whole never would."""
    with serving(output, patience=Patience(head=0.5)) as port:
        for first in (b"", b"GET /healthz HTTP/1.1\r\nX: "):
            with socket.create_connection(("127.0.0.1", port), 60) as connection:
                connection.sendall(first)
                sent = 0
                with pytest.raises(OSError):
                    while sent < 6000:
                        connection.sendall(b"a")
                        sent += 1
                        time.sleep(0.02)
        assert ask(port, request("/healthz")).status == 200


def test_connections_over_the_limit_are_closed(output: Path) -> None:
    with serving(output, patience=Patience(head=60), most=2) as port:
        held = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(2)]
        try:
            for connection in held:  # each has its thread
                connection.sendall(b"GET / ")
            with socket.create_connection(("127.0.0.1", port), 30) as beyond:
                received = b""
                while block := beyond.recv(1000):
                    received += block
                assert received.startswith(b"HTTP/1.0 503 ")
        finally:
            for connection in held:
                connection.close()
        wait_for(lambda: ask(port, request("/healthz")).status == 200)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_client_that_reads_too_slowly_is_disconnected() -> None:
    """A byte now and then would keep a socket timeout from expiring."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs.settimeout(60)
        stopped = threading.Event()

        def sip() -> None:
            while not stopped.wait(0.02):
                theirs.recv(64)

        reader = threading.Thread(target=sip)
        reader.start()
        try:
            with pytest.raises(TimeoutError):
                Outgoing(ours, Patience(answer=0.3, slowest=1 << 20)).write(bytes(1 << 20))
        finally:
            stopped.set()
            reader.join()


def test_a_client_that_reads_in_time_gets_all() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        got = []
        reader = threading.Thread(target=lambda: got.append(theirs.makefile("rb").read()))
        reader.start()
        assert Outgoing(ours, Patience(answer=60)).write(bytes(1 << 20)) == 1 << 20
        ours.shutdown(socket.SHUT_WR)
        reader.join()
    assert got == [bytes(1 << 20)]
