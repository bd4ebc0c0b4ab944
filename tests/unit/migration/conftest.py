"""The cluster that the tests in this directory modify."""

from __future__ import annotations

import pytest

from tests.support.migration import Scene, compiled


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return compiled(tmp_path_factory.mktemp("migration"))
