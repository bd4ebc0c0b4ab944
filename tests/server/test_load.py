"""Fifty clients download while charts are replaced a few times; `.ci/run` runs this for ten seconds."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.server.load import Seen, load, work, write_packages, write_releases
from tests.support.nginx import run_nginx
from tests.support.workspace import Workspace


@pytest.mark.slow
def test_no_client_sees_an_error_while_charts_are_replaced(tmp_path: Path) -> None:
    seen = load(tmp_path, lambda seen: seen.builds < 4 and not seen.errors)
    assert seen.errors == []
    assert len(seen.versions) > 12, "only the first build was seen"
    assert min(len(seen.indexes), len(seen.charts)) > 100


def test_a_client_sees_a_chart_that_is_not_what_its_index_says(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    known = write_packages(workspace)
    write_releases(workspace, 0)
    assert workspace.build().exit == 0
    for chart in workspace.output.glob("hr/default/*/web-*.tgz"):
        chart.write_bytes(chart.read_bytes()[:-1])
    with run_nginx(workspace.output, tmp_path / "nginx") as nginx:
        seen = Seen()
        asyncio.run(work(nginx.port, known, seen, lambda _: True, random.Random(1)))  # noqa: S311
    assert "is not what its index says" in seen.errors[0]
