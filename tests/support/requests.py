"""Requests that a chart server must answer or refuse, sent byte for byte: no client normalizes them.

`write_content` creates the served directory, `ask` sends a request, `Request.check` checks the answer. The container's
nginx and the development server pass the same table.
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

SECRET = b"nobody may read this"
INDEX = b"apiVersion: v1\nentries:\n" + b"".join(
    b"  web:\n  - {name: web, version: 1.0.%d, urls: [web-1.0.%d.tgz]}\n" % (n, n) for n in range(40)
)
CHART = gzip.compress(b"a chart " * 400, mtime=0)
INDEX_PATH = "/hr/default/web/index.yaml"
CHART_PATH = "/hr/default/web/web-1.0.0.tgz"


def write_content(directory: Path) -> Path:
    """Write an output with a Release `default/web`, and files in and around it that must not be served."""
    root = directory / "output"
    for name, data in {
        f"output{INDEX_PATH}": INDEX,
        f"output{CHART_PATH}": CHART,
        "output/hr/default/web/web-1.0.0+build.1.tgz": CHART,
        "output/hr/default/web/empty-1.0.0.tgz": b"",
        "output/hr/default/web/.secret.tgz": SECRET,
        "output/hr/default/web/.index.yaml": SECRET,
        "output/hr/default/web/README.md": SECRET,
        "output/hr/default/web/folder.tgz/secret.tgz": SECRET,
        "output/hr/default/index.yaml": SECRET,
        "output/hr/.hidden/web/index.yaml": SECRET,
        "output/flux/default/web.yaml": SECRET,
        "output/flux/kustomization.yaml": SECRET,
        "output/.kcd-gen/default/web.list": SECRET,
        "output/.kcd-gen/.staging/new/0/index.yaml": SECRET,
        "output/server/nginx.conf": SECRET,
        "outside/index.yaml": SECRET,
        "outside/secret.tgz": SECRET,
        "outside/web/index.yaml": SECRET,
    }.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    for link, target in {
        "hr/default/web/link.tgz": "../../../../outside/secret.tgz",
        "hr/default/web/absolute.tgz": str(directory / "outside/secret.tgz"),
        "hr/default/web/dangling.tgz": "nowhere",
        "hr/default/web/loop.tgz": "loop.tgz",
        "hr/default/web/inside.tgz": "web-1.0.0.tgz",
        "hr/default/linked": "../../../outside",
        "hr/linked": "../../outside",
        "hr/again": "default",
    }.items():
        (root / link).symlink_to(target)
    return root


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `rest` is what followed it on the same connection."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    rest: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Request:
    """A request and its permitted answers: one of `status`, these headers (None: absent), this body."""

    name: str
    sent: bytes
    status: tuple[int, ...]
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return self.name

    def check(self, answer: Answer) -> None:
        """Fail with the answer if it is not permitted for the request."""
        assert answer.status in self.status, answer
        for name, value in self.headers.items():
            found = answer.header(name)
            assert found is None if value is None else re.fullmatch(value, found or ""), (name, answer)
        if self.body is not None:
            assert answer.body == self.body, answer
        if not set(self.status) & {200, 206}:
            assert b"apiVersion" not in answer.body + answer.rest, answer
        assert SECRET not in answer.body + answer.rest, answer
        assert b"HTTP/1" not in answer.rest, "a second request was found in this one"
        if answer.status >= 400:
            assert len(answer.body) < 300, "more words than a refusal needs"
        assert not re.search(r"\d", answer.header("server") or ""), "the version tells an attacker what to try"


def check_all(port: int, requests: Iterable[Request]) -> None:
    """Send each request, and fail with all unexpected answers.

    This is one test for the whole table: one test per request would take longer to collect and report than to run.
    """
    wrong = []
    for one in requests:
        try:
            one.check(ask(port, one.sent))
        except AssertionError as error:
            wrong.append(f"{one.name}: {error}")
    assert wrong == [], "\n".join(wrong)


def request(
    target: str | bytes, *headers: str, method: str = "GET", version: str = "HTTP/1.1", body: bytes = b""
) -> bytes:
    """Return a request as bytes, with the target unchanged."""
    path = target.encode("latin-1") if isinstance(target, str) else target
    lines = [b"%s %s %s" % (method.encode(), path, version.encode())]
    if version == "HTTP/1.1":
        lines.append(b"Host: charts.example.com")
    lines += [line.encode() for line in (*headers, "Connection: close")]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def ask(port: int, sent: bytes, *, timeout: float = 10) -> Answer:
    """Return the answer of the server on a port of 127.0.0.1; status 0 if it closes without one, and 9 for HTTP/0.9."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        try:
            connection.sendall(sent)
            deadline = time.monotonic() + timeout
            while chunk := connection.recv(65536):
                received += chunk
                assert time.monotonic() < deadline, f"no end: {received[:200]!r}"
        except (ConnectionResetError, BrokenPipeError):
            pass  # rejected before all of it was read
    return parse(received, is_head=sent.startswith(b"HEAD "))


def parse(received: bytes, *, is_head: bool = False) -> Answer:
    """Parse the first answer in the received bytes."""
    if not received:
        return Answer(0, (), b"")
    if not received.startswith(b"HTTP/"):
        return Answer(9, (), received)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = tuple((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    answer = Answer(int(first.split(" ")[1]), headers, body)
    length = 0 if is_head or answer.status == 304 else int(answer.header("content-length") or len(body))
    assert len(body) >= length, f"the answer broke off: {received[:500]!r}"
    return Answer(answer.status, headers, body[:length], body[length:])


_CONTENT = {
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "etag": r'"[^"]+"',
    "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT",
    "location": None,
    "set-cookie": None,
}
_YAML = {**_CONTENT, "content-type": "application/yaml", "content-length": str(len(INDEX)), "content-encoding": None}
_TGZ = {**_CONTENT, "content-type": "application/gzip", "content-length": str(len(CHART)), "content-encoding": None}
_REFUSED = {"location": None, "etag": None, "x-content-type-options": "nosniff"}
_METHOD = {**_REFUSED, "allow": "GET, HEAD"}


def _served() -> Iterator[Request]:
    yield Request("index", request(INDEX_PATH), (200,), _YAML, INDEX)
    yield Request("chart", request(CHART_PATH), (200,), _TGZ, CHART)
    for plus in ("+", "%2B", "%2b"):
        path = f"/hr/default/web/web-1.0.0{plus}build.1.tgz"
        yield Request(f"chart with {plus}", request(path), (200,), _TGZ, CHART)
    yield Request("query string", request(f"{INDEX_PATH}?a=b&c=../%00"), (200,), _YAML, INDEX)
    yield Request("HTTP/1.0", request(INDEX_PATH, version="HTTP/1.0"), (200,), _YAML, INDEX)
    for path in (INDEX_PATH, CHART_PATH):
        headers = _YAML if path == INDEX_PATH else _TGZ
        yield Request(f"HEAD {path}", request(path, method="HEAD"), (200,), headers, b"")
    yield Request("HEAD nothing", request("/hr/nothing", method="HEAD"), (404,), _REFUSED, b"")

    zipped = {
        **_YAML,
        "content-encoding": "gzip",
        "vary": "Accept-Encoding",
        "etag": r'W/"[^"]+"',
        "content-length": None,
    }
    yield Request("gzip for YAML", request(INDEX_PATH, "Accept-Encoding: gzip", version="HTTP/1.1"), (200,), zipped)
    yield Request("no gzip for charts", request(CHART_PATH, "Accept-Encoding: gzip"), (200,), _TGZ, CHART)
    for path in ("/healthz", "/readyz"):
        yield Request(path, request(path), (200,), {"x-content-type-options": "nosniff", "cache-control": "no-cache"})
        yield Request(f"HEAD {path}", request(path, method="HEAD"), (200,), body=b"")


_TAG = f'"{1_700_000_000:x}-{len(CHART):x}"'  # as nginx computes it
_BEFORE, _AT, _AFTER = (f"Tue, 14 Nov 2023 22:13:{second} GMT" for second in (19, 20, 21))
_CONDITIONS: Mapping[int, tuple[tuple[str, ...], ...]] = {
    200: (
        *(('If-None-Match: "other"',), (f"If-None-Match: {_TAG[1:-1]}",), ("If-None-Match:",)),
        *((f"If-Modified-Since: {_BEFORE}",), (f"If-Modified-Since: {_AFTER}",), ("If-Modified-Since: yesterday",)),
        *((f"If-Match: {_TAG}",), (f'If-Match: "other", {_TAG}',), ("If-Match: *",)),
        *((f"If-Unmodified-Since: {_AT}",), (f"If-Unmodified-Since: {_AFTER}",)),
        (f"If-None-Match: {_TAG}", f"If-Modified-Since: {_BEFORE}"),
        ('If-None-Match: "other"', f"If-Modified-Since: {_AT}"),
        (f"If-Match: {_TAG}", 'If-None-Match: "other"'),
        (f"If-Match: {_TAG}", f"If-Unmodified-Since: {_AT}"),
    ),
    304: (
        *((f"If-None-Match: {tag}",) for tag in (_TAG, f"W/{_TAG}", "*", f'"other", {_TAG}', f'{_TAG}, "other"')),
        (f'If-None-Match: "a,b", {_TAG}',),
        *((f"If-Modified-Since: {date}",) for date in (_AT, "Tuesday, 14-Nov-23 22:13:20 GMT")),
        ("If-Modified-Since: Tue Nov 14 22:13:20 2023",),
        (f"If-None-Match: {_TAG}", f"If-Modified-Since: {_AT}"),
        (f"If-Match: {_TAG}", f"If-None-Match: {_TAG}"),
    ),
    412: (
        *(('If-Match: "other"',), (f"If-Match: W/{_TAG}",), (f"If-Match: {_TAG[1:-1]}",)),
        *((f"If-Unmodified-Since: {_BEFORE}",), ("If-Unmodified-Since: yesterday",)),
        ('If-Match: "other"', f"If-None-Match: {_TAG}"),
        (f"If-Match: {_TAG}", f"If-Unmodified-Since: {_BEFORE}"),
        ('If-Match: "other"', f"If-Unmodified-Since: {_AT}"),
    ),
}
_LAST = len(CHART) - 1
_RANGES: Mapping[tuple[int, int] | int, tuple[str, ...]] = {
    (0, 3): ("bytes=0-3", "bytes= 0 - 3 ", "Bytes=0-3", f"bytes=0-3,{_LAST + 1}-", f"bytes={_LAST + 1}-,0-3"),
    (4, _LAST): ("bytes=4-", "bytes=4-999999", f"bytes=-{len(CHART) - 4}"),
    (_LAST, _LAST): (f"bytes={_LAST}-", "bytes=-1"),
    (0, _LAST): ("bytes=0-", "bytes=-999999", "bytes=5-2,0-"),
    200: (
        *("lines=0-3", "bytes", "bytes=", "bytes =0-3", "bytes=0-1,4-5", "bytes=4-5,0-1", "bytes=0-1,4-5,x"),
        "bytes=" + ",".join("0-" for _ in range(200)),
    ),
    416: (
        *(f"bytes={_LAST + 1}-", "bytes=999999-", "bytes=999999-1000000", "bytes=5-2", "bytes=-0", "bytes=a-b"),
        *("bytes=0-1,", "bytes=,0-1", "bytes=0-3-5", "bytes=--4", "bytes=+1-3", "bytes=1_0-20", "bytes=\xb2-"),
        *(f"bytes={9 * 10**22}-", f"bytes=0-{9 * 10**22}", f"bytes=-{9 * 10**22}"),
    ),
}


def _conditional() -> Iterator[Request]:
    """Return requests with conditions and ranges.

    These are where RFC 9110 leaves a choice to the server, and where libraries differ from nginx.
    """
    for status, conditions in _CONDITIONS.items():
        for lines in conditions:
            etag = {"etag": _TAG, "content-range": None, **({"content-length": None} if status == 304 else {})}
            headers = {**_REFUSED, "etag": None} if status == 412 else etag
            body = {200: CHART, 304: b""}.get(status)
            yield Request(f"{status} {', '.join(lines)}", request(CHART_PATH, *lines), (status,), headers, body)
            # A condition is evaluated before the range.
            ranged = (206 if status == 200 else status,)
            yield Request(f"range {', '.join(lines)}", request(CHART_PATH, "Range: bytes=0-3", *lines), ranged)
    for expected, values in _RANGES.items():
        for value in values:
            name, sent = f"range {value[:40]}", request(CHART_PATH, f"Range: {value}")
            if isinstance(expected, tuple):
                first, last = expected
                length, part = last - first + 1, f"bytes {first}-{last}/{len(CHART)}"
                headers = {**_TGZ, "content-length": str(length), "content-range": part}
                yield Request(name, sent, (206,), headers, CHART[first : last + 1])
                yield Request(f"HEAD {name}", sent.replace(b"GET", b"HEAD", 1), (206,), headers, b"")
            elif expected == 200:
                yield Request(name, sent, (200,), _TGZ, CHART)
            else:
                yield Request(name, sent, (416,), {"content-range": rf"bytes \*/{len(CHART)}"})
    # Bytes of two versions must not be combined into one file.
    versions: dict[int, tuple[str, ...]] = {206: (_TAG, _AT, "Tuesday, 14-Nov-23 22:13:20 GMT")}
    versions[200] = (f"W/{_TAG}", '"other"', _TAG[1:-1], "*", _BEFORE, _AFTER, "yesterday", "")
    for status, validators in versions.items():
        for value in validators:
            sent = request(CHART_PATH, "Range: bytes=0-3", f"If-Range: {value}")
            yield Request(f"If-Range: {value}", sent, (status,), {}, CHART[:4] if status == 206 else CHART)
    empty = {"content-length": "0", "content-range": None}
    yield Request("range of nothing", request("/hr/default/web/empty-1.0.0.tgz", "Range: bytes=0-"), (200,), empty, b"")
    both = ("Accept-Encoding: gzip", "Range: bytes=0-3")
    yield Request("range of gzip", request(INDEX_PATH, *both), (200,), {"content-encoding": "gzip"})


_UP = (  # one directory up, as parsers have accepted it for twenty years
    *("..", "%2e%2e", "%2E%2e", ".%2e", "%2e.", "%252e%252e", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%f0%80%80%ae" * 2),
    *("%uff0e%uff0e", "..;", "..%00", "..%20", "%2e%2e%0d", "...", "..%3f", "\xc0\xae\xc0\xae"),
)
_SLASH = ("/", "%2f", "%2F", "%252f", "%5c", "\\", "%c0%af", "//", "/./", "%2f/")


def _refused() -> Iterator[Request]:
    missing = (404,)
    for path in (
        *("/", "/hr", "/hr/", "/hr/default", "/hr/default/", "/hr/default/web", "/hr/default/web/", "/index.html"),
        *("/hr/default/index.yaml", "/hr/default/web/missing-1.0.0.tgz", f"{INDEX_PATH}/", f"{INDEX_PATH}/x"),
        *("/hr/default/web/README.md", "/hr/default/web/folder.tgz", "/hr/default/web/folder.tgz/"),
        *("/hr/default/web/folder.tgz/secret.tgz", "/hr/nothing/web/index.yaml", "/HR/default/web/index.yaml"),
        *("/flux", "/flux/", "/flux/kustomization.yaml", "/flux/default/web.yaml", "/server/nginx.conf", "/healthz/"),
        *(
            "/.kcd-gen",
            "/.kcd-gen/",
            "/.kcd-gen/default/web.list",
            "/.kcd-gen/.staging/new/0/index.yaml",
            "/.git/config",
        ),
        *("/hr/.hidden/web/index.yaml", "/hr/default/web/.secret.tgz", "/hr/default/web/.index.yaml", "/nginx_status"),
        *("/hr/default/web/link.tgz", "/hr/default/web/absolute.tgz", "/hr/default/web/dangling.tgz"),
        *("/hr/default/web/loop.tgz", "/hr/default/web/inside.tgz", "/hr/default/linked/index.yaml"),
        *("/hr/linked/web/index.yaml", "/hr/again/web/index.yaml", "/healthz%00", "/%68r/default/web/index.yaml"),
        *("//hr/default/web/index.yaml", "/hr//default/web/index.yaml", "/hr/default//web//index.yaml"),
        *("/hr/default/web//index.yaml", "/hr/./default/web/index.yaml", "/hr/default/../default/web/index.yaml"),
        *("/x/../hr/default/web/index.yaml", "/hr/default/web/%2e/index.yaml", "/hr/default/web/web-1.0.0%2etgz"),
        *("/hr/default/web/index.yaml%00", "/hr/default/web/index.yaml%00.tgz", "/hr/default/web/index.yaml%20"),
        *(
            "/hr/default/web/index.yaml;x",
            "/hr/default/web/index.yaml::$DATA",
            "/hr/default/web/%",
            "/%zz",
            "/hr%2fdefault",
        ),
        *(f"/hr/{'a' * 300}/web/index.yaml", "/hr/default/web/" + "a" * 300 + ".tgz", "/hr/default/web/\xff.tgz"),
    ):
        yield Request(f"refused {path[:60]}", request(path), (*missing, 400), _REFUSED if "%" not in path else {})
    yield Request("raw NUL", request("/hr/default/web/index.yaml\0"), (400, 404))
    yield Request("NUL in a header", request(INDEX_PATH, "X-A: a\0b"), (400, 404))
    for up, slash in product(_UP, _SLASH):
        for path in (
            f"/hr/default/web/{(up + slash) * 4}outside/secret.tgz",
            f"/hr/default/web/{(up + slash) * 3}flux/default/web.yaml",
            f"/hr/default{slash}{up}{slash}default/web/index.yaml",
            f"/{(up + slash) * 9}etc/passwd",
        ):
            yield Request(f"refused {path}", request(path), (400, 404))
    for target in (
        f"http://charts.example.com{INDEX_PATH}",
        "http://other.example.com/",
        f"file://{INDEX_PATH}",
        "*",
        "",
    ):
        yield Request(f"target {target}", request(target), (400, 404))
    for method, path in product(
        ("PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "BREW"),
        (INDEX_PATH, CHART_PATH, "/", "/flux/kustomization.yaml", "/healthz", "/hr/new/web/index.yaml"),
    ):
        sent = request(path, "Content-Length: 5", method=method, body=b"hello")
        yield Request(f"{method} {path}", sent, (405,), _METHOD)
    yield Request("CONNECT", request("example.com:443", method="CONNECT"), (400, 405))
    yield Request("OPTIONS *", request("*", method="OPTIONS"), (400, 405))


def _protocol() -> Iterator[Request]:
    bad = (400, 404, 405, 408, 411, 413, 414, 431, 501, 505, 0)
    long = "a" * 16384
    yield Request("a header of 16 KB", request(INDEX_PATH, f"X-Long: {long}"), bad)
    yield Request("a header without end", b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 200_000, bad)
    yield Request("a target of 16 KB", request(f"/hr/{long}"), bad)
    yield Request("a query of 16 KB", request(f"{INDEX_PATH}?{long}"), bad)
    yield Request("64 KB of headers", request(INDEX_PATH, *(f"X-{n}: {'a' * 1000}" for n in range(64))), bad)
    yield Request("no Host", b"GET %s HTTP/1.1\r\nConnection: close\r\n\r\n" % INDEX_PATH.encode(), (400,))
    yield Request("two Hosts", request(INDEX_PATH, "Host: other.example.com"), (400,))
    yield Request("tabs instead of spaces", b"GET\t/\tHTTP/1.0\r\n\r\n", (400,))
    yield Request("HTTP/0.9", b"GET %s\r\n" % INDEX_PATH.encode(), (*bad, 9), body=None)
    yield Request("HTTP/2.0", request(INDEX_PATH, version="HTTP/2.0"), bad)
    yield Request("HTTP/9.9", request(INDEX_PATH, version="HTTP/9.9"), bad)
    yield Request("lowercase", request(INDEX_PATH, method="get"), bad)
    yield Request("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", bad)
    yield Request("GET with a body", request(INDEX_PATH, "Content-Length: 5", body=b"hello"), bad)

    # Each of them hides a second request from a parser that reads lengths differently than the first one. If the server
    # answers it, a proxy can be made to pass the answer to another client.
    hidden = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)
    length = f"Content-Length: {len(hidden)}"
    chunked = "Transfer-Encoding: chunked"
    for name, lines, body in (
        ("length and chunks", (length, chunked), b"0\r\n\r\n" + hidden),
        ("chunks and length", (chunked, "Content-Length: 4"), chunk),
        ("two lengths", (length, "Content-Length: 0"), hidden),
        ("a list of lengths", (f"{length}, 0",), hidden),
        ("a signed length", ("Content-Length: +4",), hidden),
        ("a negative length", ("Content-Length: -1",), hidden),
        ("a length in hex", ("Content-Length: 0x10",), hidden),
        ("an unknown coding", ("Transfer-Encoding: xchunked",), hidden),
        ("two codings", ("Transfer-Encoding: chunked, identity",), chunk),
        ("two coding headers", (chunked, "Transfer-Encoding: identity"), chunk),
        ("space before the colon", ("Transfer-Encoding : chunked",), chunk),
        ("a folded header", ("X-A: b\r\n Transfer-Encoding: chunked",), chunk),
        ("a tab in the name", ("Transfer-\tEncoding: chunked",), chunk),
        ("a broken chunk", (chunked,), b"zz\r\n" + hidden),
    ):
        head = [f"GET {INDEX_PATH} HTTP/1.1", "Host: charts.example.com", *lines]
        yield Request(f"smuggled: {name}", "\r\n".join(head).encode() + b"\r\n\r\n" + body, bad)


SERVED = tuple(_served())  # 2xx
CONDITIONAL = tuple(_conditional())  # because of a condition or a range
REFUSED = tuple(_refused())  # because of what is requested
PROTOCOL = tuple(_protocol())  # because of how it is requested
REQUESTS = (*SERVED, *CONDITIONAL, *REFUSED, *PROTOCOL)
