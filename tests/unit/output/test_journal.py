"""Staging directories and journals that were not left by a write of kcd-gen: nothing outside the output changes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.paths import shown_path
from kubocd_gen.output import moves
from tests.support.attackers import Attacker, state
from tests.support.output_faults import NEW, OLD, build_new
from tests.support.outputs import build, codes, contents, planned
from tests.support.thorough import count


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory that must not change."""
    directory = tmp_path / "home"
    (directory / "hooks").mkdir(parents=True)
    (directory / "precious").write_text("mine")
    return directory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The output of a checkout after a build."""
    (tmp_path / "repository/.git/hooks").mkdir(parents=True)
    output = tmp_path / "repository/deploy"
    build(output, *OLD)
    return output


def store_of(root: Path) -> Path:
    """Return the only store for outputs in the Git directory."""
    (store,) = (root.parent / ".git/kcd-gen").iterdir()
    return store


@pytest.fixture(scope="session")
def middle(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The number of a move in the middle of a write of NEW over OLD."""
    root = tmp_path_factory.mktemp("middle") / "deploy"
    for number in range(10, 1000):
        build(root, *OLD)
        build_new(root, "kill_at", number)
        if (root / "hr/default/new").exists():
            return number
    raise AssertionError


@pytest.fixture
def killed(root: Path, middle: int) -> Path:
    """The output after a write was killed in the middle of its moves."""
    build_new(root, "kill_at", middle)
    assert (root / moves.STAGING).exists()
    return root


def refused(root: Path) -> str:
    with pytest.raises(ProblemsError) as caught:
        build(root, *NEW)
    (code,) = codes(caught.value)
    return code


STEPS = [
    [("flux/h", True), ("flux/h/pre-commit", True)],
    [("flux/default/web.yaml", True), ("flux/default/web.yaml/x", False)],
    [("../home/precious", False)],
    [("hr/default/web", True), ("hr/default/web/precious", False)],
    [(".kcd-gen", True), (".kcd-gen/precious", False)],
]


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("is_current", [True, False])
def test_a_staging_directory_of_a_checkout_is_never_replayed(
    root: Path, home: Path, steps: list[tuple[str, bool]], is_current: bool
) -> None:
    new = root / moves.NEW
    new.mkdir(parents=True)
    (new / "0").symlink_to(home)
    (new / "1").write_text("#!/bin/sh\n")
    described = [{"path": path, "replace": replace} for path, replace in steps]
    (root / moves.STAGING / "journal.json").write_text(json.dumps({"steps": described, "paths": []}))
    before = contents(root.parent), contents(home)
    with pytest.raises(ProblemsError) as caught:
        build(root, *(OLD if is_current else NEW))
    assert caught.value.problem.code == "foreign-staging"
    assert str(caught.value.problem.position) == shown_path(root / moves.STAGING)
    assert (contents(root.parent), contents(home)) == before


@pytest.mark.parametrize("what", ["link", "file", "new is a link", "fifo"])
def test_a_staging_path_that_is_not_a_directory_is_refused(root: Path, home: Path, what: str) -> None:
    staging = root / moves.STAGING
    match what:
        case "link":
            staging.symlink_to(home)
        case "file":
            staging.write_text("")
        case "fifo":
            os.mkfifo(staging)
        case _:
            staging.mkdir()
            (staging / "new").symlink_to(home)
    before = contents(home)
    assert refused(root) == "foreign-staging"
    assert contents(home) == before


def test_removing_the_staging_directory_fixes_the_build(root: Path) -> None:
    (root / moves.NEW).mkdir(parents=True)
    (root / moves.NEW / "0").write_text("")
    assert refused(root) == "foreign-staging"
    shutil.rmtree(root / moves.STAGING)
    assert not build(root, *NEW).completed_earlier


@pytest.mark.parametrize("path", [moves.STAGING, moves.NEW])
def test_an_empty_staging_directory_of_a_killed_build_is_removed(root: Path, path: str) -> None:
    (root / path).mkdir(parents=True)
    assert not build(root, *NEW).completed_earlier
    assert not (root / moves.STAGING).exists()


def test_a_complete_write_leaves_nothing_in_the_git_directory(root: Path) -> None:
    assert contents(root.parent / ".git") == {"hooks/": b""}


def test_the_journal_is_in_the_git_directory_and_completes_the_write(killed: Path) -> None:
    assert {path.name for path in store_of(killed).iterdir()} == {"staging.json", "journal.json"}
    assert store_of(killed).stat().st_mode & 0o077 == 0
    assert build(killed, *NEW).completed_earlier
    assert not (killed.parent / ".git/kcd-gen").exists()


@pytest.mark.parametrize("name", ["0", "1", "2"])
@pytest.mark.parametrize("what", ["other content", "link", "directory"])
def test_staged_files_must_match_the_journal(killed: Path, home: Path, name: str, what: str) -> None:
    steps = json.loads((store_of(killed) / "journal.json").read_text())["steps"]
    index = [str(number) for number, step in enumerate(steps) if (killed / moves.NEW / str(number)).is_file()][
        int(name)
    ]
    staged = killed / moves.NEW / index
    staged.unlink()
    match what:
        case "link":
            staged.symlink_to(home / "precious")
        case "directory":
            staged.mkdir()
        case _:
            staged.write_text("mine")
    before = contents(killed), contents(home)
    assert refused(killed) == "broken-journal"
    assert {path for path in contents(killed) if "/old/" not in path} == {
        path for path in before[0] if "/old/" not in path
    }
    assert contents(home) == before[1]


def test_only_the_staging_directory_of_the_journal_is_replayed(killed: Path) -> None:
    (killed / moves.STAGING).rename(killed / "aside")
    shutil.copytree(killed / "aside", killed / moves.STAGING)
    assert refused(killed) == "foreign-staging"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"[" * 100_000,
        lambda data: json.dumps([data]).encode(),
        *(
            lambda data, path=path: json.dumps({**data, "steps": [{**data["steps"][0], "path": path}]}).encode()
            for path in (
                "../x",
                "flux/h",
                "flux/default/web.yaml/x",
                "hr/default",
                "hr/default/web/../x",
                "/x",
                "",
                ".kcd-gen",
            )
        ),
        lambda data: json.dumps({**data, "steps": [{"path": "hr/default/web"}]}).encode(),
        lambda data: json.dumps({**data, "steps": [{**data["steps"][0], "digests": {"../x": "0"}}]}).encode(),
        lambda data: json.dumps({**data, "steps": [{**data["steps"][0], "replace": "false"}]}).encode(),
        lambda data: json.dumps({**data, "paths": ["../x"]}).encode(),
        lambda data: json.dumps({**data, "paths": ["flux/README.md"]}).encode(),
    ],
)
def test_a_damaged_journal_is_refused(killed: Path, damage: Callable[[dict[str, object]], bytes]) -> None:
    path = store_of(killed) / "journal.json"
    path.write_bytes(damage(json.loads(path.read_bytes())))
    before = contents(killed)
    assert refused(killed) == "broken-journal"
    assert contents(killed) == before


def test_a_journal_without_its_staging_directory_is_discarded(killed: Path) -> None:
    shutil.rmtree(killed / moves.STAGING)
    # Files that were already moved count as kcd-gen's if they have the content to be written.
    assert not build(killed, *NEW).completed_earlier
    assert not (killed.parent / ".git/kcd-gen").exists()


def test_a_write_is_completed_after_the_checkout_was_moved(killed: Path, tmp_path: Path) -> None:
    killed.parent.rename(tmp_path / "moved")
    assert build(tmp_path / "moved/deploy", *NEW).completed_earlier


def test_outputs_of_one_repository_have_independent_writes(killed: Path) -> None:
    other = killed.parent / "other"
    build(other, *OLD)
    assert not build(other, *NEW).completed_earlier
    assert build(killed, *NEW).completed_earlier


def test_a_directory_replaced_by_a_symlink_before_completion_is_refused(killed: Path, home: Path) -> None:
    for directory in ("flux/default", ".kcd-gen/default"):
        (killed / directory).rename(killed / "aside")
        (killed / directory).symlink_to(home)
        before = contents(home)
        assert refused(killed) == "symlinked-output"
        assert contents(home) == before
        (killed / directory).unlink()
        (killed / "aside").rename(killed / directory)
    assert build(killed, *NEW).completed_earlier


def test_a_plan_ignores_a_foreign_journal(root: Path) -> None:
    (root / moves.STAGING).mkdir()
    (root / "flux/default/new.yaml").write_text("mine")
    journal = {"steps": [], "paths": ["flux/default/new.yaml"]}
    (root / moves.STAGING / "journal.json").write_text(json.dumps(journal))
    with pytest.raises(ProblemsError) as caught:
        planned(root, *NEW)
    assert caught.value.problem.code == "foreign-file"


@pytest.mark.parametrize(
    "victim", ["", "flux", "flux/default", "hr/default", "hr/default/web", ".kcd-gen", moves.STAGING, moves.NEW]
)
@pytest.mark.parametrize("is_killed", [True, False])
def test_a_directory_replaced_by_a_symlink_during_a_build_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, middle: int, victim: str, is_killed: bool
) -> None:
    for number in range(1, 10_000, count(83, 41)):
        base = tmp_path / str(number)
        root, home = base / "deploy", base / "home"
        for directory in ("default", "web", "new", "old", "flux/default", "hr/default/web"):
            (home / directory).mkdir(parents=True)
            (home / directory / "web.yaml").write_text("mine")
        build(root, *OLD)
        if is_killed:
            build_new(root, "kill_at", middle)
        before = state(home)
        with monkeypatch.context() as patch:
            attacker = Attacker(patch, root / victim, home, number)
            attacker.active = True
            try:
                build(root, *NEW)
            except ProblemsError:
                pass
            finally:
                attacker.active = False
        assert state(home) == before, number
        if attacker.calls < number:
            return
    raise AssertionError
