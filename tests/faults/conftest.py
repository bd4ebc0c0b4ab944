"""A registry client against failing servers, with a clock that advances instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.network.settings import Network
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.credentials import CredentialStore
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.reference import Reference
from kubocd_gen.oci.registry import Registry
from tests.support.fault_server import FaultServer
from tests.support.registry import CertificateAuthority, make_authority

PLAIN = Access(insecure=True)


@dataclass
class Time:
    """Real time plus the time of all sleeps, which return at once."""

    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return time.monotonic() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@dataclass
class Client:
    """A registry client whose parts a test can inspect. `progress` collects its messages."""

    environment: dict[str, str] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    chance: Callable[[], float] = lambda: 1.0
    now: Callable[[], float] = time.time
    time: Time = field(default_factory=Time)
    progress: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = replace(self.network, progress=self.progress.append)
        self.transport = Transport(
            self.network,
            clock=self.time.clock,
            sleep=self.time.sleep,
            chance=self.chance,
            now=self.now,
            environment=self.environment,
        )
        self.registry = Registry(self.network, self.transport, CredentialStore(self.environment))


NewClient = Callable[..., Client]


@pytest.fixture
def client() -> Iterator[NewClient]:
    """Return a function that makes clients; they are closed at the end."""
    made: list[Client] = []

    def make(**settings: Any) -> Client:
        made.append(Client(**settings))
        return made[-1]

    yield make
    for one in made:
        one.registry.close()


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def other() -> Iterator[FaultServer]:
    """A second host: a CDN, a token service, an attacker."""
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return make_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def tls_server(authority: CertificateAuthority) -> Iterator[FaultServer]:
    with FaultServer((str(authority.server), str(authority.key))) as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the machine's own settings out of the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def named(server: FaultServer, tag: str = "1.0.0") -> Reference:
    return Reference(server.host, "p", tag)
