from __future__ import annotations

from pathlib import Path

import pytest

from kubocd_gen.state import store


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The path of a cache directory that does not exist yet; no state is in memory."""
    store._recent.clear()
    return tmp_path / "cache"
