"""`build --fail-on-change` by itself; `test_pre_commit` runs it in hooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.charts import git
from tests.support.git_traps import RecordingGit
from tests.support.workspace import Outcome, Workspace, kcd_gen

ADD = "add the output to the commit: git add output\n"


@pytest.fixture
def web(workspace: Workspace) -> Workspace:
    workspace.release("web")
    return workspace


@pytest.fixture
def committed(web: Workspace) -> Workspace:
    """A repository that contains a Release and its output."""
    assert web.build().exit == 0
    git(web.root, "init", "-q")
    git(web.root, "add", "-A")
    git(web.root, "commit", "-qm", "one")
    return web


def build(workspace: Workspace, *flags: str) -> Outcome:
    return workspace.build("--fail-on-change", *flags)


def test_without_git_written_and_removed_files_count(web: Workspace) -> None:
    assert (build(web).exit, build(web).exit) == (3, 0)
    web.release("other")
    assert build(web).err == ADD
    (web.root / "sources/default-other.yaml").unlink()
    assert (build(web).exit, build(web).exit) == (3, 0)


def test_with_git_untracked_files_count_too(committed: Workspace) -> None:
    assert build(committed).exit == 0
    committed.release("other")
    for _ in range(2):
        outcome = build(committed)
        assert outcome.exit == 3
        assert outcome.err == ADD + (
            "sources/default-other.yaml is a source but not tracked by Git: add it, or move it out of the sources\n"
        )
    git(committed.root, "add", "sources")
    assert build(committed).err == ADD
    git(committed.root, "add", "output")
    assert build(committed).exit == 0


def test_ignored_and_unrelated_files_do_not_count(committed: Workspace) -> None:
    (committed.root / ".gitignore").write_text("/output/hr/\n")
    git(committed.root, "rm", "-rq", "--cached", "output/hr")
    (committed.output / "flux/mine.yaml").write_text("mine\n")
    (committed.root / "sources/notes.yaml").write_text("a: 1\n")
    assert build(committed).exit == 0


def test_with_check_it_asks_git_and_writes_nothing(committed: Workspace) -> None:
    git(committed.root, "rm", "-q", "--cached", "output/flux/default/web.yaml")
    assert committed.build("--check").exit == 0
    outcome = build(committed, "--check")
    assert (outcome.exit, outcome.err) == (3, ADD)
    committed.release("web", "parameters: {replicas: 3}\n")
    outcome = build(committed, "--check")
    assert outcome.exit == 3
    command = outcome.out.splitlines()[-1].partition("run: ")[2]
    assert "build" in command
    assert "--fail-on-change" not in command
    assert "replicas: 3" not in (committed.output / "flux/default/web.yaml").read_text()


def test_errors_come_first(committed: Workspace) -> None:
    committed.release("web", "parameters: {replicaz: 3}\n")
    outcome = build(committed)
    assert outcome.exit == 1
    assert "add what" not in outcome.err


def test_the_suggested_command_works_in_the_current_directory(committed: Workspace) -> None:
    (committed.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        "clusters:\n- {name: a, sources: [sources], output: my output}\n"
    )
    below: Path = committed.root / "sources"
    outcome = kcd_gen("build", "--offline", "--fail-on-change", directory=below)
    suggested = outcome.err.rpartition("git add ")[2].strip()
    assert outcome.exit == 3
    git(committed.root, "add", "--", str(below / suggested.strip("'")))
    assert kcd_gen("build", "--offline", "--fail-on-change", directory=below).exit == 0


@pytest.mark.parametrize("style", ["json", "github"])
def test_reports_stay_complete(committed: Workspace, style: str) -> None:
    committed.release("other")
    outcome = build(committed, "--format", style)
    assert outcome.exit == 3
    assert ADD in outcome.err
    assert "add what" not in outcome.out


def test_built_output_that_is_not_staged_counts(committed: Workspace) -> None:
    committed.release("web", "parameters: {replicas: 3}\n")
    git(committed.root, "add", "sources")
    assert build(committed).exit == 3
    assert build(committed).err == ADD
    git(committed.root, "add", "--intent-to-add", "output")
    assert build(committed).err == ADD
    git(committed.root, "add", "output")
    assert build(committed).exit == 0


def test_removed_output_that_is_not_staged_counts(committed: Workspace) -> None:
    committed.release("other")
    assert committed.build().exit == 0
    git(committed.root, "add", "-A")
    (committed.root / "sources/default-other.yaml").unlink()
    assert committed.build("--allow-removals", "1").exit == 0
    git(committed.root, "add", "sources", "output/flux/kustomization.yaml", "output/.kcd-gen/shared.list")
    assert build(committed).err == ADD
    git(committed.root, "add", "output")
    assert build(committed).exit == 0


def test_sources_that_are_not_staged_count(committed: Workspace) -> None:
    context = "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Context\nmetadata: {name: c, namespace: kubocd}\n"
    committed.source("c.yaml", f"{context}spec: {{context: {{a: 1}}}}\n")
    committed.release("web", "parameters: {replicas: 3}\n")
    assert committed.build().exit == 0
    git(committed.root, "add", "output")
    outcome = build(committed, "--check")
    assert outcome.exit == 3
    assert outcome.err.endswith(
        "sources/c.yaml is a source but not tracked by Git: add it, or move it out of the sources\n"
        "sources/default-web.yaml is a source with changes that are not staged: add or stash them\n"
    )


def test_the_repository_that_contains_the_output_is_queried(committed: Workspace) -> None:
    git(committed.root, "rm", "-rq", "--cached", "output")
    git(committed.root, "commit", "-qm", "two")
    git(committed.output, "init", "-q")
    outcome = build(committed)
    assert (outcome.exit, outcome.err) == (3, "add the output to a commit: git -C output add .\n")
    git(committed.output, "add", ".")
    assert build(committed).exit == 0


def test_without_an_answer_of_git_it_fails(committed: Workspace, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("bin")
    foreign = RecordingGit(directory / "git", GIT_TEST_ASSUME_DIFFERENT_OWNER="1").path
    for environment in ({"PATH": foreign}, {"PATH": str(directory)}):
        for flags in ((), ("--check",)):
            outcome = committed.build("--fail-on-change", *flags, environment=environment)
            assert outcome.exit == 1
            assert ".: error[git-failed]: cannot determine whether the output is committed: git " in outcome.err
    assert "safe.directory" in committed.build("--fail-on-change", environment={"PATH": foreign}).err
    report = committed.build("--fail-on-change", "--format", "json", environment={"PATH": foreign})
    assert [one["code"] for one in json.loads(report.out)["diagnostics"]] == ["git-failed"]


@pytest.mark.parametrize("damage", ["index", "HEAD", "worktree"])
def test_in_a_damaged_repository_it_fails(committed: Workspace, damage: str) -> None:
    if damage == "worktree":
        (committed.root / ".git").rename(committed.root / ".moved")
        (committed.root / ".git").write_text("gitdir: .gone\n")
    else:
        (committed.root / ".git" / damage).write_text("x")
    for flags in ((), ("--check",)):
        outcome = build(committed, *flags)
        assert outcome.exit == 1
        assert "error[git-failed]: cannot determine whether " in outcome.err
