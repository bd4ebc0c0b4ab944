"""`kcd-gen diff` between two revisions, two directories, of some Releases, and in spite of errors."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.support.charts import commit_all, git
from tests.support.workspace import Outcome, Workspace, kcd_gen

PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
packages: {vendor: packages}
clusters:
- {name: prod, sources: [sources], output: output}
"""


def host(workspace: Workspace, name: str, value: str) -> None:
    workspace.release(name, f"parameters: {{host: {value}}}")


def diff(workspace: Workspace, *flags: str) -> Outcome:
    return kcd_gen("diff", "--offline", *flags, directory=workspace.root)


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    """Two Releases in the commits v1 and v2, and a change in the working tree."""
    workspace.package()
    (workspace.root / "kcd-gen.yaml").write_text(PROJECT)
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    for version in ("v1", "v2"):
        host(workspace, "one", f"{version}.example.com")
        host(workspace, "two", f"{version}.example.com")
        commit_all(workspace.root)
        git(workspace.root, "tag", version)
    host(workspace, "one", "now.example.com")
    return workspace


def test_two_revisions_are_compared(workspace: Workspace) -> None:
    outcome = diff(workspace, "v1..v2")
    assert outcome.exit == 0, outcome.text
    assert "v1.example.com" in outcome.out
    assert "v2.example.com" in outcome.out
    assert "now.example.com" not in outcome.out
    assert "v2 compared with v1: 2 of 2 Releases change" in outcome.out
    assert diff(workspace, "v2..").out == ""
    assert diff(workspace, "v2..v2", "--exit-code").exit == 0
    report = json.loads(diff(workspace, "v1..v2", "--format", "json").out)
    assert (report["revision"]["name"], report["until"]) == ("v1", "v2")


def test_three_dots_compare_with_the_merge_base(workspace: Workspace) -> None:
    git(workspace.root, "stash", "--quiet")
    git(workspace.root, "checkout", "--quiet", "-b", "branch", "v1")
    host(workspace, "one", "branch.example.com")
    commit_all(workspace.root)
    outcome = diff(workspace, "v2...branch")
    assert "branch.example.com" in outcome.out
    assert "v2.example.com" not in outcome.out
    assert "1 of 2 Releases change" in outcome.out


def test_errors_of_the_new_revision_name_it(workspace: Workspace) -> None:
    workspace.release("one", "parameters: {unknown: 1}")
    commit_all(workspace.root)
    git(workspace.root, "tag", "bad")
    outcome = diff(workspace, "v1..bad")
    assert outcome.exit == 1
    assert "bad:sources/default-one.yaml:6:16: error[unknown-parameter]" in outcome.err


def test_a_directory_is_compared(workspace: Workspace) -> None:
    other = workspace.root.parent / f"{workspace.root.name}-other"
    shutil.copytree(workspace.root, other)
    git(other, "checkout", "--quiet", "--", ".")
    outcome = diff(workspace, "--from", str(other))
    assert outcome.exit == 0, outcome.text
    assert "now.example.com" in outcome.out
    assert "1 of 2 Releases changes" in outcome.out
    report = json.loads(diff(workspace, "--from", str(other), "--format", "json").out)
    assert report["revision"]["commit"] is None
    assert "is not a directory" in diff(workspace, "--from", "kcd-gen.yaml").err
    assert "error[missing-project]" in diff(workspace, "--from", "sources").err


def test_only_the_named_releases_are_compared(workspace: Workspace) -> None:
    outcome = diff(workspace, "v1..v2", "two")
    assert "default/two" in outcome.out
    assert "default/one" not in outcome.out
    assert diff(workspace, "default/two").out == ""
    outcome = diff(workspace, "twoo")
    assert outcome.exit == 1
    assert "error[unknown-release]" in outcome.err
    assert "did you mean 'two'?" in outcome.err


def test_errors_of_other_releases_do_not_count(workspace: Workspace) -> None:
    workspace.release("two", "parameters: {unknown: 1}")
    outcome = diff(workspace, "--ref", "v1", "one")
    assert outcome.exit == 0, outcome.text
    assert "now.example.com" in outcome.out


def test_with_keep_going_the_others_are_compared(workspace: Workspace) -> None:
    workspace.release("two", "parameters: {unknown: 1}")
    outcome = diff(workspace, "--keep-going")
    assert outcome.exit == 1
    assert "default/one" in outcome.out
    assert "default/two" not in outcome.out
    assert "error[unknown-parameter]" in outcome.err
    workspace.source("bad.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\na: [")
    (workspace.root / "sources/default-two.yaml").unlink()
    assert "removed" not in diff(workspace, "--keep-going").out  # it can be in the file that can't be read


def test_a_statistic_has_one_line_for_each_release(workspace: Workspace) -> None:
    workspace.release("three")
    (workspace.root / "sources/default-two.yaml").unlink()
    lines = diff(workspace, "--stat").out.splitlines()
    assert lines[:3] == [
        "- default/two   | removed, 1 danger",
        "~ default/one   | 1 value",
        "+ default/three | added",
    ]
    assert len(lines) == 4


def test_clusters_are_named_if_the_project_has_several(workspace: Workspace) -> None:
    more = PROJECT + "- {name: dev, sources: [dev], output: dev-output}\n"
    (workspace.root / "kcd-gen.yaml").write_text(more)
    (workspace.root / "dev").mkdir()
    (workspace.root / "dev/empty.yaml").write_text("# nothing\n")
    assert "prod: default/one" in diff(workspace).out
    assert "prod: default/one" in diff(workspace, "--cluster", "prod").out


@pytest.mark.parametrize("flags", [("v1..v2", "--ref", "v1"), ("--ref", "v1", "--from", "."), ("v1..v2", "v1..")])
def test_only_one_old_side_can_be_given(workspace: Workspace, flags: tuple[str, ...]) -> None:
    outcome = diff(workspace, *flags)
    assert outcome.exit == 2
    assert "cannot be combined" in outcome.err
