"""Which hosts get credentials, and how long all registries together can delay a run."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.network.hosts import RunTime
from kubocd_gen.network.settings import Network
from kubocd_gen.oci import credentials
from kubocd_gen.oci.credentials import variable
from kubocd_gen.oci.reference import Reference
from tests.faults.conftest import PLAIN, Client, NewClient, named
from tests.support.fault_server import FaultServer, Reply, endless, reply
from tests.support.workspace import Workspace, kcd_gen

BASIC = "Basic " + base64.b64encode(b"alice:s3cret").decode()


def login(host: str) -> dict[str, str]:
    name = variable(host)
    return {f"{name}_USER": "alice", f"{name}_SECRET": "s3cret", f"{name}_HOST": host}


@pytest.mark.parametrize(
    ("url", "named", "allowed"),
    [
        ("https://quay.io/v2/", (), True),
        ("http://quay.io/v2/", (), False),
        ("http://10.0.0.1:5000/v2/", (), False),
        ("http://127.0.0.1:5000/v2/", (), True),
        ("http://127.9.9.9/v2/", (), True),
        ("http://localhost:5000/v2/", (), True),
        ("http://[::1]:5000/v2/", (), True),
        ("http://localhost.evil.example/v2/", (), False),
        ("http://127.0.0.1.evil.example/v2/", (), False),
        ("http://x@127.0.0.1\\@evil.example/", (), False),
        ("http://127.0.0.1@evil.example/", (), False),
        ("http://registry.lan:5000/v2/", ("registry.lan:5000",), True),
        ("http://registry.lan:5001/v2/", ("registry.lan:5000",), False),
        ("http://registry.lan/v2/", ("registry.lan",), True),
        ("http://REGISTRY.lan/v2/", ("registry.LAN",), True),
        ("http://registry.lan:5000/v2/", ("registry.lan",), False),
        ("git://registry.lan/v2/", ("registry.lan",), False),
        ("ftp://localhost/", (), False),
        ("https:///v2/", (), False),
        ("http://[/", (), False),
    ],
)
def test_credentials_are_only_sent_over_https_or_to_a_named_host(
    url: str, named: tuple[str, ...], allowed: bool
) -> None:
    assert Network(clear_text_hosts=frozenset(named)).may_send_credentials(url) is allowed


def refuse(server: FaultServer, challenge: str) -> None:
    """Refuse both requests for a manifest: GET follows HEAD, because its response has a reason."""
    for method in ("HEAD", "GET"):
        server.script(f"{method} /v2/p/manifests/1.0.0", reply(401, fields={"WWW-Authenticate": challenge}))


def test_insecure_sends_no_credentials(server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """`insecure: true` of a Release permits plain HTTP, and nothing more."""
    monkeypatch.setattr("kubocd_gen.network.settings._is_loopback", lambda host: False)
    refuse(server, "Basic realm=x")
    one = client(environment=login(server.host))
    with pytest.raises(ProblemsError) as caught:
        one.registry.resolve(named(server), PLAIN)
    assert caught.value.problem.code == "registry-denied"
    assert f"--allow-plain-http-credentials {server.host}" in str(caught.value.problem.hint)
    assert [asked.headers.get("authorization") for asked in server.asked] == [None, None]


def test_a_named_host_gets_credentials_over_plain_http(
    server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubocd_gen.network.settings._is_loopback", lambda host: False)
    refuse(server, "Basic realm=x")
    one = client(environment=login(server.host), network=Network(clear_text_hosts=frozenset({server.host})))
    with pytest.raises(ProblemsError):
        one.registry.resolve(named(server), PLAIN)
    assert [asked.headers.get("authorization") for asked in server.asked] == [None, BASIC, BASIC]


def test_a_helper_is_not_run_for_plain_http(
    server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubocd_gen.network.settings._is_loopback", lambda host: False)
    monkeypatch.setattr(credentials.CredentialStore, "find", lambda *_, **__: pytest.fail("looked up"))
    refuse(server, "Basic realm=x")
    with pytest.raises(ProblemsError):
        client().registry.resolve(named(server), PLAIN)


def test_a_mirror_only_gets_its_own_credentials(server: FaultServer, client: NewClient) -> None:
    """A pull request can choose the mirror: it never receives the credentials of the registry it replaces."""
    refuse(server, "Basic realm=x")
    network = Network(mirrors={"quay.io": f"http://{server.host}"})
    one = client(environment=login("quay.io"), network=network)
    with pytest.raises(ProblemsError):
        one.registry.resolve(Reference("quay.io", "p", "1.0.0"), PLAIN)
    assert [asked.headers.get("authorization") for asked in server.asked] == [None, None]


def test_a_redirected_package_only_gets_the_credentials_of_its_new_host(server: FaultServer, tmp_path: Path) -> None:
    """A pull request's Config can choose where packages come from: `packageRedirects` does not move credentials."""
    refuse(server, "Basic realm=x")
    workspace = Workspace(tmp_path)
    workspace.release("web", package="quay.io/p:1.0.0")
    workspace.source(
        "config.yaml",
        f"""\
        apiVersion: kubocd.kubotal.io/v1alpha1
        kind: Config
        metadata: {{name: config, namespace: kubocd}}
        spec: {{packageRedirects: [{{oldPrefix: quay.io/, newPrefix: '{server.host}/', insecure: true}}]}}
        """,
    )
    arguments = ("build", "--source", "sources", "--output", "output")
    outcome = kcd_gen(*arguments, directory=tmp_path, environment=login("quay.io"))
    assert outcome.exit == 4
    assert "registry-denied" in outcome.err
    assert [asked.headers.get("authorization") for asked in server.asked] == [None, None]


def test_a_token_service_over_plain_http_gets_no_credentials(
    server: FaultServer, client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubocd_gen.network.settings._is_loopback", lambda host: False)
    challenge = f'Bearer realm="{server.url}/token",service="s"'
    refuse(server, challenge)
    server.script("GET /token", reply(200, json.dumps({"token": "abc"}).encode()))
    one = client(environment=login(server.host))
    with pytest.raises(ProblemsError):
        one.registry.resolve(named(server), PLAIN)
    assert not [asked for asked in server.asked if asked.headers.get("authorization") == BASIC]


@pytest.mark.parametrize(
    "drip",
    [
        endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n", 0.05),
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" " * 200, 0.05),
    ],
    ids=["headers", "a body"],
)
def test_an_answer_that_drips_ends_at_the_deadline_of_the_run(
    drip: Reply, server: FaultServer, client: NewClient
) -> None:
    """The answer is valid except that it does not end: its own limits would let it continue."""
    server.script("HEAD /v2/p/manifests/1.0.0", reply(405))
    server.script("GET /v2/p/manifests/1.0.0", drip)
    reach_deadline(server, client, 2)


def reach_deadline(server: FaultServer, client: NewClient, seconds: int) -> Client:
    """Resolve a reference until the run's time for the network is over; return the client."""
    limits = moved(LIMITS, {"network-time": seconds})
    one = client(network=Network(limits=limits, budget=Budget(limits)))
    with pytest.raises(ProblemsError) as caught:
        one.registry.resolve(named(server), PLAIN)
    assert caught.value.problem.code == "run-limit"
    assert "--limit network-time=" in str(caught.value.problem.hint)
    return one


class Clock:
    """A clock that only advances when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_run_has_one_deadline_for_all_transfers() -> None:
    clock, budget = Clock(), Budget(moved(LIMITS, {"network-time": 100}))
    run = RunTime(budget, clock)
    with run:
        clock.now += 40
        with run:  # concurrent time is not counted twice
            clock.now += 20
        assert run.left() == 40
    clock.now += 1000  # nothing is transferred
    assert run.left() == 40
    with run:
        clock.now += 40
        assert run.left() == 0
    assert "--limit network-time=" in str(run.error().problem.hint)


def test_hosts_that_fail_in_turn_share_the_deadline(server: FaultServer, client: NewClient) -> None:
    """Each host stays within its own time; all together do not."""
    server.script("HEAD /v2/p/manifests/1.0.0", reply(503, fields={"Retry-After": "9"}))
    one = reach_deadline(server, client, 5)
    asked = len(server.asked)
    with pytest.raises(ProblemsError) as caught:  # the run's time is over: no other host is asked
        one.registry.resolve(Reference(server.host, "other", "1"), PLAIN)
    assert caught.value.problem.code == "run-limit"
    assert len(server.asked) == asked


def test_received_bytes_count_towards_the_limit_of_the_run(server: FaultServer, client: NewClient) -> None:
    server.script("GET /v2/p/manifests/1.0.0", reply(200, json.dumps({"x": "y" * 5000}).encode()))
    server.script("HEAD /v2/p/manifests/1.0.0", reply(405))
    limits = moved(LIMITS, {"fetched": 1000})
    one = client(network=Network(limits=limits, budget=Budget(limits)))
    with pytest.raises(ProblemsError) as caught:
        one.registry.resolve(named(server), PLAIN)
    assert caught.value.problem.code == "run-limit"
    assert "--limit fetched=" in str(caught.value.problem.hint)
