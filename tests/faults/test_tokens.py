"""The token dialogue with well-behaved and misbehaving servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.network.exchange import Answer
from kubocd_gen.network.settings import Network
from kubocd_gen.oci.auth_files import Credentials
from kubocd_gen.oci.descriptors import MANIFEST_TYPE
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.reference import Reference
from tests.faults.conftest import PLAIN, Client, NewClient, named
from tests.support.fault_server import FaultServer, Handler, Reply, Request, endless, reply
from tests.support.registry import CertificateAuthority

MANIFEST = reply(200, b"{}", {"Content-Type": MANIFEST_TYPE})
PASSWORD = "hunter2:and-more"


def guarded(*tokens: str, challenge: str) -> Reply:
    """Serve a resource to clients with one of the tokens, or with one of the Authorization values."""

    def give(handler: Handler, request: Request) -> None:
        good = {*tokens, *(f"Bearer {token}" for token in tokens)}
        if request.headers.get("authorization") in good:
            MANIFEST(handler, request)
        else:
            reply(401, fields={"WWW-Authenticate": challenge})(handler, request)

    return give


def tokens(*answers: object) -> list[Reply]:
    return [reply(200, json.dumps(answer).encode()) for answer in answers]


def ours(server: FaultServer) -> dict[str, str]:
    host = server.host.replace(".", "_").replace(":", "_")
    return {f"KCD_OCI_{host}_USER": "alice", f"KCD_OCI_{host}_SECRET": PASSWORD}


def read(client: Client, server: FaultServer, tag: str = "1.0.0", access: Access = PLAIN) -> None:
    client.registry.read_manifest(named(server, tag), None, access)


def failure(client: Client, server: FaultServer, code: str, access: Access = PLAIN) -> str:
    with pytest.raises(ProblemsError) as caught:
        read(client, server, access=access)
    error = caught.value
    assert (error.problem.code, error.problem.exit_code) == (code, 1 if code == "package-limit" else 4)
    text = f"{error.problem.message} -- {error.problem.hint or ''}"
    assert text.isprintable()
    assert "hunter2" not in f"{text}{error!r}"
    return text.replace(server.host, "HOST")


CHALLENGES = [
    'Bearer realm="{0}/token",service="s",scope="repository:p:pull"',
    'bearer REALM="{0}/token", Service = "s" , scope="repository:p:pull", error="x, y=z"',
    "Bearer realm={0}/token,service=s,scope=repository:p:pull",
    'Bearer realm="{0}/token",service="s"',
    'Basic realm="all of us", Bearer realm="{0}/token",service="s"',
    'Bearer realm="{0}/token",service="s", Basic realm="all, of us"',
    'Negotiate, NTLM abcd==, Bearer realm="{0}/tok\\en",service="s"',
    ',, ,Bearer realm="{0}/token" , service="s",,',
]


@pytest.mark.parametrize("challenge", CHALLENGES)
@pytest.mark.parametrize("name", ["token", "access_token"])
def test_the_dialogue(challenge: str, name: str, server: FaultServer, client: NewClient) -> None:
    server.script("GET /v2/p/manifests/1.0.0", guarded("abc", challenge=challenge.replace("{0}", server.url)))
    server.script("GET /token", *tokens({name: "abc"}))
    one = client(environment=ours(server))
    read(one, server)
    asked = server.asked[1]
    assert parse_qs(urlsplit(asked.path).query) == {"service": ["s"], "scope": ["repository:p:pull"]}
    assert base64.b64decode(asked.headers["authorization"][6:]).decode() == f"alice:{PASSWORD}"
    read(one, server)  # with the existing token
    assert len(server.asked) == 4


def test_without_credentials_an_anonymous_token_is_asked_for(server: FaultServer, client: NewClient) -> None:
    server.script("GET /v2/p/manifests/1.0.0", guarded("abc", challenge=f'Bearer realm="{server.url}/token?a=b"'))
    server.script("GET /token", *tokens({"token": "abc", "expires_in": 300}))
    read(client(), server)
    assert "authorization" not in server.asked[1].headers
    assert parse_qs(urlsplit(server.asked[1].path).query) == {"a": ["b"], "scope": ["repository:p:pull"]}


def test_an_expired_token_is_renewed_once(server: FaultServer, client: NewClient) -> None:
    challenge = f'Bearer realm="{server.url}/token"'
    server.script("GET /v2/p/manifests/1.0.0", guarded("one", "two", challenge=challenge))
    server.script("GET /token", *tokens({"token": "one"}, {"token": "two"}, {"token": "three"}))
    one = client()
    read(one, server)
    server.script("GET /v2/p/manifests/1.0.0", guarded("two", challenge=challenge))
    read(one, server)
    server.script("GET /v2/p/manifests/1.0.0", guarded("none", challenge=challenge))
    assert "HOST denied access to p:1.0.0 (401): the image is private or does not exist" in failure(
        one, server, "registry-denied"
    )
    assert [asked.partition("?")[0] for asked in server.paths()].count("GET /token") == 3


@pytest.mark.parametrize(
    ("lifetime", "asked"),
    [(None, 2), (300, 1), (1, 2), (0, 2), (-5, 2), (True, 2), ("300", 2), (10**400, 1), ([], 2)],
)
def test_a_token_expires_after_its_lifetime(
    lifetime: object, asked: int, server: FaultServer, client: NewClient
) -> None:
    server.script("GET /v2/p/manifests/1.0.0", guarded("abc", challenge=f'Bearer realm="{server.url}/token"'))
    server.script("GET /token", *tokens({"token": "abc", "expires_in": lifetime}))
    one = client()
    one.registry._tokens._clock = one.time.clock
    read(one, server)
    one.time.sleep(70)
    read(one, server)
    assert [path.partition("?")[0] for path in server.paths()].count("GET /token") == asked


def test_tokens_are_kept_apart_by_scope(server: FaultServer, client: NewClient) -> None:
    challenge = f'Bearer realm="{server.url}/token"'
    server.script("GET /v2/p/manifests/1.0.0", guarded("a", challenge=challenge))
    server.script("GET /v2/q/manifests/1.0.0", guarded("b", challenge=challenge))
    server.script("GET /token", *tokens({"token": "a"}, {"token": "b"}))
    one = client()
    read(one, server)
    one.registry.read_manifest(Reference(server.host, "q", "1.0.0"), None, PLAIN)
    assert [path.rpartition("scope=")[2] for path in server.paths() if "/token" in path] == [
        "repository%3Ap%3Apull",
        "repository%3Aq%3Apull",
    ]


def test_several_threads_ask_for_one_token(server: FaultServer, client: NewClient) -> None:
    server.script("GET *", guarded("abc", challenge=f'Bearer realm="{server.url}/token"'))
    server.script("GET /token", *tokens({"token": "abc"}))
    one = client()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: read(one, server, f"1.0.{number}"), range(16)))
    assert len([path for path in server.paths() if "/token" in path]) == 1


def test_pushes_ask_for_both_scopes(server: FaultServer, client: NewClient) -> None:
    challenge = f'Bearer realm="{server.url}/token",scope="repository:p:pull"'
    server.script("HEAD /v2/p/manifests/1.0.0", reply(401, fields={"WWW-Authenticate": challenge}), reply(404))
    server.script("GET /token", *tokens({"token": "abc"}))
    assert client().registry.has_manifest(named(server), PLAIN) is None
    assert "scope=repository%3Ap%3Apull%2Cpush" in server.asked[1].path


BAD_TOKENS: list[tuple[str, Reply, str, str]] = [
    ("no token", reply(200, b"{}"), "registry-failed", "returned no token"),
    ("null", reply(200, b'{"token": null}'), "registry-failed", "returned no token"),
    ("a list", reply(200, b"[]"), "registry-failed", "not valid JSON"),
    ("a web page", reply(200, b"<html>"), "registry-failed", "not valid JSON"),
    ("no text", reply(200, b"\xff\xfe"), "registry-failed", "not valid JSON"),
    ("deep", reply(200, b"[" * 100_000), "registry-failed", "not valid JSON"),
    (
        "a line break",
        reply(200, b'{"token": "hunter2\\r\\nX: y"}'),
        "registry-failed",
        "characters that are not allowed",
    ),
    ("letters", reply(200, '{"token": "hunter2é"}'.encode()), "registry-failed", "characters that are not allowed"),
    ("empty", reply(200, b'{"token": ""}'), "registry-failed", "returned no token"),
    ("packed", reply(200, b"x", {"Content-Encoding": "gzip"}), "registry-failed", "compressed"),
    ("too long", reply(200, b" " * (4 << 20) + b"{}"), "package-limit", "--limit token=8MiB"),
    ("endless", endless(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536), "package-limit", "--limit token=8MiB"),
    ("not found", reply(404), "registry-failed", "returned 404"),
    ("bad request", reply(400, b'{"token": "hunter2"}'), "registry-failed", "returned 400"),
    ("down", reply(503), "registry-failed", "HOST returned 503"),
    ("denied", reply(401), "registry-denied", "are wrong, or don't have permission to read it"),
    ("forbidden", reply(403), "registry-denied", "are wrong, or don't have permission to read it"),
    ("moved", reply(307, fields={"Location": "file:///etc/passwd"}), "registry-failed", "not a valid HTTP URL"),
]


@pytest.mark.parametrize(("bad", "code", "text"), [one[1:] for one in BAD_TOKENS], ids=[one[0] for one in BAD_TOKENS])
def test_an_invalid_token_response_is_an_error(
    bad: Reply, code: str, text: str, server: FaultServer, client: NewClient
) -> None:
    server.script("GET /v2/p/manifests/1.0.0", guarded("abc", challenge=f'Bearer realm="{server.url}/token"'))
    server.script("GET /token", bad)
    assert text in failure(client(environment=ours(server)), server, code)


BAD_CHALLENGES = [
    ("", "registry-denied", "without a WWW-Authenticate header"),
    (", ,", "registry-denied", "without a WWW-Authenticate header"),
    ("Negotiate", "registry-denied", "HOST denied access to p:1.0.0"),
    ("Bearer", "registry-failed", "has no realm"),
    ('Bearer service="s"', "registry-failed", "has no realm"),
    ('Bearer realm="unclosed', "registry-failed", "has no realm"),
    ('Bearer realm="file:///etc/passwd"', "registry-failed", "neither HTTPS nor the registry"),
    ('Bearer realm="http://thief.example/token"', "registry-failed", "neither HTTPS nor the registry"),
    ('Bearer realm="/token"', "registry-failed", "neither HTTPS nor the registry"),
    ('Bearer realm="https://"', "registry-failed", "neither HTTPS nor the registry"),
    ('Bearer realm="https://[::1/"', "registry-failed", "neither HTTPS nor the registry"),
    ('Bearer realm="https://a:b@c.example/"', "registry-failed", "neither HTTPS nor the registry"),
    ('Bearer realm="https://c.example/\\"x"', "registry-failed", "neither HTTPS nor the registry"),
    ('Bearer realm="http://x/\x1b[2J"', "registry-failed", r"\x1b[2J"),
    ("Bearer " + "a=b," * 10_000, "registry-failed", "has no realm"),
    ("=" * 60_000, "registry-denied", "without a WWW-Authenticate header"),
    ('"' * 60_000, "registry-denied", "without a WWW-Authenticate header"),
    ('Bearer realm="' + "\\" * 60_000, "registry-failed", ""),
]


@pytest.mark.parametrize(("challenge", "code", "text"), BAD_CHALLENGES)
def test_an_invalid_challenge_is_an_error(
    challenge: str, code: str, text: str, server: FaultServer, client: NewClient
) -> None:
    server.script("GET /v2/p/manifests/1.0.0", reply(401, fields={"WWW-Authenticate": challenge}))
    assert text in failure(client(environment=ours(server)), server, code)
    assert len(server.asked) == 1


def test_a_service_cannot_smuggle_in_a_realm(server: FaultServer, other: FaultServer, client: NewClient) -> None:
    challenge = f'Bearer realm="{server.url}/token",service="s\\",realm=\\"{other.url}/token"'
    server.script("GET /v2/p/manifests/1.0.0", guarded("abc", challenge=challenge))
    server.script("GET /token", *tokens({"token": "abc"}))
    read(client(environment=ours(server)), server)
    assert other.asked == []


def test_credentials_do_not_follow_a_token_service_elsewhere(
    server: FaultServer, other: FaultServer, client: NewClient
) -> None:
    server.script("GET /v2/p/manifests/1.0.0", guarded("abc", challenge=f'Bearer realm="{server.url}/token"'))
    server.script("GET /token", reply(302, fields={"Location": f"{other.url}/token"}))
    other.script("GET /token", *tokens({"token": "abc"}))
    read(client(environment=ours(server)), server)
    assert "authorization" not in other.asked[0].headers


def test_a_realm_over_https_may_be_another_host(
    server: FaultServer, tls_server: FaultServer, client: NewClient, authority: CertificateAuthority
) -> None:
    server.script("GET /v2/p/manifests/1.0.0", guarded("abc", challenge=f'Bearer realm="{tls_server.url}/token"'))
    tls_server.script("GET /token", *tokens({"token": "abc"}))
    read(client(environment=ours(server), network=Network(ca_file=authority.certificate)), server)


def test_a_registry_over_https_cannot_redirect_tokens_to_plain_http(
    tls_server: FaultServer, client: NewClient, authority: CertificateAuthority
) -> None:
    tls_server.script(
        "GET /v2/p/manifests/1.0.0", guarded("abc", challenge=f'Bearer realm="http://{tls_server.host}/token"')
    )
    one = client(environment=ours(tls_server), network=Network(ca_file=authority.certificate))
    assert "neither HTTPS nor the registry" in failure(one, tls_server, "registry-failed", Access())


@pytest.mark.parametrize(
    "entry",
    [{"identitytoken": "refresh"}, {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": "refresh"}],
)
def test_identity_tokens_are_exchanged(
    entry: Mapping[str, str], server: FaultServer, client: NewClient, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: entry}}))
    server.script(
        "GET /v2/p/manifests/1.0.0", guarded("abc", challenge=f'Bearer realm="{server.url}/token",service="s"')
    )
    server.script("POST /token", *tokens({"access_token": "abc"}))
    read(client(environment={"DOCKER_CONFIG": str(tmp_path)}), server)
    form = parse_qs(server.asked[1].body.decode())
    assert form == {
        "grant_type": ["refresh_token"],
        "client_id": ["kcd-gen"],
        "service": ["s"],
        "scope": ["repository:p:pull"],
        "refresh_token": ["refresh"],
    }


def test_an_exchange_is_not_redirected(
    server: FaultServer, other: FaultServer, client: NewClient, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: {"identitytoken": "hunter2"}}}))
    server.script("GET /v2/p/manifests/1.0.0", guarded("abc", challenge=f'Bearer realm="{server.url}/token"'))
    server.script("POST /token", reply(307, fields={"Location": f"{other.url}/token"}))
    text = failure(client(environment={"DOCKER_CONFIG": str(tmp_path)}), server, "registry-failed")
    assert "redirected a POST" in text
    assert other.asked == []


def test_a_registry_token_is_used_as_it_is(server: FaultServer, client: NewClient, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: {"registrytoken": "abc"}}}))
    server.script("GET /v2/p/manifests/1.0.0", guarded("abc", challenge='Bearer realm="https://never.example/"'))
    read(client(environment={"DOCKER_CONFIG": str(tmp_path)}), server)


def test_basic_authentication(server: FaultServer, client: NewClient) -> None:
    field = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    server.script("GET *", guarded(field, challenge="Basic realm=all"))
    one = client(environment=ours(server))
    read(one, server)
    read(one, server)
    assert len(server.asked) == 3


def test_a_password_is_sent_to_all_repositories_of_a_host_after_a_challenge(
    server: FaultServer, client: NewClient
) -> None:
    field = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    server.script("HEAD *", guarded(field, challenge="Basic realm=all"))
    server.script("GET *", guarded(field, challenge="Basic realm=all"))
    one = client(environment=ours(server))
    for repository in ("p", "q", "r"):
        one.registry.resolve(Reference(server.host, repository, "1.0.0"), PLAIN)
    assert len([asked for asked in server.asked if "authorization" not in asked.headers]) == 1


def test_no_repr_contains_a_secret() -> None:
    shown = repr(Credentials("x", "alice", "hunter2", "hunter2", "hunter2"))
    shown += repr(Answer(200, {}, b"hunter2", "https://x/?sig=hunter2"))
    assert "hunter2" not in shown
