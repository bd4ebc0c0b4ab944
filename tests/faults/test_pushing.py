"""Uploads to registries that fail."""

from __future__ import annotations

import base64
import socket
import threading
import time

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.descriptors import MANIFEST_TYPE, sha256
from kubocd_gen.oci.endpoints import Access
from tests.faults.conftest import PLAIN, Client, NewClient, named
from tests.support.fault_server import FaultServer, Reply, hang_up, reply

DATA = b"content" * 1000
DIGEST = sha256(DATA)
BEGIN = "POST /v2/p/blobs/uploads/"


def upload_started(location: str) -> Reply:
    return reply(202, fields={"Location": location})


def failure(client: Client, server: FaultServer, code: str = "registry-failed") -> str:
    with pytest.raises(ProblemsError) as caught:
        client.registry.push_blob(named(server), DATA, PLAIN)
    assert caught.value.problem.code == code
    return f"{caught.value.problem.message} -- {caught.value.problem.hint}".replace(server.host, "HOST").replace(
        DIGEST, "DIGEST"
    )


@pytest.mark.parametrize(
    ("location", "put"),
    [
        ("/upload/1", "/upload/1?digest="),
        ("/upload/1?state=x%2Fy", "/upload/1?state=x%2Fy&digest="),
        ("session", "/v2/p/blobs/uploads/session?digest="),
        ("{0}/upload/1?a=b", "/upload/1?a=b&digest="),
    ],
)
def test_an_upload_location_is_resolved_against_the_request(
    location: str, put: str, server: FaultServer, client: NewClient
) -> None:
    server.script(BEGIN, upload_started(location.replace("{0}", server.url)))
    server.script("PUT *", reply(201))
    pushed = client().registry.push_blob(named(server), DATA, PLAIN)
    assert (pushed.digest, pushed.size) == (DIGEST, len(DATA))
    assert server.asked[-1].path == put + DIGEST
    assert server.asked[-1].body == DATA


def test_an_existing_blob_is_not_uploaded(server: FaultServer, client: NewClient) -> None:
    server.script(f"HEAD /v2/p/blobs/{DIGEST}", reply(200))
    client().registry.push_blob(named(server), DATA, PLAIN)
    assert len(server.asked) == 1


@pytest.mark.parametrize("fault", [reply(500), reply(429), hang_up])
@pytest.mark.parametrize("step", [BEGIN, "PUT *"])
def test_an_upload_is_retried_as_a_whole(step: str, fault: Reply, server: FaultServer, client: NewClient) -> None:
    server.script(BEGIN, upload_started("/upload/1"), upload_started("/upload/2"))
    server.script("PUT *", reply(201))
    good = server._scripts[step]
    server.script(step, fault, *good)
    one = client()
    one.registry.push_blob(named(server), DATA, PLAIN)
    assert one.time.slept == [1]
    puts = [asked.path.partition("?")[0] for asked in server.asked if asked.method == "PUT"]
    assert puts == (["/upload/1"] if step == BEGIN else ["/upload/1", "/upload/2"])


def test_credentials_are_not_sent_to_an_upload_location_elsewhere(
    server: FaultServer, other: FaultServer, client: NewClient
) -> None:
    host = server.host.replace(".", "_").replace(":", "_")
    ours = {f"KCD_OCI_{host}_USER": "alice", f"KCD_OCI_{host}_SECRET": "hunter2"}
    field = "Basic " + base64.b64encode(b"alice:hunter2").decode()
    server.script(f"HEAD /v2/p/blobs/{DIGEST}", reply(401, fields={"WWW-Authenticate": 'Basic realm="x"'}), reply(404))
    server.script(BEGIN, upload_started(f"{other.url}/store?sig=1"))
    other.script("PUT *", reply(201))
    client(environment=ours).registry.push_blob(named(server), DATA, PLAIN)
    assert [one.headers.get("authorization") for one in server.asked] == [None, field, field]
    assert "authorization" not in other.asked[0].headers


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (401, "registry-denied", "HOST denied the push of blob DIGEST of p (401): a push requires a login"),
        (403, "registry-denied", "HOST denied the push of blob DIGEST of p (403)"),
        (404, "missing-repository", "HOST does not have the repository p (404)"),
        (413, "registry-failed", "HOST returned 413"),
        (200, "registry-failed", "HOST returned 200 (OK) for blob DIGEST of p"),
        (301, "registry-failed", "HOST redirected a POST"),
        (302, "registry-failed", "HOST redirected a POST"),
        (303, "registry-failed", "HOST redirected a POST"),
    ],
)
def test_an_unexpected_status_of_an_upload_is_an_error(
    status: int, code: str, text: str, server: FaultServer, client: NewClient
) -> None:
    fields = {"WWW-Authenticate": 'Basic realm="x"'} | ({"Location": "/there"} if status in (301, 302, 303) else {})
    server.script(BEGIN, reply(status, fields=fields))
    assert failure(client(), server, code).startswith(text)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "", "http://[::1/"])
def test_an_invalid_upload_location_is_an_error(location: str, server: FaultServer, client: NewClient) -> None:
    server.script(BEGIN, upload_started(location))
    failure(client(), server)


def test_a_manifest_stored_with_another_digest_is_an_error(server: FaultServer, client: NewClient) -> None:
    server.script("PUT /v2/p/manifests/1.0.0", reply(201, fields={"Docker-Content-Digest": "sha256:" + "0" * 64}))
    with pytest.raises(ProblemsError) as caught:
        client().registry.push_manifest(named(server), b"{}", MANIFEST_TYPE, PLAIN)
    assert caught.value.problem.code == "corrupt-blob"


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirected_upload_is_followed_on_the_same_origin(
    status: int, server: FaultServer, client: NewClient
) -> None:
    for method, path in (("POST", "/v2/p/blobs/uploads/"), ("PUT", "/up"), ("PUT", "/v2/p/manifests/1.0.0")):
        server.script(f"{method} {path}", reply(status, fields={"Location": f"/moved{path}"}))
    server.script("POST /moved/v2/p/blobs/uploads/", upload_started("/up"))
    server.script("PUT /moved/up", reply(201))
    server.script("PUT /moved/v2/p/manifests/1.0.0", reply(201))
    one = client().registry
    one.push_blob(named(server), DATA, PLAIN)
    assert [asked.body for asked in server.asked if asked.path.startswith("/moved/up")] == [DATA]
    one.push_manifest(named(server), b"{}", MANIFEST_TYPE, PLAIN)
    assert server.asked[-1].body == b"{}"
    assert server.asked[-1].headers["content-type"] == MANIFEST_TYPE


@pytest.mark.parametrize("status", [307, 308])
def test_an_upload_is_not_redirected_to_another_origin(
    status: int, server: FaultServer, other: FaultServer, client: NewClient
) -> None:
    server.script(BEGIN, reply(status, fields={"Location": f"{other.url}/v2/p/blobs/uploads/"}))
    assert "HOST redirected a POST" in failure(client(), server)
    server.script("PUT /v2/p/manifests/1.0.0", reply(status, fields={"Location": f"{other.url}/m"}))
    with pytest.raises(ProblemsError, match="redirected a PUT"):
        client().registry.push_manifest(named(server), b"{}", MANIFEST_TYPE, PLAIN)
    assert other.asked == []


@pytest.mark.parametrize("begun", [200, 201, 202, 204])
@pytest.mark.parametrize("done", [200, 201, 202, 204])
def test_every_successful_status_of_an_upload_is_accepted(
    begun: int, done: int, server: FaultServer, client: NewClient
) -> None:
    server.script(BEGIN, reply(begun, fields={"Location": "/upload/1#part"}))
    server.script("PUT /upload/1", reply(done, fields={"Docker-Content-Digest": DIGEST}))
    assert client().registry.push_blob(named(server), DATA, PLAIN).digest == DIGEST
    assert server.paths()[-1] == f"PUT /upload/1?digest={DIGEST}"


@pytest.mark.parametrize("there", [True, False])
def test_an_unusual_status_without_a_digest_is_verified(there: bool, server: FaultServer, client: NewClient) -> None:
    """Such as that of a login page."""
    server.script(BEGIN, upload_started("/upload/1"))
    server.script("PUT *", reply(200, b"<html>", {"Content-Type": "text/html"}))
    server.script(f"HEAD /v2/p/blobs/{DIGEST}", reply(404), *([reply(200)] if there else []))
    content = DATA if there else b"another"
    server.script("GET /v2/p/manifests/1.0.0", reply(200, b'{"a": 1}', {"Content-Type": MANIFEST_TYPE}))
    one = client().registry
    if there:
        one.push_blob(named(server), content, PLAIN)
        one.push_manifest(named(server), b'{"a": 1}', MANIFEST_TYPE, PLAIN)
        return
    assert failure(client(), server).startswith("HOST returned 200 (OK) for blob DIGEST of p")
    with pytest.raises(ProblemsError) as caught:
        one.push_manifest(named(server), b'{"a": 2}', MANIFEST_TYPE, PLAIN)
    assert caught.value.problem.code == "corrupt-blob"


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_blob_stored_with_another_digest_is_an_error(status: int, server: FaultServer, client: NewClient) -> None:
    server.script(BEGIN, upload_started("/upload/1"))
    server.script("PUT *", reply(status, fields={"Docker-Content-Digest": "sha256:" + "0" * 64}))
    failure(client(), server, "corrupt-blob")


@pytest.mark.parametrize("head", [*map(reply, (403, 405, 500, 501)), reply(200, b"", {"Content-Type": "text/html"})])
def test_a_blob_is_uploaded_if_head_fails(head: Reply, server: FaultServer, client: NewClient) -> None:
    server.script(f"HEAD /v2/p/blobs/{DIGEST}", head)
    server.script(BEGIN, upload_started("/upload/1"))
    server.script("PUT *", reply(201))
    one = client()
    one.registry.push_blob(named(server), DATA, PLAIN)
    assert (one.time.slept, server.asked[-1].body) == ([], DATA)


@pytest.mark.parametrize(
    ("status", "fields", "mounted"),
    [
        (201, {}, True),
        (200, {"Docker-Content-Digest": DIGEST}, True),
        (202, {"Docker-Content-Digest": DIGEST}, False),
        (200, {}, False),
        (405, {}, False),
    ],
)
def test_a_mount(status: int, fields: dict[str, str], mounted: bool, server: FaultServer, client: NewClient) -> None:
    server.script(BEGIN, reply(status, fields=fields))
    assert client().registry.mount_blob(named(server), DIGEST, "q", PLAIN) is mounted


def test_a_cloud_registry_suggests_its_credential_helper(server: FaultServer, client: NewClient) -> None:
    server.script("GET *", reply(401, fields={"WWW-Authenticate": 'Basic realm="x"'}))
    for provider, helper in {"aws": "ecr-login", "azure": "acr-env", "gcp": "gcloud"}.items():
        with pytest.raises(ProblemsError) as caught:
            client().registry.resolve(named(server), Access(insecure=True, provider=provider))
        assert f"docker-credential-{helper}" in str(caught.value.problem.hint)


def test_a_slow_upload_that_makes_progress_is_not_given_up(client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection timeout applies to each wait of an upload, not to the upload as a whole."""
    monkeypatch.setattr("kubocd_gen.network.transport.CONNECT_TIMEOUT", 0.5)
    data = bytes(2 << 20)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def take() -> None:
            with listening.accept()[0] as sock:
                read = 0
                while read < len(data):
                    read += len(sock.recv(32 << 10))
                    time.sleep(0.02)
                sock.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=take, daemon=True).start()
        began = time.monotonic()
        one = client()
        answer = one.transport.request("PUT", f"http://127.0.0.1:{listening.getsockname()[1]}/", data=data)
        assert (answer.status, one.time.slept) == (201, [])
        assert time.monotonic() - began > 1.0
