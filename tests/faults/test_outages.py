"""The time that a dead registry can cost a build, to the second: the clock only advances in simulated waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from kubocd_gen.network.hosts import BACKOFF_LIMIT, CONNECTIONS, LAST_WAIT, OUTAGE, TRIES, AttemptError, Host
from kubocd_gen.network.settings import CONNECT_TIMEOUT, Network, NetworkError
from kubocd_gen.network.transport import Transport
from tests.faults.conftest import PLAIN, NewClient, named
from tests.support.fault_server import FaultServer, each, hang_up, reply

PACKAGES = 24
MAX_DELAY = 40.0  # seconds that a build can lose to a registry


@dataclass
class World:
    """Threads with their own clock: when all of them sleep, it advances to the first wake-up."""

    threads: int
    now: float = 0.0
    _wakes: list[float] = field(default_factory=list)
    _condition: threading.Condition = field(default_factory=threading.Condition)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._condition:
            wake = self.now + seconds
            self._wakes.append(wake)
            self._go_on()
            while self.now < wake:
                self._condition.wait()

    def leave(self) -> None:
        """Remove a thread that has nothing left to do."""
        with self._condition:
            self.threads -= 1
            self._go_on()

    def _go_on(self) -> None:
        if self._wakes and len(self._wakes) == self.threads:
            self.now = min(self._wakes)
            self._wakes = [wake for wake in self._wakes if wake > self.now]
            self._condition.notify_all()


Attempt = Callable[[World, Host], str]


def refused(_world: World, _host: Host) -> str:
    raise AttemptError("r.example", "r.example refuses connections", reached=False)


def swallowed(world: World, host: Host) -> str:
    left = host.left()
    world.sleep(CONNECT_TIMEOUT if left is None else min(CONNECT_TIMEOUT, max(1.0, left)))
    raise AttemptError("r.example", "r.example could not be reached", reached=False)


def failing(world: World, host: Host) -> str:
    world.sleep(0.05)
    host.answered()
    raise AttemptError("r.example", "r.example answers 500")


def throttling(world: World, host: Host) -> str:
    world.sleep(0.05)
    host.answered()
    raise AttemptError("r.example", "r.example answers 429", retry_after=7.0)


def slow_to_fail(world: World, host: Host) -> str:
    left = host.left()
    world.sleep(9.9 if left is None else min(9.9, max(LAST_WAIT, left)))
    host.answered()
    raise AttemptError("r.example", "r.example answers 502")


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("attempt", [refused, swallowed, failing, throttling, slow_to_fail])
def test_a_dead_registry_costs_a_build_less_than_forty_seconds(attempt: Attempt, chance: float) -> None:
    world = World(CONNECTIONS)
    transport = Transport(Network(), clock=world.clock, sleep=world.sleep, chance=lambda: chance)
    host = transport._host("r.example")
    lock = threading.Lock()
    waiting = list(range(PACKAGES))
    errors: list[str] = []

    def once() -> str:
        host.check()
        return attempt(world, host)

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    break
                waiting.pop()
            try:
                transport.retrying(once)
            except NetworkError as error:
                errors.append(error.problem.message)
        world.leave()

    workers = [threading.Thread(target=work, daemon=True) for _ in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert len(errors) == PACKAGES
    assert world.now < MAX_DELAY
    if attempt in (refused, swallowed):
        assert len(set(errors)) == 1  # so that the user sees one line


def test_the_constants_respect_the_limit() -> None:
    assert OUTAGE + max(LAST_WAIT, CONNECT_TIMEOUT) < MAX_DELAY
    assert sum(min(BACKOFF_LIMIT, 2.0**n) for n in range(TRIES - 1)) < OUTAGE


def test_a_registry_that_throttles_but_serves_is_never_given_up() -> None:
    clock = World(1)
    host = Host("r.example", clock.clock)
    for _ in range(100):
        host.begin(clock.now)
        clock.now += 5
        host.end(recovered=True)
    host.check()
    assert host.left() is None


def test_a_resumed_download_is_not_charged() -> None:
    clock = World(1)
    host = Host("r.example", clock.clock)
    host.begin(0.0)
    for _ in range(100):
        clock.now += 1
        host.earn(2.0)
    assert host.left() == OUTAGE
    clock.now += 10
    host.earn(0.001)  # of a server that drips
    assert host.left() == pytest.approx(OUTAGE - 10, abs=0.01)


def test_time_is_charged_once_for_all_waiting_threads() -> None:
    clock = World(1)
    host = Host("r.example", clock.clock)
    for _ in range(10):
        host.begin(0.0)
    clock.now = 6.0
    for _ in range(10):
        host.end(recovered=False)
    clock.now = 100.0
    host.begin(99.0)
    assert host.left() == OUTAGE - 6.0 - 1.0


def test_failures_are_charged_even_if_other_requests_succeed(server: FaultServer, client: NewClient) -> None:
    """Manifests are available and blobs are not: this must not go on forever either."""
    server.script("HEAD *", reply(500))
    server.script("GET *", reply(404))
    one = client()
    for number in range(PACKAGES):
        with pytest.raises(NetworkError):
            one.registry.resolve(named(server, f"1.0.{number}"), PLAIN)
        with pytest.raises(NetworkError):
            one.registry.read_manifest(named(server), None, PLAIN)
    assert sum(one.time.slept) < OUTAGE


def test_a_closed_host_is_not_asked_and_the_reason_is_reported(server: FaultServer, client: NewClient) -> None:
    server.script("GET *", hang_up)
    one = client()
    messages = set()
    for number in range(PACKAGES):
        with pytest.raises(NetworkError) as caught:
            one.registry.read_manifest(named(server, f"1.0.{number}"), None, PLAIN)
        messages.add(caught.value.problem.message)
    assert f"{server.host} closed the connection unexpectedly; gave up after 22 s" in messages
    assert len(server.asked) < 3 * TRIES
    assert len(one.progress) == len(one.time.slept)


def test_a_registry_that_recovers_is_used_again(server: FaultServer, client: NewClient) -> None:
    manifest = reply(200, b"{}", {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
    server.script("GET *", each([reply(503), reply(503), manifest]))
    one = client()
    for number in range(PACKAGES):
        one.registry.read_manifest(named(server, f"1.0.{number}"), None, PLAIN)
    assert one.time.slept == [1, 2]


def test_a_host_that_refuses_connections_is_closed_after_one_request(client: NewClient) -> None:
    with FaultServer() as gone:
        reference = named(gone)
    one = client()
    for _ in range(PACKAGES):
        with pytest.raises(NetworkError) as caught:
            one.registry.resolve(reference, PLAIN)
        assert caught.value.problem.message == f"{reference.registry} refused the connection, after 5 attempts"
    assert one.time.slept == [1, 2, 4, 8]


def test_the_wait_for_a_free_connection_is_not_charged() -> None:
    world = World(1)
    transport = Transport(Network(), clock=world.clock, sleep=world.sleep, chance=lambda: 0.0)
    left: list[float | None] = []

    def attempt() -> None:
        left.append(transport._host("r.example").left())
        if len(left) < 3:
            world.now += 20  # all four connections are taken, by requests that get their answers
            error = AttemptError("r.example", "r.example answers 503")
            error.began = world.now
            raise error

    transport.retrying(attempt)
    assert left[:2] == [None, OUTAGE]
