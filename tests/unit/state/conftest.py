from __future__ import annotations

import time
from pathlib import Path

import pytest

from kubocd_gen.state import store


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a minute pass since the files of a test were written."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60_000_000_000)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The path of a cache directory that does not exist yet; no state is in memory."""
    store._recent.clear()
    return tmp_path / "cache"
