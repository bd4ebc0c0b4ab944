from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.helm.binary import find_helm
from kubocd_gen.network.settings import Network
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.credentials import CredentialStore
from kubocd_gen.oci.registry import Registry
from kubocd_gen.packaging.charts import Charts
from kubocd_gen.packaging.directory import Packed
from kubocd_gen.packaging.manifest_file import ChartSource

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


def refusal(ask: Callable[[], object], code: str) -> Problem:
    with pytest.raises(ProblemsError) as caught:
        ask()
    assert caught.value.problem.code == code, caught.value.problem.message
    assert caught.value.problem.message.isprintable()
    assert caught.value.problem.position is None
    return caught.value.problem
