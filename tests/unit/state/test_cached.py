from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kubocd_gen.state.cached import cached_states, prune_states
from tests.unit.state.test_store import opened, saved

DAY = 24 * 60 * 60


def aged(path: Path, seconds: float) -> Path:
    at = time.time() - seconds
    os.utime(path, (at, at))
    return path


def test_a_cache_without_states(cache: Path) -> None:
    assert cached_states(cache) == []
    assert prune_states(cache, 0) == (0, 0)


def test_states_are_listed_with_their_size_and_their_last_use(cache: Path) -> None:
    path = aged(saved(cache), 3 * DAY)
    (path.parent / "notes").write_text("")
    (path.parent / ("0" * 32)).mkdir()
    (one,) = cached_states(cache)
    assert (one.name, one.size, one.used) == (f"state/{path.name}", path.stat().st_size, path.stat().st_mtime)


def test_reading_a_state_is_a_use(cache: Path) -> None:
    path = aged(saved(cache), 3 * DAY)
    opened(cache)
    assert time.time() - path.stat().st_mtime < DAY
    before = aged(path, DAY / 2).stat().st_mtime_ns
    assert opened(cache).tables  # at most once a day, so that most builds write nothing
    assert path.stat().st_mtime_ns == before


def test_only_unused_states_and_what_was_left_are_removed(cache: Path) -> None:
    path = aged(saved(cache), 3 * DAY)
    other = path.with_name("0" * 32)
    other.write_bytes(b"123")
    old, new = path.with_name(".kcd-gen-1"), path.with_name(".kcd-gen-2")
    old.write_text("")
    aged(old, DAY)
    new.write_text("")
    assert prune_states(cache, 4 * DAY) == (0, 0)
    assert not old.exists()
    size = path.stat().st_size
    assert prune_states(cache, 2 * DAY) == (1, size)
    assert sorted(path.parent.iterdir()) == [new, other]
    assert prune_states(cache, 0) == (1, 3)


def test_a_state_directory_that_is_a_file_is_an_error(cache: Path) -> None:
    cache.mkdir()
    (cache / "state").write_text("")
    with pytest.raises(NotADirectoryError):
        cached_states(cache)
    with pytest.raises(NotADirectoryError):
        prune_states(cache, 0)
