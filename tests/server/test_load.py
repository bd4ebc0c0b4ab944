"""Fifty clients and builds that replace what they read, for a while; `.ci/run` has them at it for 20 seconds more."""

from __future__ import annotations

from pathlib import Path

from tests.server.load import RELEASES, load


def test_no_client_sees_anything_but_what_was_compiled(tmp_path: Path) -> None:
    seen = load(tmp_path, 3)
    assert seen.errors == []
    assert seen.builds > 1
    assert len(seen.versions) > 2
    assert min(len(seen.indexes), len(seen.charts)) > 50 * RELEASES
