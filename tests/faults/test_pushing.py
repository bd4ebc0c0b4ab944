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
from tests.support.fault_server import FaultServer, hang_up, reply

DATA = b"content" * 1000
DIGEST = sha256(DATA)
BEGIN = "POST /v2/p/blobs/uploads/"


def upload_started(location: str) -> object:
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
    server.script(BEGIN, upload_started(location.replace("{0}", server.url)))  # type: ignore[arg-type]
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
def test_an_upload_is_retried_as_a_whole(step: str, fault: object, server: FaultServer, client: NewClient) -> None:
    server.script(BEGIN, upload_started("/upload/1"), upload_started("/upload/2"))  # type: ignore[arg-type]
    server.script("PUT *", reply(201))
    good = server._scripts[step]
    server.script(step, fault, *good)  # type: ignore[arg-type]
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
    server.script(BEGIN, upload_started(f"{other.url}/store?sig=1"))  # type: ignore[arg-type]
    other.script("PUT *", reply(201))
    client(environment=ours).registry.push_blob(named(server), DATA, PLAIN)
    assert [one.headers.get("authorization") for one in server.asked] == [None, field, field]
    assert "authorization" not in other.asked[0].headers


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (401, "registry-denied", "HOST denied the push of blob DIGEST of p (401): a push requires a login"),
        (403, "registry-denied", "HOST denied the push of blob DIGEST of p (403)"),
        (404, "missing-package", "HOST does not have blob DIGEST of p (404)"),
        (413, "registry-failed", "HOST returned 413"),
        (200, "registry-failed", "HOST returned 200 (OK) for blob DIGEST of p"),
        (307, "registry-failed", "HOST redirected a POST"),
    ],
)
def test_an_unexpected_status_of_an_upload_is_an_error(
    status: int, code: str, text: str, server: FaultServer, client: NewClient
) -> None:
    fields = {"WWW-Authenticate": 'Basic realm="x"'} | ({"Location": "/there"} if status == 307 else {})
    server.script(BEGIN, reply(status, fields=fields))
    assert failure(client(), server, code).startswith(text)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "", "http://[::1/"])
def test_an_invalid_upload_location_is_an_error(location: str, server: FaultServer, client: NewClient) -> None:
    server.script(BEGIN, upload_started(location))  # type: ignore[arg-type]
    failure(client(), server)


def test_a_manifest_stored_with_another_digest_is_an_error(server: FaultServer, client: NewClient) -> None:
    server.script("PUT /v2/p/manifests/1.0.0", reply(201, fields={"Docker-Content-Digest": "sha256:" + "0" * 64}))
    with pytest.raises(ProblemsError) as caught:
        client().registry.push_manifest(named(server), b"{}", MANIFEST_TYPE, PLAIN)
    assert caught.value.problem.code == "corrupt-blob"


def test_a_cloud_registry_suggests_its_credential_helper(server: FaultServer, client: NewClient) -> None:
    server.script("HEAD *", reply(401, fields={"WWW-Authenticate": 'Basic realm="x"'}))
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
