"""What a registry answers instead of a manifest: HEAD requests that fail or lie, and the reasons of refusals."""

from __future__ import annotations

import base64
import json

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.descriptors import MANIFEST_TYPE, Descriptor, sha256
from tests.faults.conftest import PLAIN, Client, NewClient, named
from tests.support.fault_server import FaultServer, Handler, Reply, Request, endless, hang_up, raw, reply, silent

MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE}).encode()
AT_TAG, HEAD_TAG = "GET /v2/p/manifests/1.0.0", "HEAD /v2/p/manifests/1.0.0"
OF_MANIFEST = {"Content-Type": MANIFEST_TYPE, "Docker-Content-Digest": sha256(MANIFEST)}
FOUND = Descriptor(MANIFEST_TYPE, sha256(MANIFEST), len(MANIFEST))


def errors(code: str, message: object) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def failure(client: Client, server: FaultServer, code: str = "registry-denied") -> str:
    """Return message and hint of the failure to resolve the tag, with the server's name as HOST."""
    with pytest.raises(ProblemsError) as caught:
        client.registry.resolve(named(server), PLAIN)
    problem = caught.value.problem
    assert (problem.code, problem.exit_code) == (code, 4)
    text = f"{problem.message} -- {problem.hint}"
    assert text.isprintable()
    return text.replace(server.host, "HOST")


def ours(server: FaultServer, secret: str = "hunter2") -> dict[str, str]:
    host = server.host.replace(".", "_").replace(":", "_")
    return {f"KCD_OCI_{host}_USER": "alice", f"KCD_OCI_{host}_SECRET": secret}


def sent_length(handler: Handler, length: str) -> None:
    handler.send_response(200)
    for name, value in {**OF_MANIFEST, "Content-Length": length}.items():
        handler.send_header(name, value)
    handler.end_headers()


def length_of_zero(handler: Handler, _request: Request) -> None:
    sent_length(handler, "0")


HEADS: dict[str, Reply] = {
    "zero length": length_of_zero,
    "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"),
    "a web page": reply(200, b"<html>", {"Content-Type": "text/html"}),
    "401 without a challenge": reply(401),
    "401 with a challenge without a realm": reply(401, fields={"WWW-Authenticate": 'Bearer service="s"'}),
    "401 with an unknown challenge": reply(401, fields={"WWW-Authenticate": "Negotiate"}),
    **{str(status): reply(status) for status in (204, 300, 400, 403, 404, 405, 406, 410, 415, 500, 501, 503, 505)},
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_fails_is_followed_by_one_get(name: str, server: FaultServer, client: NewClient) -> None:
    server.script(HEAD_TAG, HEADS[name])
    server.script(AT_TAG, reply(200, MANIFEST, OF_MANIFEST))
    one = client()
    assert one.registry.resolve(named(server), PLAIN) == FOUND
    assert (server.paths(), one.time.slept) == ([HEAD_TAG, AT_TAG], [])


def test_a_head_that_fails_after_a_redirect_is_followed_by_a_get(
    server: FaultServer, other: FaultServer, client: NewClient
) -> None:
    """Storage with signed URLs refuses the other method."""
    for request in (HEAD_TAG, AT_TAG):
        server.script(request, reply(307, fields={"Location": f"{other.url}/stored?sig=1"}))
    other.script("HEAD /stored", reply(403))
    other.script("GET /stored", reply(200, MANIFEST, OF_MANIFEST))
    assert client().registry.resolve(named(server), PLAIN) == FOUND


@pytest.mark.parametrize("status", [429, 503])
def test_the_get_after_a_head_waits_as_long_as_the_registry_requests(
    status: int, server: FaultServer, client: NewClient
) -> None:
    server.script(HEAD_TAG, reply(status, fields={"Retry-After": "3"}))
    server.script(AT_TAG, reply(200, MANIFEST, OF_MANIFEST))
    one = client()
    assert one.registry.resolve(named(server), PLAIN) == FOUND
    assert (server.paths(), one.time.slept) == ([HEAD_TAG, AT_TAG], [3])


def test_a_head_that_gets_no_response_is_followed_by_a_get(server: FaultServer, client: NewClient) -> None:
    server.script(HEAD_TAG, hang_up)
    server.script(AT_TAG, reply(503), reply(200, MANIFEST, OF_MANIFEST))
    one = client()
    assert one.registry.resolve(named(server), PLAIN) == FOUND
    assert server.paths() == [HEAD_TAG, AT_TAG, AT_TAG]


def test_a_login_that_is_refused_is_not_repeated(server: FaultServer, client: NewClient) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
    for request in (HEAD_TAG, AT_TAG):
        server.script(request, reply(401, fields=challenge))
    server.script("GET /token", reply(200, b'{"token": "abc"}'))
    assert "denied access to p:1.0.0 (401)" in failure(client(environment=ours(server)), server)
    assert [path.partition("?")[0] for path in server.paths()].count("GET /token") == 1


IP = "client with IP '203.0.113.9' is not allowed access. Refer https://example.com/firewall to grant access."
REFUSALS = [
    (403, errors("DENIED", IP), "registry-denied", "is not allowed access", "a rule of the registry"),
    (403, errors("DENIED", "blocked by policy 'critical'"), "registry-denied", "blocked by policy", "a rule of the"),
    (403, errors("DENIED", "the user can't pull"), "registry-denied", "'the user can't pull'", "another login"),
    (403, errors("TOOMANYREQUESTS", "slow down"), "registry-denied", "'slow down'", "run again later"),
    (403, errors("DENIED", "pull rate limit reached"), "registry-denied", "rate limit", "run again later"),
    (403, errors("DENIED", "requested access to the resource is denied"), "registry-denied", "is private", "log in"),
    (403, errors("DENIED", "Access denied."), "registry-denied", "is private", "log in"),
    (403, b"<html>", "registry-denied", "is private or does not exist", "log in"),
    (401, errors("UNAUTHORIZED", "email must be verified"), "registry-denied", "'email must be verified'", "log in"),
    (401, errors("UNAUTHORIZED", "authentication required"), "registry-denied", "is private", "docker login"),
    (404, errors("NAME_UNKNOWN", "no repository 'p'"), "missing-package", "the repository p (404)", "the name of the"),
    (404, errors("NAME_UNKNOWN", "no repository 'p'"), "missing-package", "reports 'no repository 'p''", "log in"),
    (404, errors("MANIFEST_UNKNOWN", "manifest unknown"), "missing-package", "p:1.0.0 (404) --", "check the tag"),
    (404, b"", "missing-package", "HOST does not have p:1.0.0 (404) --", "check repository and tag"),
    (400, errors("UNSUPPORTED", "no such type"), "registry-failed", "400 (Bad Request)", "'no such type'"),
    (400, b'{"errors": [{"status": 400, "message": "bad"}]}', "registry-failed", "'bad'", "what the registry reports"),
    (400, b'{"message": "bad", "errors": []}', "registry-failed", "'bad'", "what the registry reports"),
    (400, b'{"detail": "a\\n b"}', "registry-failed", "'a b'", "what the registry reports"),
    (400, b'{"errors": [{"code": "X", "detail": "d"}, {"message": "e"}, 5]}', "registry-failed", "'d; e'", ""),
    (400, b'{"errors": {"message": "x"}}', "registry-failed", "(Bad Request) for p:1.0.0 --", "check the URL"),
    (400, errors("X", 5), "registry-failed", "(Bad Request) for p:1.0.0 --", "check the URL"),
    (400, b"[" * 50_000, "registry-failed", "(Bad Request) for p:1.0.0 --", "check the URL"),
    (400, b'{"errors": ' + b"9" * 5000 + b"}", "registry-failed", "(Bad Request) for p:1.0.0 --", "check the URL"),
    (400, errors("X", "\x1b[2J\u202e"), "registry-failed", r"'\x1b[2J\u202e'", "what the registry reports"),
    (501, errors("X", "not here"), "registry-failed", "501 (Not Implemented) for p:1.0.0: 'not here'", "reports"),
    (429, errors("TOOMANYREQUESTS", "pull limit"), "registry-failed", "'pull limit', after 5 attempts", "run again"),
    (503, errors("UNAVAILABLE", "read-only"), "registry-failed", "'read-only', after 5 attempts", "operator"),
]


@pytest.mark.parametrize(("status", "body", "code", "text", "advice"), REFUSALS)
def test_the_reason_of_the_registry_is_shown_with_advice(
    status: int, body: bytes, code: str, text: str, advice: str, server: FaultServer, client: NewClient
) -> None:
    server.script(HEAD_TAG, reply(status))
    server.script(AT_TAG, reply(status, body, {"WWW-Authenticate": "Basic realm=x"}))
    shown = failure(client(), server, code)
    assert text in shown
    assert advice in shown


def test_a_reason_is_limited_in_length(server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, reply(403, errors("DENIED", "x" * 50_000)))
    assert 500 < failure(client(), server).count("x") < 520


@pytest.mark.parametrize("how", ["message", "base64"])
def test_a_reason_does_not_repeat_a_secret(how: str, server: FaultServer, client: NewClient) -> None:
    encoded = base64.b64encode(b"alice:hunter2").decode()
    echo = {"message": "hunter2 is wrong", "base64": f"bad header: Basic {encoded}"}[how]
    challenge = {"WWW-Authenticate": "Basic realm=x"}
    for request in (HEAD_TAG, AT_TAG):
        server.script(request, reply(401, errors("DENIED", echo), challenge))
    shown = failure(client(environment=ours(server)), server)
    assert "…" in shown
    assert "hunter2" not in shown
    assert encoded not in shown


def test_a_reason_does_not_repeat_a_token(server: FaultServer, client: NewClient) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
    server.script(AT_TAG, reply(401, fields=challenge), reply(403, errors("DENIED", "bad token s3cret-token")))
    server.script("GET /token", reply(200, b'{"token": "s3cret-token"}'))
    assert "the registry reports 'bad token …'" in failure(client(), server)


def test_the_reason_of_the_token_service_is_shown(server: FaultServer, client: NewClient) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
    for request in (HEAD_TAG, AT_TAG):
        server.script(request, reply(401, errors("UNAUTHORIZED", "authentication required"), challenge))
    server.script("GET /token", reply(401, b'{"details": "the password of hunter2 has expired"}'))
    assert "the registry reports 'the password of … has expired'" in failure(client(environment=ours(server)), server)
    server.script("GET /token", reply(400, errors("X", "no such service")))
    assert "returned 400: 'no such service'" in failure(client(), server, "registry-failed")


@pytest.mark.parametrize(
    "answer",
    [
        raw(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\n{"),
        endless(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"x" * 65536),
    ],
    ids=["cut", "endless"],
)
def test_the_body_of_a_temporary_error_does_not_matter(answer: Reply, server: FaultServer, client: NewClient) -> None:
    server.script(AT_TAG, answer, reply(200, MANIFEST, OF_MANIFEST))
    one = client()
    assert one.registry.resolve(named(server), PLAIN) == FOUND
    assert one.progress == [f"{server.host} returned 503 (Service Unavailable); retrying in 1.0 s (attempt 2)"]


def test_a_temporary_error_without_its_body_is_retried(
    server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubocd_gen.network.transport._REASON_WAIT", 0.1)

    def without_body(handler: Handler, request: Request) -> None:
        handler.wfile.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\n")
        silent(handler, request)

    server.script(AT_TAG, without_body, reply(200, MANIFEST, OF_MANIFEST))
    one = client()
    assert one.registry.resolve(named(server), PLAIN) == FOUND
    assert "returned 503" in one.progress[0]
