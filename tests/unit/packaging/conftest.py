from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.helm.process import find_helm
from kubocd_gen.network.settings import Network
from kubocd_gen.network.transport import Transport
from kubocd_gen.oci.credentials import CredentialStore
from kubocd_gen.oci.registry import Registry
from kubocd_gen.packaging.charts import Charts


@pytest.fixture
def credentials() -> dict[str, tuple[str, str]]:
    """Users and passwords by host."""
    return {"charts.example.com": ("alice", "secret")}


@pytest.fixture
def open_charts(tmp_path: Path, credentials: dict[str, tuple[str, str]]) -> Iterator[Callable[..., Charts]]:
    """Open the charts of a run whose environment has no credentials."""
    with ExitStack() as close:

        def opened(limits: Limits = LIMITS) -> Charts:
            scratch = tmp_path / "scratch"
            scratch.mkdir(exist_ok=True)
            network = Network(limits=limits)
            transport = Transport(network, environment={})
            close.callback(transport.close)
            registry = Registry(network, transport, CredentialStore({}))
            return Charts(network, transport, registry, lambda url: credentials.get(url.netloc), find_helm(), scratch)

        yield opened


@pytest.fixture
def charts(open_charts: Callable[..., Charts]) -> Charts:
    return open_charts()
