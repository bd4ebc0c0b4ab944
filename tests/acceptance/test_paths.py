"""Paths in text are relative to the current directory, and those in reports for programs to the project."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.charts import commit_all, git
from tests.support.workspace import Workspace, kcd_gen

PROJECT = (
    "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
    "clusters:\n- {name: a, sources: [sources], output: output}\n"
)
PATH = re.compile(r"(?:(?:\.\./)|[\w.-])[\w./-]*?[\w-]+\.(?:yaml|lock|json)")


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    """A project in a directory of a repository, with committed output, and another directory next to it."""
    made = Workspace(workspace.root / "project", workspace.layers)
    made.root.mkdir()
    made.package()
    made.release("web")
    (workspace.root / "other").mkdir()
    (made.root / "kcd-gen.yaml").write_text(PROJECT)
    assert kcd_gen("lock", "--offline", directory=made.root).exit == 0
    assert kcd_gen("build", "--offline", directory=made.root).exit == 0
    git(workspace.root, "init", "--quiet", "--initial-branch=main")
    (workspace.root / ".gitignore").write_text(".cache\n")
    commit_all(workspace.root)
    return made


def breaking(project: Workspace) -> None:
    project.release("web", "parameters: {replicaz: 3}\n")


def drifting(project: Workspace) -> None:
    project.release("web", "parameters: {replicas: 3}\n")
    (project.output / "flux/default/web.yaml").write_text("edited\n")


def untracked(project: Workspace) -> None:
    project.release("new")


def unlocked(project: Workspace) -> None:
    (project.root / "kcd-gen.lock").unlink()


def damaged(project: Workspace) -> None:
    (project.root / "packages/index.json").write_text("{")


CASES = {
    "a problem": (breaking, ("build", "--offline"), "sources/default-web.yaml"),
    "a finding": (breaking, ("lint", "--offline"), "sources/default-web.yaml"),
    "a difference": (drifting, ("build", "--offline", "--check"), "output/flux/default/web.yaml"),
    "a missing file": (untracked, ("build", "--offline", "--fail-on-change"), "sources/default-new.yaml"),
    "a layout": (damaged, ("build", "--offline"), "packages/index.json"),
    "a lock": (unlocked, ("lock", "--check", "--offline"), "kcd-gen.lock"),
    "a missing lock": (unlocked, ("vendor", "--offline"), "kcd-gen.lock"),
    "a comparison": (breaking, ("diff", "--offline", "--ref", "HEAD"), "sources/default-web.yaml"),
}


@pytest.mark.parametrize("where", ["project/sources", "other", "."])
@pytest.mark.parametrize(("change", "command", "path"), CASES.values(), ids=CASES)
def test_every_path_in_text_can_be_opened_from_the_current_directory(
    project: Workspace, where: str, change: object, command: tuple[str, ...], path: str
) -> None:
    assert callable(change)
    change(project)
    directory = project.root.parent / where
    flags = () if where == "project/sources" else ("--project", str(project.root / "kcd-gen.yaml"))
    outcome = kcd_gen(*command, *flags, directory=directory)
    assert outcome.exit != 0
    text = (outcome.out + outcome.err).partition("run: kcd-gen")[0]
    shown = {(directory / found).resolve() for found in PATH.findall(text.replace("a/", "").replace("b/", ""))}
    assert project.root / path in shown, text
    assert str(project.root) not in text


def test_paths_in_reports_for_programs_are_relative_to_the_project(project: Workspace) -> None:
    breaking(project)
    for where in ("project", "project/sources", "other", "."):
        directory = project.root.parent / where
        flags = ("--project", str(project.root / "kcd-gen.yaml"))
        report = json.loads(kcd_gen("build", "--offline", "--format", "json", *flags, directory=directory).out)
        assert {one["path"] for one in report["diagnostics"]} == {"sources/default-web.yaml"}
        sarif = kcd_gen("build", "--offline", "--format", "sarif", *flags, directory=directory).out
        assert '"uri": "project/sources/default-web.yaml"' in sarif


def test_the_revision_is_named_instead_of_temporary_files(project: Workspace) -> None:
    (project.root / "sources/link.yaml").symlink_to("/etc/hostname")
    breaking(project)
    commit_all(project.root)
    (project.root / "sources/link.yaml").unlink()
    project.release("web")
    outcome = kcd_gen("diff", "--offline", "--ref", "HEAD", directory=project.root / "sources")
    assert outcome.exit == 1
    assert "HEAD:project/sources/link.yaml: error" in outcome.err
    assert "kcd-gen-revision" not in outcome.err


@pytest.mark.parametrize("where", ["project/output", "other", "."])
def test_the_suggested_git_command_works_in_the_current_directory(project: Workspace, where: str) -> None:
    directory = project.root.parent / where
    git(project.root.parent, "sparse-checkout", "set", "project/packages", "project/output")
    build = ("build", "--offline", "--check", "--project", str(project.root / "kcd-gen.yaml"))
    outcome = kcd_gen(*build, directory=directory)
    assert outcome.exit == 1
    command = outcome.err.partition("run 'git ")[2].partition("'")[0]
    git(directory, *command.split())
    assert kcd_gen(*build, directory=directory).exit == 0
