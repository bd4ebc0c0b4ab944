from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A checkout with the package `WEB` and nothing else."""
    made = Workspace(tmp_path)
    made.package()
    return made
