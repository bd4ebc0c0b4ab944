"""Faults of a registry server, and how kcd-gen handles them."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.network.settings import Network, NetworkError
from kubocd_gen.oci.descriptors import CONTENT_TYPE, MANIFEST_TYPE, Descriptor, sha256
from kubocd_gen.oci.endpoints import Access
from tests.faults.conftest import PLAIN, Client, NewClient, named
from tests.support.fault_server import FaultServer, Reply, endless, hang_up, ranged, raw, reply, silent
from tests.support.registry import CertificateAuthority

BLOB = bytes(range(256)) * 2000
LAYER = Descriptor(CONTENT_TYPE, sha256(BLOB), len(BLOB))
AT_BLOB = f"GET /v2/p/blobs/{LAYER.digest}"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE}).encode()
AT_TAG = "GET /v2/p/manifests/1.0.0"
HEAD_TAG = "HEAD /v2/p/manifests/1.0.0"
OF_MANIFEST = {"Content-Type": MANIFEST_TYPE}


def read_blob(client: Client, server: FaultServer, access: Access = PLAIN) -> bytes:
    return client.registry.read_blob(named(server), LAYER, access, limit=1 << 30)


def read_manifest(client: Client, server: FaultServer, digest: str | None = None, access: Access = PLAIN) -> bytes:
    return client.registry.read_manifest(named(server), digest, access)[1]


def failure(client: Client, server: FaultServer, code: str = "registry-failed", access: Access = PLAIN) -> str:
    """Return message and hint of the failure to read the manifest, with the server's name as «HOST»."""
    with pytest.raises(ProblemsError) as caught:
        read_manifest(client, server, access=access)
    return text_of(caught.value.problem, server, code)


def blob_failure(client: Client, server: FaultServer, code: str = "registry-failed") -> str:
    with pytest.raises(ProblemsError) as caught:
        read_blob(client, server)
    return text_of(caught.value.problem, server, code)


def text_of(error: Problem, server: FaultServer, code: str) -> str:
    assert error.code == code
    assert (error.exit_code == 4) == (code not in ("corrupt-blob", "package-limit"))
    assert f"{error.message}{error.hint or ''}".isprintable()
    return f"{error.message} -- {error.hint}".replace(server.host, "HOST")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_temporary_failure_is_retried(status: int, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, reply(status), reply(status), reply(status), reply(status), reply(200, MANIFEST, OF_MANIFEST))
    one = client()
    assert read_manifest(one, server) == MANIFEST
    assert one.time.slept == [1, 2, 4, 8]
    assert one.progress[0].startswith(f"{server.host} returned {status}")
    assert one.progress[0].endswith("retrying in 1.0 s (attempt 2)")


def test_a_request_is_tried_five_times(server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, reply(503))
    assert failure(client(), server).startswith("HOST returned 503 (Service Unavailable), after 5 attempts")
    assert len(server.asked) == 5


@pytest.mark.parametrize("chance", [0.0, 0.25])
def test_the_delay_has_full_jitter(chance: float, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, reply(503))
    one = client(chance=lambda: chance)
    failure(one, server)
    assert one.time.slept == ([chance * wait for wait in (1, 2, 4, 8)] if chance else [])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418])
def test_a_permanent_failure_is_not_retried(status: int, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, reply(status, fields={"WWW-Authenticate": 'Basic realm="x"'}))
    one = client()
    with pytest.raises(NetworkError) as caught:
        read_manifest(one, server)
    assert caught.value.problem.exit_code == 4
    assert caught.value.problem.code == {401: "registry-denied", 403: "registry-denied", 404: "missing-package"}.get(
        status, "registry-failed"
    )
    assert (len(server.asked), one.time.slept) == (1, [])


@pytest.mark.parametrize(
    ("value", "slept"),
    [
        ("3", 3.0),
        ("0", 1.0),
        ("9999", 10.0),
        (format_datetime(datetime.fromtimestamp(1_000_007, UTC), usegmt=True), 7.0),
        (format_datetime(datetime.fromtimestamp(5, UTC), usegmt=True), 1.0),
        ("-5", 1.0),
        ("soon\x00", 1.0),
        ("99999999999999999999", 1.0),
        ("Wed, 99 Foo 99999 99:99:99 GMT", 1.0),
    ],
)
def test_retry_after_is_honored_up_to_a_limit(value: str, slept: float, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, reply(429, fields={"Retry-After": value}), reply(200, MANIFEST, OF_MANIFEST))
    one = client(now=lambda: 1_000_000.0)
    assert read_manifest(one, server) == MANIFEST
    assert one.time.slept == [slept]


def test_retry_after_delays_the_next_request_to_the_host(server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, reply(429, fields={"Retry-After": "9"}))
    one = client()
    one.time.sleep = lambda seconds: one.transport.close() or one.time.slept.append(seconds)  # type: ignore[func-returns-value,method-assign]
    one.transport._sleep = one.time.sleep
    failure(one, server)
    assert one.time.slept == [9]


def test_a_long_retry_after_is_reported(server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, reply(429, fields={"Retry-After": "120"}))
    text = failure(client(), server)
    assert text.startswith("HOST returned 429 (Too Many Requests); gave up after 20 s -- ")
    assert text.endswith("run again in 120 s, as the host requests")


BREAKS: list[tuple[str, Reply]] = [
    ("no answer", hang_up),
    ("half a status line", raw(b"HTTP/1.1 20")),
    ("half a header", raw(b"HTTP/1.1 200 OK\r\nContent-")),
    ("no HTTP", raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
    ("half a body", reply(200, MANIFEST, OF_MANIFEST, cut=7)),
    ("half a chunk", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{}")),
    ("a chunk of no size", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n")),
    ("a header line without end", raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000)),
    ("a thousand headers", raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n")),
]


@pytest.mark.parametrize("break_", [one for _, one in BREAKS], ids=[name for name, _ in BREAKS])
def test_broken_connections_are_retried(break_: Reply, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, break_, reply(200, MANIFEST, OF_MANIFEST))
    assert read_manifest(client(), server) == MANIFEST


@pytest.mark.parametrize("break_", [one for _, one in BREAKS], ids=[name for name, _ in BREAKS])
def test_broken_connections_are_named(break_: Reply, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, break_)
    assert failure(client(), server).startswith("HOST closed the connection unexpectedly, after 5 attempts")


def test_an_interrupted_download_is_resumed(server: FaultServer, client: NewClient) -> None:
    server.script(AT_BLOB, ranged(BLOB, cut=300_000), ranged(BLOB, cut=100_000), ranged(BLOB))
    assert read_blob(client(), server) == BLOB
    starts = [one.headers.get("range") for one in server.asked]
    assert starts[0] is None
    assert [start is not None for start in starts[1:]] == [True, True]
    assert all("if-range" not in one.headers for one in server.asked)


def test_an_etag_guards_a_resumed_download(server: FaultServer, client: NewClient) -> None:
    server.script(AT_BLOB, ranged(b"x" * len(BLOB), etag='"1"', cut=300_000), ranged(BLOB, etag='"2"'))
    assert read_blob(client(), server) == BLOB
    assert server.asked[1].headers["if-range"] == '"1"'


def test_a_weak_etag_guards_nothing(server: FaultServer, client: NewClient) -> None:
    server.script(AT_BLOB, ranged(BLOB, etag='W/"1"', cut=300_000), ranged(BLOB))
    assert read_blob(client(), server) == BLOB
    assert "if-range" not in server.asked[1].headers


def test_without_digest_or_etag_no_download_is_resumed(server: FaultServer, client: NewClient) -> None:
    server.script("GET /index.yaml", ranged(BLOB, cut=300_000), ranged(BLOB))
    answer = client().transport.request("GET", f"{server.url}/index.yaml")
    assert answer.body == BLOB
    assert all("range" not in one.headers for one in server.asked)


@pytest.mark.parametrize(
    "second",
    [
        reply(200, BLOB),
        reply(206, BLOB, {"Content-Range": f"bytes 0-{len(BLOB) - 1}/{len(BLOB)}"}),
        reply(206, BLOB[5:], {"Content-Range": f"bytes 5-{len(BLOB) - 1}/{len(BLOB)}"}),
        reply(206, BLOB[300_000:]),
        reply(206, BLOB[300_000:], {"Content-Range": "bytes 300000-300001/9"}),
        reply(206, BLOB[300_000:], {"Content-Range": "bytes 300000-1/2; x"}),
        reply(206, BLOB, {"Content-Type": "multipart/byteranges; boundary=x"}),
        reply(416),
    ],
    ids=["200", "from the start", "elsewhere", "without a range", "a piece", "nonsense", "several", "416"],
)
def test_a_download_starts_over_if_the_server_cannot_resume_it(
    second: Reply, server: FaultServer, client: NewClient
) -> None:
    server.script(AT_BLOB, reply(200, BLOB, cut=300_000), second, reply(200, BLOB))
    assert read_blob(client(), server) == BLOB
    assert "range" in server.asked[1].headers
    assert all("range" not in one.headers for one in server.asked[2:])


def test_an_unrequested_range_is_refused(server: FaultServer, client: NewClient) -> None:
    server.script(AT_BLOB, reply(206, BLOB[:100], {"Content-Range": "bytes 0-99/100"}))
    assert blob_failure(client(), server).startswith("HOST returned a partial response to a full request")


CORRUPT_REPLIES: list[tuple[str, Reply, str]] = [
    ("other bytes", reply(200, BLOB[:-1] + b"!"), "returned content with the digest"),
    ("fewer bytes", reply(200, BLOB[:-9]), "of the 512000 bytes of blob"),
    ("more bytes", reply(200, BLOB + b"!"), "returned more than the 512000 bytes"),
    ("more bytes than it says", reply(200, BLOB + b"!", length=3), "returned 3 of the 512000 bytes"),
    (
        "more bytes in chunks",
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\nabcd\r\n" * 1000),
        "returned more than the 512000 bytes",
    ),
    ("more bytes to the end", endless(b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 65536), "returned more than the 512000 bytes"),
    ("packed", reply(200, gzip.compress(BLOB), {"Content-Encoding": "gzip"}), "of the 512000 bytes of blob"),
]


@pytest.mark.parametrize("size", [9, len(BLOB) + 9])
def test_a_login_page_is_not_taken_for_a_blob(size: int, server: FaultServer, client: NewClient) -> None:
    server.script(AT_BLOB, reply(200, b"<" * size, {"Content-Type": "text/html"}))
    assert "returned a web page for blob" in blob_failure(client(), server)


@pytest.mark.parametrize(("lie", "text"), [one[1:] for one in CORRUPT_REPLIES], ids=[one[0] for one in CORRUPT_REPLIES])
def test_a_blob_must_match_its_digest(lie: Reply, text: str, server: FaultServer, client: NewClient) -> None:
    server.script(AT_BLOB, lie)
    assert text in blob_failure(client(), server, "corrupt-blob")
    assert len(server.asked) == 1


def test_a_content_encoding_that_only_describes_the_blob_is_ignored(server: FaultServer, client: NewClient) -> None:
    server.script(AT_BLOB, reply(200, BLOB, {"Content-Encoding": "x-gzip"}))
    assert read_blob(client(), server) == BLOB
    assert server.asked[0].headers["accept-encoding"] == "identity"


HTML = b"<html>Log in</html>"
NO_MANIFESTS: list[tuple[str, Reply, str, str]] = [
    (
        "a web page",
        reply(200, HTML, {"Content-Type": "text/html; charset=utf-8"}),
        "registry-failed",
        "returned a web page",
    ),
    (
        "another type",
        reply(200, MANIFEST, {"Content-Type": "image/png"}),
        "registry-failed",
        "received content type 'image/png'",
    ),
    ("no type", reply(200, b"{}"), "registry-failed", "received no content type"),
    ("no JSON", reply(200, b"{", OF_MANIFEST), "registry-failed", "expected a manifest"),
    ("deep JSON", reply(200, b"[" * 100_000, OF_MANIFEST), "registry-failed", "expected a manifest"),
    (
        "two types",
        reply(200, b'{"mediaType": "application/vnd.oci.image.index.v1+json"}', OF_MANIFEST),
        "registry-failed",
        "conflicting media types",
    ),
    ("a type to act on terminals", reply(200, b"", {"Content-Type": "a\x1b[2Jb"}), "registry-failed", r"'a\x1b[2Jb'"),
    (
        "another digest",
        reply(200, MANIFEST, {**OF_MANIFEST, "Docker-Content-Digest": "sha256:" + "0" * 64}),
        "corrupt-blob",
        "the digest sha256:",
    ),
    (
        "packed",
        reply(200, gzip.compress(MANIFEST), {**OF_MANIFEST, "Content-Encoding": "gzip"}),
        "registry-failed",
        "expected an uncompressed manifest",
    ),
    ("too long", reply(200, b" " * (LIMITS.manifest + 1), OF_MANIFEST), "package-limit", "than the limit of 4 MiB"),
    (
        "declared too long",
        reply(200, b"", OF_MANIFEST, length=LIMITS.manifest + 1),
        "package-limit",
        "than the limit of 4 MiB",
    ),
    (
        "endless",
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4000\r\n" + b" " * 0x4000 + b"\r\n"),
        "package-limit",
        "than the limit of 4 MiB",
    ),
    ("an error of any shape", reply(400, b'{"errors": [{"message": ["x"]}]}'), "registry-failed", "400 (Bad Request)"),
    ("an error that says why", reply(400, b'{"errors": [{"message": "\\u001b[2J"}]}'), "registry-failed", r"'\x1b[2J'"),
    ("an error without end", endless(b"HTTP/1.1 418 T\r\n\r\n", b"x" * 65536), "registry-failed", "418"),
    (
        "two lengths",
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}"),
        "registry-failed",
        "conflicting headers",
    ),
    (
        "two fields of lengths",
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        "registry-failed",
        "conflicting headers",
    ),
    (
        "a length of digits",
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}"),
        "registry-failed",
        "",
    ),
]


@pytest.mark.parametrize(
    ("lie", "code", "text"), [one[1:] for one in NO_MANIFESTS], ids=[one[0] for one in NO_MANIFESTS]
)
def test_a_manifest_is_checked(lie: Reply, code: str, text: str, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, lie)
    assert text in failure(client(), server, code)


def test_a_manifest_requested_by_digest_must_match_it(server: FaultServer, client: NewClient) -> None:
    wanted = sha256(b"another")
    server.script(f"GET /v2/p/manifests/{wanted}", reply(200, MANIFEST, OF_MANIFEST))
    with pytest.raises(ProblemsError) as caught:
        read_manifest(client(), server, wanted)
    assert "returned a manifest with the digest" in text_of(caught.value.problem, server, "corrupt-blob")


@pytest.mark.parametrize(
    "head",
    [
        reply(405),
        reply(200, MANIFEST),
        reply(200, MANIFEST, OF_MANIFEST),
        reply(200, MANIFEST, {**OF_MANIFEST, "Docker-Content-Digest": "sha256:zz"}),
        reply(200, MANIFEST, {"Content-Type": "text/plain", "Docker-Content-Digest": sha256(MANIFEST)}),
    ],
    ids=["no HEAD", "nothing", "no digest", "no such digest", "no type of a manifest"],
)
def test_a_head_that_says_too_little_is_followed_by_a_get(head: Reply, server: FaultServer, client: NewClient) -> None:
    server.script(HEAD_TAG, head)
    server.script(AT_TAG, reply(200, MANIFEST, OF_MANIFEST))
    found = client().registry.resolve(named(server), PLAIN)
    assert found == Descriptor(MANIFEST_TYPE, sha256(MANIFEST), len(MANIFEST))


def test_one_head_resolves_a_tag(server: FaultServer, client: NewClient) -> None:
    server.script(HEAD_TAG, reply(200, MANIFEST, {**OF_MANIFEST, "Docker-Content-Digest": sha256(MANIFEST)}))
    assert client().registry.resolve(named(server), PLAIN).digest == sha256(MANIFEST)
    assert server.paths() == [HEAD_TAG]


# -- time ------------------------------------------------------------------------------------------------------------

SLOW: list[tuple[str, Reply, str]] = [
    ("silence", silent, "sent no data for"),
    ("silence in the head", raw(b"HTTP/1.1 200 OK\r\n", b"", pause=1.0), "sent no data for"),
    ("silence in the body", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"", pause=1.0), "sent no data for"),
]


@pytest.mark.parametrize(("slow", "text"), [one[1:] for one in SLOW], ids=[one[0] for one in SLOW])
def test_a_silent_server_is_given_up(slow: Reply, text: str, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, slow)
    assert f"HOST {text}" in failure(client(), server, access=Access(insecure=True, timeout=0.05))


@pytest.mark.parametrize(
    "drip",
    [
        endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n", 0.01),
        endless(b"HTTP/1.1 ", b"2", 0.01),
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" ", 0.01),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.01),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    ],
    ids=["headers", "a status line", "a body", "chunks", "informational answers"],
)
def test_a_server_that_drips_is_given_up(
    drip: Reply, server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubocd_gen.network.transport.CONNECT_TIMEOUT", 0.05)
    server.script(AT_TAG, drip)
    text = failure(client(), server, access=Access(insecure=True, timeout=0.05))
    # Without a deadline it would not end. On a busy machine, a pause of the server can be as long as silence.
    assert re.search("did not finish its response in time|closed the connection|sent no data", text)
    assert len(server.asked) <= 5


def test_a_slow_answer_that_makes_progress_is_not_given_up(server: FaultServer, client: NewClient) -> None:
    pieces = [BLOB[start : start + 40_000] for start in range(0, len(BLOB), 40_000)]
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BLOB)
    server.script(AT_BLOB, raw(head, *pieces, pause=0.1))
    one = client()
    assert read_blob(one, server, Access(insecure=True, timeout=0.3)) == BLOB
    assert one.time.slept == []


def test_close_ends_requests_in_progress(server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, silent)
    one = client()
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(read_manifest, one, server)
        while not server.asked:
            time.sleep(0.01)
        one.registry.close()
        with pytest.raises(NetworkError, match="interrupted"):
            waiting.result(5)
    assert "interrupted" in failure(one, server)


# -- several at a time -----------------------------------------------------------------------------------------------


def test_a_host_gets_at_most_four_connections(server: FaultServer, client: NewClient) -> None:
    def slow(handler: object, request: object) -> None:
        time.sleep(0.05)
        reply(200, MANIFEST, OF_MANIFEST)(handler, request)  # type: ignore[arg-type]

    server.script("GET *", slow)
    one = client()
    tags = [f"1.0.{number}" for number in range(24)]
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda tag: one.registry.read_manifest(named(server, tag), None, PLAIN), tags))
    assert (len(server.asked), server.busiest) == (24, 4)


@pytest.mark.parametrize("works", [True, False])
def test_a_digest_is_fetched_only_once(works: bool, server: FaultServer, client: NewClient) -> None:
    go = threading.Event()

    def held(handler: object, request: object) -> None:
        go.wait(10)
        reply(200, BLOB if works else b"x")(handler, request)  # type: ignore[arg-type]

    server.script(AT_BLOB, held)
    one = client()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(read_blob, one, server) for _ in range(8)]
        time.sleep(0.2)
        go.set()
        outcomes = [one.exception() for one in waiting]
    assert len(server.asked) == 1
    assert all(isinstance(outcome, ProblemsError) != works for outcome in outcomes)


def test_another_registry_is_asked_if_the_first_fails(
    server: FaultServer, other: FaultServer, client: NewClient
) -> None:
    go = threading.Event()

    def held(handler: object, request: object) -> None:
        go.wait(10)
        reply(404)(handler, request)  # type: ignore[arg-type]

    server.script(AT_BLOB, held)
    other.script(AT_BLOB, reply(200, BLOB))
    one = client()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(read_blob, one, server)
        while not server.asked:
            time.sleep(0.01)
        second = pool.submit(read_blob, one, other)
        go.set()
        assert second.result(10) == BLOB
        assert isinstance(first.exception(10), NetworkError)


# -- redirects -------------------------------------------------------------------------------------------------------


def redirect(location: str, status: int = 307) -> Reply:
    return reply(status, fields={"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_followed_for_blobs(
    status: int, server: FaultServer, other: FaultServer, client: NewClient
) -> None:
    server.script(AT_BLOB, redirect(f"{other.url}/x?signed=1", status))
    other.script("GET /x", reply(200, BLOB))
    assert read_blob(client(), server) == BLOB


def test_an_interrupted_redirected_download_is_resumed_from_the_first_url(
    server: FaultServer, other: FaultServer, client: NewClient
) -> None:
    server.script(AT_BLOB, redirect(f"{other.url}/x?signed=1"), redirect(f"{other.url}/x?signed=2"))
    other.script("GET /x", ranged(BLOB, cut=300_000), ranged(BLOB))
    assert read_blob(client(), server) == BLOB
    assert [one.path for one in other.asked] == ["/x?signed=1", "/x?signed=2"]
    assert "range" in other.asked[1].headers


def test_credentials_do_not_follow_a_redirect(server: FaultServer, other: FaultServer, client: NewClient) -> None:
    host = server.host.replace(".", "_").replace(":", "_")
    ours = {f"KCD_OCI_{host}_USER": "alice", f"KCD_OCI_{host}_SECRET": "hunter2"}
    server.script(AT_BLOB, reply(401, fields={"WWW-Authenticate": "Basic realm=x"}), redirect(f"{server.url}/same"))
    server.script("GET /same", redirect(f"{other.url}/x"))
    other.script("GET /x", reply(200, BLOB))
    assert read_blob(client(environment=ours), server) == BLOB
    assert ["authorization" in one.headers for one in server.asked] == [False, True, True]
    assert "authorization" not in other.asked[0].headers


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("file:///etc/passwd", "refers to 'file:///etc/passwd'"),
        ("ftp://x.example/", "not a valid HTTP URL"),
        ("http://", "redirected more than 5 times"),
        ("http://[::1/", "not a valid HTTP URL"),
        ("http://x:99999/", "not a valid HTTP URL"),
        ("http://user:pass@127.0.0.1/?sig=s3cret", "refers to 'http://…@127.0.0.1/', which is not a valid HTTP URL"),
        ("http://127.0.0.1/" + "x" * 9000, "not a valid HTTP URL"),
        ("http://127.0.0.1/\x1b[2J", r"\x1b[2J"),
        ("http://a b/", "not a valid HTTP URL"),
        ("/v2/p/manifests/1.0.0", "redirected more than 5 times"),
        ("", "returned 307"),
    ],
)
def test_redirects_are_bounded(location: str, text: str, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, redirect(location))
    assert text in failure(client(), server)
    assert len(server.asked) <= 6


def test_the_body_of_a_redirect_is_not_read(server: FaultServer, client: NewClient) -> None:
    head = b"HTTP/1.1 307 Gone\r\nLocation: /there\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.script(AT_TAG, endless(head, b"1000\r\n" + b" " * 4096 + b"\r\n"))
    server.script("GET /there", reply(200, MANIFEST, OF_MANIFEST))
    assert read_manifest(client(), server) == MANIFEST


def test_a_redirect_from_https_to_http_is_refused(
    tls_server: FaultServer, other: FaultServer, client: NewClient, authority: CertificateAuthority
) -> None:
    tls_server.script(AT_TAG, redirect(f"{other.url}/x"))
    one = client(network=Network(ca_file=authority.certificate))
    assert "HOST redirected from HTTPS to plain HTTP" in failure(one, tls_server, access=Access())
    assert other.asked == []


# -- the rest --------------------------------------------------------------------------------------------------------


def test_offline_mode_sends_no_request(server: FaultServer, client: NewClient) -> None:
    text = failure(client(network=Network(offline=True)), server, "offline")
    assert text.startswith("cannot access the registry of HOST/p:1.0.0 with --offline")
    with pytest.raises(NetworkError, match="is disabled"):
        client(network=Network(offline=True)).transport.request("GET", server.url)
    assert server.asked == []


def test_cookies_and_netrc_are_not_sent(
    server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    (netrc := tmp_path / "netrc").write_text("default login alice password hunter2\n")  # type: ignore[operator]
    monkeypatch.setenv("NETRC", str(netrc))
    server.script(AT_TAG, reply(503, fields={"Set-Cookie": "a=b"}), reply(200, MANIFEST, OF_MANIFEST))
    read_manifest(client(), server)
    assert not any({"cookie", "authorization"} & set(one.headers) for one in server.asked)


@pytest.mark.parametrize("size", [1 << 31, (1 << 30) + 1])
def test_a_blob_over_the_limit_is_not_requested(size: int, server: FaultServer, client: NewClient) -> None:
    with pytest.raises(ProblemsError, match="is larger than the limit of 1 GiB"):
        client().registry.read_blob(named(server), Descriptor(CONTENT_TYPE, LAYER.digest, size), PLAIN, limit=1 << 30)
    assert server.asked == []
