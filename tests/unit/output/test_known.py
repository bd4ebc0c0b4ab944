"""What a state knows of output files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubocd_gen.output.known import KnownOutput, inode_of
from kubocd_gen.state.store import State


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text("one")
    return path


@pytest.mark.usefixtures("later")
def test_a_file_is_known_until_it_changes(path: Path) -> None:
    known = KnownOutput(State(None))
    status = path.stat()
    assert known.sha256("a", status) is None
    known.note("a", status, "digest")
    assert known.sha256("a", status) == "digest"
    assert known.is_unchanged("a", status, "digest")
    assert not known.is_unchanged("a", status, "other")
    assert known.sha256("b", status) is None
    path.write_text("two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert known.sha256("a", path.stat()) is None


def test_a_file_that_changed_just_now_is_not_known(path: Path) -> None:
    known = KnownOutput(State(None))
    known.note("a", path.stat(), "digest")
    assert known.sha256("a", path.stat()) is None


@pytest.mark.usefixtures("later")
def test_a_written_file_is_known_unless_it_was_replaced(path: Path) -> None:
    known = KnownOutput(State(None))
    staged = inode_of(path.stat())
    path.rename(path.with_name("b.yaml"))
    moved = path.with_name("b.yaml")
    known.note_written("b", moved.stat(), staged, "digest")
    assert known.sha256("b", moved.stat()) == "digest"
    path.write_text("one")
    known.note_written("a", path.stat(), staged, "digest")
    assert known.sha256("a", path.stat()) is None


@pytest.mark.usefixtures("later")
def test_without_a_state_nothing_is_known(path: Path) -> None:
    known = KnownOutput(None)
    known.note("a", path.stat(), "digest")
    known.keep(["a"])
    assert known.sha256("a", path.stat()) is None


@pytest.mark.usefixtures("later")
def test_what_the_output_does_not_have_any_more_is_dropped(path: Path) -> None:
    state = State(None)
    known = KnownOutput(state)
    known.note("a", path.stat(), "digest")
    known.note("b", path.stat(), "digest")
    state.save(complete=True)
    KnownOutput(state).keep(["a"])
    state.save(complete=True)
    assert KnownOutput(state).sha256("a", path.stat()) == "digest"
    assert KnownOutput(state).sha256("b", path.stat()) is None
