"""The network client's log, which contains no secret."""

from __future__ import annotations

import base64
import json
import logging
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.descriptors import CONTENT_TYPE, MANIFEST_TYPE, Descriptor, sha256
from tests.faults.conftest import PLAIN, NewClient, named
from tests.support.fault_server import FaultServer, Handler, Reply, Request, hang_up, reply

SECRETS = ("s3cret/word", "refresh-t0ken", "bearer-t0ken", "s1gnature")
BLOB = b"b0dy" * 100
LAYER = Descriptor(CONTENT_TYPE, sha256(BLOB), len(BLOB))
AT_BLOB = f"/v2/p/blobs/{LAYER.digest}"


def guarded(then: Reply, server: FaultServer) -> Reply:
    challenge = f'Bearer realm="{server.url}/token?key=s1gnature",service="s",scope="repository:p:pull"'

    def give(handler: Handler, request: Request) -> None:
        known = request.headers.get("authorization") == "Bearer bearer-t0ken"
        (then if known else reply(401, fields={"WWW-Authenticate": challenge}))(handler, request)

    return give


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_dialogue_leaves_no_secret_in_the_log(
    method: str,
    server: FaultServer,
    other: FaultServer,
    client: NewClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    login = base64.b64encode(b"alice:s3cret/word").decode()
    entry = {"auth": login} if method == "GET" else {"identitytoken": "refresh-t0ken"}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: entry}}))
    server.script(f"{method} /token", reply(200, json.dumps({"token": "bearer-t0ken"}).encode()))
    signed = reply(307, fields={"Location": f"{other.url}/store?sig=s1gnature"})
    server.script(f"GET {AT_BLOB}", guarded(signed, server))
    other.script("GET /store", hang_up, reply(200, BLOB))
    with caplog.at_level(logging.DEBUG, "kubocd_gen"):
        one = client(environment={"DOCKER_CONFIG": str(tmp_path)})
        assert one.registry.read_blob(named(server), LAYER, PLAIN, limit=1 << 20) == BLOB
    lines = [f"{record.name} {record.levelname} {record.getMessage()}" for record in caplog.records]
    text = "\n".join(lines)
    for secret in (*SECRETS, *map(quote, SECRETS), login, "Authorization", "Bearer ", "b0dy"):
        assert secret not in text
    requests = [re.sub(r"[0-9]+\.[0-9]{3} s", "TIME", line) for line in lines if " DEBUG " in line]
    start = "kubocd_gen.network DEBUG"
    assert requests == [
        f"{start} GET {server.url}{AT_BLOB}: 401 (0 bytes) in TIME",
        f"{start} {method} {server.url}/token: 200 (25 bytes) in TIME",
        f"{start} GET {server.url}{AT_BLOB}: 307 (0 bytes) in TIME",
        f"{start} GET {other.url}/store: no response (0 bytes) in TIME",
        f"{start} GET {server.url}{AT_BLOB}: 307 (0 bytes) in TIME",
        f"{start} GET {other.url}/store: 200 (400 bytes) in TIME",
    ]
    assert [line.partition(" INFO ")[2] for line in lines if " INFO " in line] == [
        f"got a token from {server.host} for repository:p:pull, as {tmp_path}/config.json",
        f"read blob {LAYER.digest} of p (400 bytes)",
    ]


def test_operations_are_logged(server: FaultServer, client: NewClient, caplog: pytest.LogCaptureFixture) -> None:
    manifest = b"{}"
    fields = {"Content-Type": MANIFEST_TYPE, "Docker-Content-Digest": sha256(manifest)}
    server.script("HEAD /v2/p/manifests/1.0.0", reply(200, manifest, fields))
    server.script("GET /v2/p/manifests/1.0.0", reply(200, manifest, fields))
    server.script("POST *", reply(202, fields={"Location": "/upload?state=s1gnature"}))
    server.script("PUT *", reply(201))
    registry = client().registry
    with caplog.at_level(logging.INFO, "kubocd_gen"):
        registry.resolve(named(server), PLAIN)
        registry.read_manifest(named(server), None, PLAIN)
        registry.push_blob(named(server), BLOB, PLAIN)
        registry.push_manifest(named(server), manifest, MANIFEST_TYPE, PLAIN)
    assert [record.getMessage() for record in caplog.records] == [
        f"resolved {server.host}/p:1.0.0 to {sha256(manifest)}",
        "read the manifest of p:1.0.0 (2 bytes)",
        f"pushed blob {LAYER.digest} of p (400 bytes)",
        f"pushed the manifest {sha256(manifest)} as p:1.0.0",
    ]


def test_without_logging_nothing_is_printed(
    server: FaultServer, client: NewClient, capfd: pytest.CaptureFixture[str]
) -> None:
    server.script("HEAD *", reply(404))
    with pytest.raises(ProblemsError):
        client().registry.resolve(named(server), PLAIN)
    assert capfd.readouterr() == ("", "")
