from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.paths import shown_path
from kubocd_gen.output.plan import OutputFile, ReleaseOutput, plan_output
from tests.support.outputs import build, codes, contents, failed, kustomization, planned, release, times


def paths(changes: object) -> set[str]:
    assert isinstance(changes, tuple)
    return {change.path for change in changes}


def test_a_first_plan_creates_everything_and_writes_nothing(tmp_path: Path) -> None:
    plan = planned(tmp_path / "deploy", release("web"))
    assert not plan.is_clean
    assert paths(plan.with_change("created")) == {
        ".kcd-gen/default/web.list",
        ".kcd-gen/shared.list",
        "flux/default/web.yaml",
        "flux/kustomization.yaml",
        "hr/default/web/chart-1.0.0.tgz",
        "hr/default/web/index.yaml",
        "hr/default/web/library-0.1.0.tgz",
    }
    assert contents(tmp_path) == {}


def test_a_plan_contains_the_content_before_and_after(tmp_path: Path) -> None:
    build(tmp_path, release("web"))
    change, record = sorted(
        planned(tmp_path, release("web", replicas=2)).with_change("updated"), key=lambda one: one.is_record
    )
    assert record.is_record
    assert change.path == "flux/default/web.yaml"
    assert b"replicas: 1" in (change.before or b"")
    assert b"replicas: 2" in (change.after or b"")


def test_unchanged_sources_need_no_change(tmp_path: Path) -> None:
    build(tmp_path, release("web"), release("db"))
    plan = planned(tmp_path, release("web"), release("db"))
    assert plan.is_clean
    assert len(plan.with_change("unchanged")) == 12


def test_an_edited_file_is_compiled_again(tmp_path: Path) -> None:
    build(tmp_path, release("web"))
    (tmp_path / "flux/default/web.yaml").write_text("edited")
    assert paths(planned(tmp_path, release("web")).with_change("updated")) == {"flux/default/web.yaml"}


def test_the_files_of_a_removed_release_are_removed(tmp_path: Path) -> None:
    build(tmp_path, release("web"), release("db"))
    plan = planned(tmp_path, release("web"))
    assert paths(plan.with_change("removed")) == {
        ".kcd-gen/default/db.list",
        "flux/default/db.yaml",
        "hr/default/db/chart-1.0.0.tgz",
        "hr/default/db/index.yaml",
        "hr/default/db/library-0.1.0.tgz",
    }
    assert plan.resources()["default", "db"][1].change == "removed"
    assert list(plan.removed_releases()) == [("default", "db")]
    assert "name: kcd-db" in plan.removed_releases()["default", "db"]


def test_the_old_chart_is_removed_when_the_version_changes(tmp_path: Path) -> None:
    build(tmp_path, release("web"))
    assert paths(planned(tmp_path, release("web", version="2.0.0")).with_change("removed")) == {
        "hr/default/web/chart-1.0.0.tgz"
    }


def test_a_failed_release_keeps_its_written_files(tmp_path: Path) -> None:
    build(tmp_path, release("web"), release("db"))
    assert planned(tmp_path, release("web"), failed("db")).is_clean


def test_a_failed_release_that_was_never_written_has_no_files(tmp_path: Path) -> None:
    assert planned(tmp_path, failed("db")).changes == ()


def test_a_suspended_release_replaces_files_and_keeps_the_rest(tmp_path: Path) -> None:
    build(tmp_path, release("web"))
    build(tmp_path, release("web", version="2.0.0", keep=True))
    assert (tmp_path / "hr/default/web/chart-1.0.0.tgz").exists()
    assert (tmp_path / "hr/default/web/chart-2.0.0.tgz").exists()
    build(tmp_path, release("web", version="2.0.0"))
    assert not (tmp_path / "hr/default/web/chart-1.0.0.tgz").exists()


def test_an_unread_source_blocks_every_removal(tmp_path: Path) -> None:
    build(tmp_path, release("web"), release("db"))
    plan = planned(tmp_path, release("web", version="2.0.0"), complete=False)
    assert plan.with_change("removed") == ()
    assert "flux/kustomization.yaml" in paths(plan.with_change("unchanged"))
    # Remaining files are still owned, so the next complete build removes them.
    build(tmp_path, release("web", version="2.0.0"), complete=False)
    assert "flux/default/db.yaml" in paths(planned(tmp_path, release("web")).with_change("removed"))


@pytest.mark.parametrize("path", ["flux/default/web.yaml", "hr/default/web/index.yaml", "flux/kustomization.yaml"])
def test_a_file_that_kcd_gen_did_not_write_is_never_replaced(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("mine")
    with pytest.raises(ProblemsError) as caught:
        planned(tmp_path, release("web"))
    assert (caught.value.problem.code, str(caught.value.problem.position)) == (
        "foreign-file",
        shown_path(tmp_path / path),
    )


@pytest.mark.parametrize("long", [True, False])
def test_without_inventories_only_files_that_differ_are_refused(tmp_path: Path, long: bool) -> None:
    build(tmp_path, release("web"), release("db"))
    shutil.rmtree(tmp_path / ".kcd-gen")
    assert len(paths(planned(tmp_path, release("web"), release("db")).with_change("created"))) == 3  # the inventories
    index = tmp_path / "hr/default/web/index.yaml"
    index.write_bytes(bytes(len(index.read_bytes())) if long else b"")
    with pytest.raises(ProblemsError) as caught:
        planned(tmp_path, release("web"), release("db"))
    assert (caught.value.problem.code, str(caught.value.problem.position)) == ("foreign-file", shown_path(index))
    assert caught.value.problem.hint is not None
    assert "restore .kcd-gen/" in caught.value.problem.hint


def test_all_foreign_files_are_reported(tmp_path: Path) -> None:
    build(tmp_path, release("db"))
    for name in ("web", "api"):
        (tmp_path / f"flux/default/{name}.yaml").write_text("mine")
    with pytest.raises(ProblemsError) as caught:
        planned(tmp_path, release("web"), release("api"), release("db"))
    assert [error.code for error in caught.value.problems] == ["foreign-file"] * 2


@pytest.mark.parametrize("path", ["flux", "flux/default", "hr/default/web", ".kcd-gen/default"])
def test_a_file_in_place_of_a_directory_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("mine")
    with pytest.raises(ProblemsError) as caught:
        planned(tmp_path, release("web"))
    assert codes(caught.value) == {"foreign-file"}


def test_a_directory_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flux/default/web.yaml").mkdir(parents=True)
    with pytest.raises(ProblemsError, match=r"web\.yaml'") as caught:
        planned(tmp_path, release("web"))
    assert codes(caught.value) == {"foreign-file"}
    assert str(caught.value.problem.position) == shown_path(tmp_path / "flux/default/web.yaml")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "flux",
        "flux/default",
        "flux/default/web.yaml",
        "hr/default",
        "hr/default/web",
        ".kcd-gen",
        ".kcd-gen/default",
    ],
)
def test_a_symlink_in_the_output_is_refused(tmp_path: Path, path: str) -> None:
    root, elsewhere = tmp_path / "deploy", tmp_path / "elsewhere"
    build(root, release("web"))
    (root / path).rename(elsewhere)
    (root / path).symlink_to(elsewhere)
    before = contents(elsewhere) if elsewhere.is_dir() else {}
    for releases in ([release("web", version="2.0.0", replicas=2)], []):
        with pytest.raises(ProblemsError) as caught:
            planned(root, *releases)
        assert "symlinked-output" in codes(caught.value)
    assert before == (contents(elsewhere) if elsewhere.is_dir() else {})


def test_an_inventory_affects_only_files_of_its_own_release(tmp_path: Path) -> None:
    build(tmp_path / "deploy", release("web"))
    outside, neighbor = tmp_path / "precious", tmp_path / "deploy/flux/default/mine.yaml"
    for precious in (outside, neighbor):
        precious.write_text("mine")
    record = tmp_path / "deploy/.kcd-gen/default/web.list"
    record.write_text(
        f"{outside}\n../precious\nflux/../../precious\nflux/default/mine.yaml\nhr/default/web/../../../../precious\n"
        "hr/default/web/\nhr/default/web\n.\n\n.git/config\n<<<<<<< HEAD\nflux/default/web.yaml\n=======\n"
    )
    assert paths(planned(tmp_path / "deploy").with_change("removed")) == {
        ".kcd-gen/default/web.list",
        ".kcd-gen/shared.list",
        "flux/default/web.yaml",
        "flux/kustomization.yaml",
    }


def test_other_files_next_to_the_inventories_are_ignored(tmp_path: Path) -> None:
    build(tmp_path, release("web"))
    for stray in (".kcd-gen/README", ".kcd-gen/default/.web.list.swp", ".kcd-gen/default/notes"):
        (tmp_path / stray).write_text("flux/default/web.yaml\n")
    assert planned(tmp_path, release("web")).is_clean


def test_a_plan_reports_the_resources_of_each_release(tmp_path: Path) -> None:
    build(tmp_path, release("web"))
    resources = planned(tmp_path, release("web", replicas=2), release("db", namespace="data")).resources()
    assert [(one.kind, one.name, one.path, one.change) for one in resources["default", "web"]] == [
        ("HelmRepository", "kcd-web", "flux/default/web.yaml", "unchanged"),
        ("HelmRelease", "web-main", "flux/default/web.yaml", "updated"),
    ]
    assert {one.change for one in resources["data", "db"]} == {"created"}


def test_planning_writes_nothing(tmp_path: Path) -> None:
    build(tmp_path, release("web"))
    before = times(tmp_path)
    planned(tmp_path, release("db"))
    assert times(tmp_path) == before


@pytest.mark.parametrize(
    "path", ["flux/default/other.yaml", "hr/default/web/../x", "hr/default/web/a/b", "../x", "flux/x.yaml"]
)
def test_a_path_that_does_not_belong_to_its_release_is_a_defect(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        plan_output(tmp_path, [ReleaseOutput("default", "web", (OutputFile(path, b""),))], kustomization, complete=True)


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deploy").write_text("mine")
    with pytest.raises(ProblemsError, match="deploy'") as caught:
        planned(tmp_path / "deploy", release("web"))
    assert codes(caught.value) == {"foreign-file"}
    assert str(caught.value.problem.position) == shown_path(tmp_path / "deploy")


def test_positions_in_the_output_are_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flux").write_text("mine")
    with pytest.raises(ProblemsError, match="'flux'") as caught:
        planned(tmp_path, release("web"))
    assert codes(caught.value) == {"foreign-file"}
    assert str(caught.value.problem.position) == "flux"


def test_branches_that_change_different_releases_merge_without_conflict(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        subprocess.run(
            ["git", *identity, *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            env={"PATH": os.environ["PATH"]},
        )

    git("init")
    build(tmp_path, release("a"), release("b"), release("c"))
    git("add", ".")
    git("commit", "-m", "base")
    git("checkout", "-b", "one")
    build(tmp_path, release("a", version="2.0.0"), release("b"), release("c"))
    git("add", ".")
    git("commit", "-m", "one")
    git("checkout", "main")
    build(tmp_path, release("a"), release("b"), release("c", version="3.0.0"))
    git("add", ".")
    git("commit", "-m", "two")
    git("merge", "one")
    assert planned(tmp_path, release("a", version="2.0.0"), release("b"), release("c", version="3.0.0")).is_clean
