from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubocd_gen.helm.process import find_helm
from kubocd_gen.network.settings import Network
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.credentials import CredentialStore
from kubocd_gen.oci.registry import Registry
from kubocd_gen.packaging.charts.fetching import Charts
from kubocd_gen.packaging.charts.folder import Packed
from kubocd_gen.packaging.charts.sources import ChartSource

CREDENTIALS = {"charts.example.com": ("alice", "secret")}
Fetch = Callable[[ChartSource], Packed]


@pytest.fixture
def charts(tmp_path: Path) -> Iterator[Charts]:
    """The charts of a run without credentials in its environment."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    network = Network()
    transport = Transport(network, environment={})
    registry = Registry(network, transport, CredentialStore({}))
    yield Charts(network, transport, registry, CREDENTIALS.get, find_helm(), scratch)
    transport.close()
