"""Problems as values of a state."""

from __future__ import annotations

from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem, Problems
from kubocd_gen.files.paths import display_path
from kubocd_gen.pipeline.stored_problems import are_current, report_stored, stored_problems


def position(root: Path, name: str, line: int | None = 3) -> Position:
    return Position(display_path(root / name, root), line, 1)


def test_problems_are_reported_as_they_were_found(tmp_path: Path) -> None:
    one = Problem("a", "m", position(tmp_path, "a.yaml"), "hint", exit_code=4, cause="x/y")
    found = Problems("prod")
    found.warning(one, release="x/z")
    found.note(Problem("b", "m", Position("oci://r/p/original.yaml", 1, 2)))
    found.error(Problem("c", "m"))
    stored = stored_problems(list(found), tmp_path, {"a.yaml": "digest"})
    assert stored is not None
    again = Problems("prod")
    report_stored(stored, tmp_path, again)
    assert list(again) == list(found)
    (first, *_) = (one.position for one in again if one.code == "a")
    assert first is not None
    assert first.path.absolute == tmp_path / "a.yaml"  # type: ignore[attr-defined]


def test_problems_are_current_while_the_files_that_they_point_to_are_the_same(tmp_path: Path) -> None:
    contents = {"a.yaml": "one", "b.yaml": "two"}
    stored = stored_problems([Problem("a", "m", position(tmp_path, "a.yaml"))], tmp_path, contents)
    assert are_current(stored, contents)
    assert are_current(stored, {"a.yaml": "one"})
    assert not are_current(stored, {"a.yaml": "two", "b.yaml": "two"})
    assert not are_current(stored, {})


def test_a_problem_in_a_file_that_is_not_a_source_is_not_stored(tmp_path: Path) -> None:
    assert stored_problems([Problem("a", "m", position(tmp_path, "a.yaml"))], tmp_path, {}) is None
    elsewhere = Position(display_path(tmp_path / "a.yaml", tmp_path, "main:"))
    stored = stored_problems([Problem("a", "m", elsewhere)], tmp_path / "other", {})
    assert stored is None or stored["problems"]
