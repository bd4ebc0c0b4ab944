"""TLS, proxies, names and addresses."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.network import connections, proxies
from kubocd_gen.network.settings import Network
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.reference import Reference
from tests.faults.conftest import PLAIN, Client, NewClient, named
from tests.support.fault_server import FaultServer, Handler, Request, endless, hang_up, raw, reply, silent
from tests.support.registry import CertificateAuthority, make_authority

pytestmark = pytest.mark.slow

# Without a deadline, a response that drips would not end. On a busy machine, a pause can be as long as silence.
GIVEN_UP = re.compile("did not finish its response in time|sent no data")


def failure(client: Client, reference: Reference, access: Access = PLAIN, code: str = "registry-failed") -> str:
    with pytest.raises(ProblemsError) as caught:
        client.registry.resolve(reference, access)
    assert caught.value.problem.code == code
    text = f"{caught.value.problem.message} -- {caught.value.problem.hint}"
    assert text.isprintable()
    return text.replace(reference.registry, "HOST")


def test_an_unknown_certificate_is_an_error(tls_server: FaultServer, client: NewClient) -> None:
    one = client()
    text = failure(one, named(tls_server), Access())
    assert text.startswith("the certificate of HOST is not valid: ")
    assert "--ca-file FILE" in text
    assert one.time.slept == []


def test_every_name_of_a_certificate_is_accepted(
    tls_server: FaultServer, client: NewClient, authority: CertificateAuthority
) -> None:
    one = client(network=Network(ca_file=authority.certificate))
    local = Reference(tls_server.host.replace("127.0.0.1", "localhost"), "p", "1")
    assert "does not have p:1" in failure(one, local, Access(), "missing-package")


def test_an_authority_without_key_usage_is_accepted_as_by_other_clients(
    client: NewClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 sets VERIFY_X509_STRICT by default."""
    default = ssl.create_default_context

    def strict(*arguments: Any, **options: Any) -> ssl.SSLContext:
        context = default(*arguments, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    old = make_authority(tmp_path, strict=False)
    with FaultServer((str(old.server), str(old.key))) as server:
        host, port = server.host.split(":")
        with socket.create_connection((host, int(port))) as plain, pytest.raises(ssl.SSLCertVerificationError):
            strict(cafile=old.certificate).wrap_socket(plain, server_hostname=host)
        one = client(network=Network(ca_file=old.certificate))
        assert "does not have p:1.0.0" in failure(one, named(server), Access(), "missing-package")


def test_a_trusted_certificate_ends_the_chain(
    tls_server: FaultServer, client: NewClient, authority: CertificateAuthority
) -> None:
    one = client(network=Network(ca_file=authority.server))
    assert "does not have p:1.0.0" in failure(one, named(tls_server), Access(), "missing-package")


def test_the_host_is_compared_with_the_certificate(
    tls_server: FaultServer, client: NewClient, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(tls_server.host.rpartition(":")[2])
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(connections, "_addresses", lambda *_: found)
    one = client(network=Network(ca_file=authority.certificate))
    text = failure(one, Reference(f"other.example:{port}", "p", "1"), Access())
    assert "the certificate is for another host name" in text


def test_plain_http_instead_of_https_is_an_error(server: FaultServer, client: NewClient) -> None:
    one = client()
    text = failure(one, named(server), Access())
    assert text.startswith("HOST does not serve HTTPS -- ")
    assert "'insecure: true'" in text
    assert (server.asked, one.time.slept) == ([], [])


@pytest.mark.parametrize("content", [None, "no certificate", ""])
def test_an_invalid_ca_file_is_an_error(content: str | None, tmp_path: Path, client: NewClient) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    one = client(network=Network(ca_file=file))
    assert f"'{file}', set by --ca-file" in failure(one, Reference("127.0.0.1:1", "p", "1"), Access(), "usage")


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_variable_names_the_certificates(
    name: str, tls_server: FaultServer, client: NewClient, authority: CertificateAuthority
) -> None:
    one = client(environment={name: str(authority.certificate)})
    assert "does not have p:1.0.0" in failure(one, named(tls_server), Access(), "missing-package")


def test_an_unknown_host_name_is_an_error(client: NewClient) -> None:
    one = client()
    text = failure(one, Reference("no-such-host.invalid", "p", "1"))
    assert text.startswith(("the host HOST does not exist", "the host HOST could not be resolved"))


def test_name_servers_that_do_not_answer_are_given_up(client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> list[Any]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", late)
    monkeypatch.setattr("kubocd_gen.network.transport.CONNECT_TIMEOUT", 0.05)
    assert "the host HOST could not be resolved, after 5 attempts" in failure(
        client(), Reference("a.example", "p", "1")
    )


@pytest.fixture
def full_queue() -> Iterator[str]:
    """A host that accepts no connection: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        waiting = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        yield f"127.0.0.1:{address[1]}"
        for sock in waiting:
            sock.close()


def test_a_host_that_accepts_no_connection_is_given_up(
    full_queue: str, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubocd_gen.network.transport.CONNECT_TIMEOUT", 0.2)
    text = failure(client(), Reference(full_queue, "p", "1"))
    assert text.startswith("HOST could not be reached within 10 s, after 5 attempts")


def test_the_next_address_is_tried_in_time(
    full_queue: str, server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def address(host: str) -> Any:
        return (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(host.rpartition(":")[2])))

    monkeypatch.setattr(connections, "_SHARE", 0.1)
    monkeypatch.setattr("kubocd_gen.network.transport.CONNECT_TIMEOUT", 1.0)
    monkeypatch.setattr(connections, "_addresses", lambda *_: [address(full_queue), address(server.host)])
    one = client()
    assert "does not have p:1" in failure(one, Reference("a.example", "p", "1"), code="missing-package")
    assert one.time.slept == []


def test_a_proxy_is_used(server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://alice:hunter2@{server.host}")
    monkeypatch.setenv("http_proxy", f"http://alice:hunter2@{server.host}")
    failure(client(), Reference("r.example", "p", "1"), code="missing-package")
    assert server.asked[0].path == "http://r.example/v2/p/manifests/1"
    assert server.asked[0].headers["proxy-authorization"].startswith("Basic ")


def test_no_proxy(server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of the machine itself never uses a proxy; see `test_proxies.py` for all others."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    failure(client(), named(server), code="missing-package")


def denied(handler: Handler, request: Request) -> None:
    reply(407)(handler, request)


@pytest.mark.parametrize(("answer", "tries"), [(denied, 1), (hang_up, 5), (raw(b"\x1b[2J\r\n"), 5)])
def test_a_proxy_that_opens_no_tunnel_is_named(
    answer: Any, tries: int, server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script("CONNECT r.example:443", answer)
    monkeypatch.setenv("https_proxy", f"http://alice:hunter2@{server.host}")
    one = client()
    text = failure(one, Reference("r.example", "p", "1"), Access())
    assert f"the proxy '{server.host}'" in text
    assert "hunter2" not in text + "".join(one.progress)
    assert len(one.time.slept) == tries - 1


def test_a_socks_proxy_is_refused_without_a_request(client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1")
    one = client()
    assert "'socks5h'" in failure(one, Reference("r.example", "p", "1"), Access(), "unsupported-proxy")
    assert one.time.slept == []


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://", "http://[::1"])
def test_an_unreachable_proxy_is_named(proxy: str, client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    text = failure(client(), Reference("r.example", "p", "1"), Access())
    assert "could not connect to HOST" in text
    assert "HTTPS_PROXY" in text


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_connection_is_reused(method: str, status: int, server: FaultServer, client: NewClient) -> None:
    ports = set()

    def give(handler: Handler, request: Request) -> None:
        ports.add(handler.client_address[1])
        reply(status, b"x" * 100)(handler, request)

    server.script(f"{method} /", give)
    one = client()
    for _ in range(3):
        assert one.transport.request(method, f"{server.url}/").status == status
    assert len(ports) == 1


def tunnel(handler: Handler, request: Request) -> None:
    """Forward to the target of a CONNECT."""
    host, _, port = request.path.rpartition(":")
    with socket.create_connection((host, int(port))) as there:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := there.recv(65536):
                    handler.connection.sendall(data)

        threading.Thread(target=back, daemon=True).start()
        with contextlib.suppress(OSError):
            while data := handler.rfile.read1(65536):
                there.sendall(data)
    handler.close_connection = True


@pytest.mark.parametrize("secure", [False, True], ids=["a proxy", "a proxy that speaks TLS"])
def test_https_goes_through_a_tunnel(
    secure: bool,
    server: FaultServer,
    tls_server: FaultServer,
    authority: CertificateAuthority,
    client: NewClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FaultServer((str(authority.server), str(authority.key))) as secure_proxy:
        proxy = secure_proxy if secure else server
        monkeypatch.setattr(proxies, "_uses_proxy", lambda *_: True)  # the server is on this machine
        proxy.script(f"CONNECT {tls_server.host}", tunnel)
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", "//alice:hunter%32@"))
        one = client(network=Network(ca_file=authority.certificate))
        assert "does not have p:1.0.0" in failure(one, named(tls_server), Access(), "missing-package")
        for method in ("HEAD", "GET"):
            head = endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n", 0.05)
            tls_server.script(f"{method} /v2/p/manifests/1.0.0", head)
        monkeypatch.setattr("kubocd_gen.network.transport.CONNECT_TIMEOUT", 0.5)
        assert GIVEN_UP.search(failure(one, named(tls_server), Access(timeout=0.3)))
    assert proxy.asked[0].headers["proxy-authorization"] == "Basic YWxpY2U6aHVudGVyMg=="
    assert "proxy-authorization" not in tls_server.asked[0].headers


@pytest.mark.parametrize(
    "drip",
    [
        endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n", 0.05),
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" ", 0.05),
    ],
    ids=["headers", "a body"],
)
def test_a_response_that_drips_over_tls_is_given_up(
    drip: Any, tls_server: FaultServer, authority: CertificateAuthority, client: NewClient, monkeypatch: Any
) -> None:
    monkeypatch.setattr("kubocd_gen.network.transport.CONNECT_TIMEOUT", 0.5)
    tls_server.script("HEAD /v2/p/manifests/1.0.0", reply(405))
    tls_server.script("GET /v2/p/manifests/1.0.0", drip)
    one = client(network=Network(ca_file=authority.certificate))
    assert GIVEN_UP.search(failure(one, named(tls_server), Access(timeout=0.3)))


@contextlib.contextmanager
def byte_server(*pieces: bytes) -> Iterator[str]:
    """A host that sends these bytes to every client, the last one repeatedly, and ignores what it receives."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk(sock: socket.socket) -> None:
            with sock, contextlib.suppress(OSError):
                for piece in pieces:
                    sock.sendall(piece)
                while True:
                    time.sleep(0.05)
                    sock.sendall(pieces[-1] if pieces else b"")

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_handshake_that_drips_is_given_up(client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubocd_gen.network.transport.CONNECT_TIMEOUT", 0.3)
    with byte_server(b"\x16\x03\x03\x40\x00\x02", b"\x00") as host:  # the record of a 16 KiB hello
        assert "after 5 attempts" in failure(client(), Reference(host, "p", "1"), Access(timeout=0.3))


def test_close_ends_every_wait_at_once(
    full_queue: str, tls_server: FaultServer, authority: CertificateAuthority, client: NewClient, monkeypatch: Any
) -> None:
    asking = threading.Event()

    def late(*_: object) -> list[Any]:
        asking.set()
        time.sleep(20)
        return []

    def ends(host: str, under_way: Callable[[], bool]) -> None:
        one = client(network=Network(ca_file=authority.certificate))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(failure, one, Reference(host, "p", "1.0.0"), Access())
            while not under_way():
                time.sleep(0.01)
            began = time.monotonic()
            one.registry.close()
            assert "interrupted" in waiting.result(10)
            assert time.monotonic() - began < 3

    tls_server.script("HEAD /v2/p/manifests/1.0.0", silent)
    ends(tls_server.host, lambda: bool(tls_server.asked))
    with byte_server(b"\x16\x03\x03\x40\x00\x02", b"") as host:
        time_of_handshake = time.monotonic() + 0.5
        ends(host, lambda: time.monotonic() > time_of_handshake)
    time_of_connecting = time.monotonic() + 0.5
    ends(full_queue, lambda: time.monotonic() > time_of_connecting)
    monkeypatch.setattr(socket, "getaddrinfo", late)
    ends("a.example", asking.is_set)
