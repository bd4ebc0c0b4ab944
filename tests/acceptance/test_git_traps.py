"""A hostile checkout prepared for git, and commits that expand: commands run nothing from it, and they end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.charts import commit_all, git
from tests.support.git_traps import (
    RecordingGit,
    blob,
    commit_tree,
    look_like_a_repository,
    tree,
    tree_bomb,
)
from tests.support.workspace import Outcome, Workspace, kcd_gen

PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
packages: {vendor: packages}
clusters:
- {name: prod, sources: [sources], output: output}
"""
FLAGS = ("--source", "sources", "--vendor", "packages", "--offline")


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    """A committed project in `clusters/prod` of a repository."""
    top = workspace.root / "repository"
    below = Workspace(top / "clusters/prod")
    below.root.mkdir(parents=True)
    shutil.copytree(workspace.root / "packages", below.root / "packages")
    below.release("web")
    (below.root / "kcd-gen.yaml").write_text(PROJECT)
    git(top, "init", "--quiet", "--initial-branch=main")
    commit_all(top)
    return below


def top(project: Workspace) -> Path:
    return project.root.parents[1]


def diff(project: Workspace, ref: str, *flags: str) -> Outcome:
    return kcd_gen("diff", "--ref", ref, *(flags or FLAGS), directory=project.root)


@pytest.mark.parametrize("path", [".", "../..", "sources", "../../clusters"])
def test_a_directory_that_looks_like_a_repository_runs_nothing(project: Workspace, tmp_path: Path, path: str) -> None:
    look_like_a_repository(project.root / path, tmp_path / "mark")
    git(top(project), "add", "--all")
    git(top(project), "commit", "--quiet", "--message", "hostile")
    project.release("web", "parameters: {replicas: 3}")
    outcome = kcd_gen("diff", "--offline", "--ref", "HEAD", directory=project.root)
    assert (outcome.exit, outcome.out.splitlines()[0]) == (0, "~ default/web")
    assert "error[unknown-revision]" in diff(project, "0123456789" * 4).err
    for command in (["build", "--fail-on-change"], ["build", "--check", "--fail-on-change"]):
        outcome = kcd_gen(*command, "--offline", directory=project.root)
        assert (outcome.exit, outcome.err.splitlines()[0]) == (3, "add the output to the commit: git add output")
    assert kcd_gen("init", directory=project.root).exit == 0
    assert not (tmp_path / "mark").exists()


def test_a_tree_bomb_among_the_sources_exceeds_a_limit_of_the_run(project: Workspace) -> None:
    store = top(project)
    bomb = tree_bomb(store, 9)
    sources = tree(store, [(b"bomb", "40000", bomb)])
    root = tree(
        store,
        [(b"clusters", "40000", tree(store, [(b"prod", "40000", tree(store, [(b"sources", "40000", sources)]))]))],
    )
    commit_tree(store, root, "bomb")
    outcome = diff(project, "bomb", *FLAGS, "--limit", "files=5000")
    assert outcome.exit == 1
    assert "error[run-limit]: the sources have more files and directories than this run's limit of 5000" in outcome.err


def test_a_tree_bomb_outside_the_sources_costs_nothing(project: Workspace) -> None:
    store = top(project)
    clusters = git(store, "rev-parse", "HEAD:clusters").strip()
    entries = [(b"bomb", "40000", tree_bomb(store, 9)), (b"clusters", "40000", clusters)]
    commit_tree(store, tree(store, entries), "bomb")
    outcome = diff(project, "bomb", *FLAGS, "--limit", "files=5000")
    assert (outcome.exit, outcome.err) == (0, "")


def test_objects_that_cannot_be_checked_out_are_named(project: Workspace) -> None:
    store = top(project)
    deep = tree(store, [(b"x.yaml", "100644", blob(store, b"a: 1\n"))])
    for _ in range(200):
        deep = tree(store, [(b"d", "40000", deep)])
    for sources, expected in (
        (tree(store, [(b"d", "40000", deep)]), "over the limit of 128 directories"),
        (tree(store, [(b"d", "40000", blob(store, b"x"))]), "expected a directory"),
        (tree(store, [(b"x.yaml", "100644", deep)]), "expected a file"),
        (tree(store, [(b"x", "120000", blob(store, b"a/" * 4_000))]), "is too long"),
    ):
        nested = tree(store, [(b"sources", "40000", sources)])
        commit_tree(store, tree(store, [(b"clusters", "40000", tree(store, [(b"prod", "40000", nested)]))]), "x")
        outcome = diff(project, "x")
        assert outcome.exit == 1
        assert "error[unreadable-revision]: this " in outcome.err
        assert expected in outcome.err


def test_a_submodule_is_not_read_through_a_symlink(project: Workspace, tmp_path: Path) -> None:
    other = tmp_path / "private"
    other.mkdir()
    shutil.copy(project.root / "sources/default-web.yaml", other / "third.yaml")
    git(other, "init", "--quiet", "--initial-branch=main")
    commit_all(other)
    commit = git(other, "rev-parse", "HEAD").strip()
    store = top(project)
    nested = tree(store, [(b"sources", "40000", tree(store, [(b"inner", "160000", commit)]))])
    commit_tree(store, tree(store, [(b"clusters", "40000", tree(store, [(b"prod", "40000", nested)]))]), "x")
    (project.root / "sources/inner").symlink_to(other)
    outcome = diff(project, "x")
    assert outcome.exit == 1
    assert "inner: error[unreadable-revision]: this submodule is not checked out" in outcome.err


def test_a_git_lfs_pointer_is_followed_only_to_a_regular_file(project: Workspace) -> None:
    path = project.root / "sources/default-web.yaml"
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 100\n"
    path.write_text(pointer)
    commit_all(top(project))
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "this is a Git LFS pointer, and the file's content is not available" in diff(project, "HEAD").err


def test_every_command_runs_git_through_the_wrapper(project: Workspace, tmp_path: Path) -> None:
    recording = RecordingGit(tmp_path / "bin")
    chart = tmp_path / "chart"
    chart.mkdir()
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.0.0\n")
    git(chart, "init", "--quiet", "--initial-branch=main")
    commit_all(chart)
    (tmp_path / "manifest.yaml").write_text(
        "apiVersion: v1alpha1\ntype: Package\nname: p\ntag: 1.0.0\nmodules:\n"
        f"- {{name: main, source: {{git: {{url: 'file://{chart}', branch: main, path: .}}}}}}\n"
    )
    environment = {"PATH": recording.path, "GITHUB_TOKEN": "s3cret", "GIT_DIR": "/nowhere", "GIT_PAGER": "false"}
    package = ("package", "../manifest.yaml", "--repo-prefix", "localhost:1/x", "--output", "../layout")
    shutil.copy(tmp_path / "manifest.yaml", project.root.parent / "manifest.yaml")
    for command in (
        ("diff", "--offline", "--ref", "HEAD"),
        ("build", "--offline", "--fail-on-change"),
        ("init",),
        package,
    ):
        outcome = kcd_gen(*command, directory=project.root, environment=environment)
        assert outcome.exit in (0, 3), outcome.err
    wanted = {"cat-file", "rev-parse", "ls-files", "check-ignore", "init", "fetch"}
    for arguments, variables, _ in recording.calls():
        assert "safe.bareRepository=explicit" in arguments
        assert not {"GITHUB_TOKEN", "GIT_DIR", "GIT_PAGER"} & set(variables)
        wanted -= set(arguments)
    assert not wanted
