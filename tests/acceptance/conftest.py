from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A checkout that only has the package `WEB`."""
    made = Workspace(tmp_path)
    made.package()
    return made
