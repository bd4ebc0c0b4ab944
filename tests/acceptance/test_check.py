"""`build --check` and `--dry-run`: report the differences between output and sources, and write nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.charts import git
from tests.support.workspace import WEB, WEB_MANIFEST, Workspace, files_below, kcd_gen

RESOURCES = "flux/default/web.yaml"


@pytest.fixture
def web(workspace: Workspace) -> Workspace:
    """Two Releases, built."""
    workspace.package()
    workspace.release("web", "parameters: {replicas: 2, host: a.example.com}\n")
    workspace.release("other")
    assert workspace.build().exit == 0
    return workspace


def test_a_fresh_output_is_up_to_date(web: Workspace) -> None:
    outcome = web.build("--check")
    assert (outcome.exit, outcome.out, outcome.err) == (0, "output is up to date\n", "")


def test_a_change_of_the_sources_is_reported_and_nothing_is_written(
    web: Workspace, snapshot: SnapshotAssertion
) -> None:
    web.release("web", "parameters: {replicas: 3, host: a.example.com}\n")
    before = files_below(web.output)
    outcome = web.build("--check")
    assert outcome.exit == 3
    assert outcome.text == snapshot
    assert files_below(web.output) == before


def test_the_suggested_command_fixes_the_drift(web: Workspace) -> None:
    web.release("new")
    command = web.build("--check").out.splitlines()[-1].partition("run: kcd-gen ")[2]
    assert kcd_gen(*command.split(), directory=web.root).exit == 0
    assert web.build("--check").exit == 0


def test_git_applies_the_printed_diff(web: Workspace) -> None:
    git(web.root, "init", "-q")
    web.release("web", "parameters: {replicas: 3, host: b.example.com}\n")
    (web.root / "patch").write_text(web.build("--check").out.rpartition("output: ")[0])
    git(web.root, "apply", "patch")
    assert web.build("--dry-run").out.splitlines()[-1].startswith("2 of 2 Releases compiled; 0 files would be written")


def test_a_manual_edit_is_reported_and_overwritten(web: Workspace, snapshot: SnapshotAssertion) -> None:
    path = web.output / RESOURCES
    compiled = path.read_bytes()
    path.write_bytes(compiled.replace(b"replicas: 2", b"replicas: 5"))
    assert web.build("--check").text == snapshot
    outcome = web.build()
    assert (outcome.exit, path.read_bytes()) == (0, compiled)
    assert "output/flux/default/web.yaml: warning[edited-output]: " in outcome.err


def test_a_manual_edit_of_a_file_to_remove_is_reported(web: Workspace) -> None:
    with (web.output / RESOURCES).open("a") as file:
        file.write("# mine\n")
    (web.root / "sources/default-web.yaml").unlink()
    outcome = web.build("--check")
    assert outcome.exit == 3
    assert "a build removes it" in outcome.err


def test_a_manual_edit_that_matches_the_sources_is_not_reported(web: Workspace) -> None:
    path = web.output / RESOURCES
    path.write_bytes(path.read_bytes().replace(b"replicas: 2", b"replicas: 3"))
    web.release("web", "parameters: {replicas: 3, host: a.example.com}\n")
    assert "edited-output" not in web.build().err


def test_long_diffs_are_cut_unless_requested_in_full(web: Workspace) -> None:
    many = "".join(f"      key{index}: {{{{ .Parameters.replicas }}}}\n" for index in range(500))
    web.package(WEB_MANIFEST + many)
    short, full = web.build("--check"), web.build("--check", "--full-diff")
    assert len(short.out.splitlines()) < 200
    assert "more lines of output/flux/default/web.yaml; use --full-diff" in short.out
    assert len(full.out.splitlines()) > 1000
    assert full.out.splitlines()[-1].endswith(short.out.splitlines()[-1].partition("run: ")[2])


def test_errors_come_before_the_check(web: Workspace) -> None:
    web.release("web", "parameters: {replicaz: 3}\n")
    outcome = web.build("--check")
    assert outcome.exit == 1
    assert "@@" not in outcome.out


def test_quiet_prints_only_the_changed_paths(web: Workspace) -> None:
    assert web.build("--check", "--quiet").out == ""
    web.release("new")
    assert len(web.build("--check", "--quiet").out.splitlines()) == 1


def test_the_report_of_a_check_has_the_changes(web: Workspace) -> None:
    web.release("new")
    outcome = web.build("--check", "--format", "json")
    report = json.loads(outcome.out)
    assert outcome.exit == 3
    changes = {one["name"]: {resource["change"] for resource in one["resources"]} for one in report["releases"]}
    assert changes == {"new": {"created"}, "other": {"unchanged"}, "web": {"unchanged"}}


def test_charts_stored_separately_are_not_compared(web: Workspace) -> None:
    (web.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\ncharts: separate\npackages: {vendor: packages}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    (web.output / "hr/default/web/index.yaml").unlink()
    assert kcd_gen("build", "--check", "--offline", directory=web.root).exit == 0
    assert kcd_gen("build", "--offline", directory=web.root).exit == 0
    assert (web.output / "hr/default/web/index.yaml").exists()


def test_an_interrupted_build_is_drift(web: Workspace) -> None:
    (web.output / ".kcd-gen/.staging/new").mkdir(parents=True)
    outcome = web.build("--check")
    assert outcome.exit == 3
    assert outcome.out.startswith("output: an earlier build was interrupted; run: kcd-gen build ")
    assert web.build().exit == 0
    assert web.build("--check").exit == 0


def test_each_cluster_is_reported(web: Workspace) -> None:
    (web.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        "clusters:\n- {name: prod, sources: [sources], output: output}\n"
        "- {name: test, sources: [sources], output: test}\n"
    )
    lines = kcd_gen("build", "--check", "--offline", directory=web.root).out.splitlines()
    assert lines[0] == "prod: output is up to date"
    assert lines[-1].startswith("test: test: ")


def test_a_dry_run_prints_the_pending_changes(web: Workspace) -> None:
    web.release("new")
    before = files_below(web.output)
    outcome = web.build("--dry-run")
    assert outcome.exit == 0
    assert '  Would create HelmRelease "new-main"' in outcome.out.splitlines()
    assert files_below(web.output) == before


def test_two_builds_in_a_row_leave_git_clean_and_touched_sources_write_nothing(web: Workspace) -> None:
    git(web.root, "init", "-q")
    git(web.root, "add", "-A")
    git(web.root, "commit", "-qm", "one")
    assert web.build().exit == 0
    assert git(web.root, "status", "--porcelain") == ""
    times = {path: path.stat().st_mtime_ns for path in web.output.rglob("*")}
    for path in (web.root / "sources").iterdir():
        path.touch()
    assert web.build().exit == 0
    assert {path: path.stat().st_mtime_ns for path in web.output.rglob("*")} == times


def test_merged_branches_that_change_different_releases_pass_a_check(web: Workspace) -> None:
    git(web.root, "init", "-q", "-b", "main")
    git(web.root, "add", "-A")
    git(web.root, "commit", "-qm", "one")
    for branch, name in (("first", "web"), ("second", "other")):
        git(web.root, "checkout", "-q", "-b", branch, "main")
        web.release(name, f"parameters: {{replicas: {len(name)}}}\n")
        assert web.build().exit == 0
        git(web.root, "add", "-A")
        git(web.root, "commit", "-qm", branch)
    git(web.root, "merge", "-q", "first")
    assert git(web.root, "status", "--porcelain") == ""
    assert web.build("--check").exit == 0


def test_a_check_needs_no_write_permission(web: Workspace) -> None:
    def lock(directory: Path, mode: int) -> None:
        for path in (directory, *directory.rglob("*")):
            if path.is_dir():
                path.chmod(mode)

    web.release("web", package=WEB)
    lock(web.output, 0o555)
    try:
        assert web.build("--check").exit == 3
    finally:
        lock(web.output, 0o755)
