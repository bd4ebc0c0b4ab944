"""Names of files for programs, and paths for people, who open them from the current directory."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.files.paths import display_path, hint_of, name_below, shown_path


@pytest.fixture
def current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory, which is next to the directory of the project."""
    (tmp_path / "project/sources").mkdir(parents=True)
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    return tmp_path / "current"


def test_people_see_paths_relative_to_the_current_directory(current: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = current.parent / "project/sources/a.yaml"
    for directory, expected in {
        current: "../project/sources/a.yaml",
        current.parent: "project/sources/a.yaml",
        file.parent: "a.yaml",
        file.parent.parent: "sources/a.yaml",
    }.items():
        monkeypatch.chdir(directory)
        assert shown_path(file) == expected
        assert Path(expected).absolute().resolve() == file
    assert shown_path(Path("b.yaml")) == "b.yaml"
    assert shown_path(Path()) == "."


def test_a_path_with_nothing_in_common_stays_absolute(current: Path) -> None:
    assert shown_path(Path("/nowhere/x.yaml")) == "/nowhere/x.yaml"


def test_a_parent_of_a_symlink_is_that_of_its_target(current: Path) -> None:
    (current / "link").symlink_to("../project/sources")
    (current.parent / "outside").symlink_to("project/sources")
    assert shown_path(current.parent / "outside/../kcd-gen.yaml") == "../project/kcd-gen.yaml"
    assert (current / shown_path(current / "link/a.yaml")).parent.samefile(current.parent / "project/sources")


def test_a_name_for_programs_is_relative_to_the_project_and_a_position_is_printed_for_people(current: Path) -> None:
    root = current.parent / "project"
    name = display_path(root / "sources/a.yaml", root)
    assert name == "sources/a.yaml"
    assert json.dumps({"path": name}) == '{"path": "sources/a.yaml"}'
    assert shown_path(name) == "../project/sources/a.yaml"
    assert str(Position(name, 3, 4)) == "../project/sources/a.yaml:3:4"
    below = name_below(display_path(root / "packages", root), "index.json")
    assert (below, shown_path(below)) == ("packages/index.json", "../project/packages/index.json")


def test_names_of_packages_and_revisions_are_not_paths(current: Path) -> None:
    root = current.parent / "project"
    for name in ("oci://registry.example.com/web:1.0.0", "main:sources/a.yaml", "web:1.0.0"):
        assert shown_path(name) == str(Position(name)) == name
    assert shown_path(display_path(root / "sources/a.yaml", root, "main:")) == "main:sources/a.yaml"
    assert name_below("oci:layout", "index.json") == "oci:layout/index.json"


def test_the_hint_for_a_failed_write_names_the_path_from_the_current_directory(current: Path) -> None:
    error = OSError(errno.EINVAL, "not a regular file", str(current.parent / "project/fifo"))
    assert "'../project/fifo'" in str(hint_of(error))
