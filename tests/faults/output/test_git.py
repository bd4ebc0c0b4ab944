"""An output in Git: a build repairs whatever a merge of branches leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.images import chart_archive, package_layer, write_layout
from tests.support.workspace import WEB, WEB_MANIFEST, Workspace, files_below

_NAMES = ("api", "cache", "mail", "queue", "search", "web")


@pytest.fixture
def web(workspace: Workspace) -> Workspace:
    """Six Releases, built and committed on `main`."""
    use_chart(workspace, "1.0.0")
    for name in _NAMES:
        workspace.release(name)
    git(workspace.root, "init", "-q", "-b", "main")
    commit(workspace, "one")
    return workspace


def git(directory: Path, *arguments: str, check: bool = True) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.excludesFile="]
    environment = {"HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=check).stdout


def use_chart(workspace: Workspace, version: str) -> None:
    """Replace the package's chart with this version."""
    meta = f"apiVersion: v2\nname: web\nversion: {version}\n"
    status = f"apiVersion: v1alpha1\nchartByModule:\n  main: {{name: web, version: {version}}}\n"
    charts = {f"web-{version}.tgz": chart_archive({"web/Chart.yaml": meta.encode()})}
    shutil.rmtree(workspace.root / "packages", ignore_errors=True)
    write_layout(workspace.root / "packages", {WEB: package_layer(WEB_MANIFEST, status, charts)})


def commit(workspace: Workspace, message: str) -> None:
    assert workspace.build().exit == 0
    git(workspace.root, "add", "-A")
    git(workspace.root, "commit", "-qm", message)


def merged(workspace: Workspace, one: Callable[[], None], other: Callable[[], None]) -> list[str]:
    """Merge two branches of `main`, each with a change and a build; return the files in conflict."""
    for branch, change in (("one", one), ("other", other)):
        git(workspace.root, "checkout", "-q", "-b", branch, "main")
        change()
        commit(workspace, branch)
    git(workspace.root, "merge", "-q", "one", check=False)
    return git(workspace.root, "diff", "--name-only", "--diff-filter=U").split()


def assert_resolved(workspace: Workspace) -> None:
    """Check that a build restores the output of a build from scratch, and that `--check` accepts it."""
    outcome = workspace.build()
    assert outcome.exit == 0, outcome.text
    built = files_below(workspace.output)
    assert workspace.build("--check").exit == 0
    shutil.rmtree(workspace.output)
    assert workspace.build().exit == 0
    assert built == files_below(workspace.output)


@pytest.mark.parametrize(("first", "second"), [("alpha", "zeta"), ("cache2", "search2"), ("mail2", "queue2")])
def test_branches_that_add_releases_at_different_positions_merge(web: Workspace, first: str, second: str) -> None:
    assert merged(web, lambda: web.release(first), lambda: web.release(second)) == []
    outcome = web.build("--check")
    assert (outcome.exit, outcome.err) == (0, "")  # and the merged list is not taken for a manual edit
    assert_resolved(web)


def test_branches_that_add_releases_at_one_position_only_conflict_in_the_list(web: Workspace) -> None:
    conflicts = merged(web, lambda: web.release("new1"), lambda: web.release("new2"))
    assert conflicts == ["output/flux/kustomization.yaml"]
    outcome = web.build("--check")
    assert outcome.exit == 3
    assert "contains a merge conflict; a build overwrites it" in outcome.err
    assert_resolved(web)


def test_a_union_merge_avoids_conflicts_in_lists(web: Workspace) -> None:
    web.root.joinpath(".gitattributes").write_text("output/flux/kustomization.yaml merge=union\n")
    git(web.root, "add", "-A")
    git(web.root, "commit", "-qm", "attributes")
    assert merged(web, lambda: web.release("new1"), lambda: web.release("new2")) == []
    text = (web.output / "flux/kustomization.yaml").read_text()
    assert "- default/new1.yaml\n" in text
    assert "- default/new2.yaml\n" in text
    assert_resolved(web)


def test_branches_that_remove_and_add_merge(web: Workspace) -> None:
    def remove() -> None:
        (web.root / "sources/default-cache.yaml").unlink()

    assert merged(web, remove, lambda: web.release("zeta")) == []
    assert web.build("--check").exit == 0
    assert not (web.output / "hr/default/cache").exists()


@pytest.mark.parametrize("taken", [None, "--ours", "--theirs"])
def test_a_conflict_in_one_release_is_resolved_by_a_build(web: Workspace, taken: str | None) -> None:
    """Both branches change its parameters and take different charts; the source is merged by hand."""

    def change(version: str, replicas: int) -> Callable[[], None]:
        def apply() -> None:
            use_chart(web, version)
            web.release("web", f"parameters: {{replicas: {replicas}}}\n")

        return apply

    conflicts = merged(web, change("2.0.0", 2), change("3.0.0", 3))
    assert "output/flux/default/web.yaml" in conflicts
    assert "output/.kcd-gen/default/web.list" in conflicts
    if taken:
        git(web.root, "checkout", taken, "--", "output", check=False)
    change("2.0.0", 5)()
    outcome = web.build()
    assert outcome.exit == 0, outcome.text
    git(web.root, "add", "-A")
    git(web.root, "commit", "-qm", "merged")
    if taken is None:
        assert_resolved(web)
    assert web.build("--check").exit == 0


def test_a_release_removed_in_one_branch_and_changed_in_the_other_is_resolved(web: Workspace) -> None:
    def remove() -> None:
        (web.root / "sources/default-web.yaml").unlink()

    merged(web, remove, lambda: web.release("web", "parameters: {replicas: 7}\n"))
    (web.root / "sources/default-web.yaml").unlink()
    assert_resolved(web)
    assert not (web.output / "flux/default/web.yaml").exists()


def test_a_release_added_differently_by_two_branches_is_resolved(web: Workspace) -> None:
    merged(
        web,
        lambda: web.release("new", "parameters: {replicas: 2}\n"),
        lambda: web.release("new", "parameters: {replicas: 3}\n"),
    )
    web.release("new", "parameters: {replicas: 4}\n")
    assert_resolved(web)


def test_a_release_renamed_in_one_branch_and_changed_in_the_other_is_resolved(web: Workspace) -> None:
    def rename() -> None:
        (web.root / "sources/default-web.yaml").unlink()
        web.release("website")

    merged(web, rename, lambda: web.release("web", "parameters: {replicas: 7}\n"))
    for path in (web.root / "sources").glob("default-web*.yaml"):
        path.unlink()
    web.release("website", "parameters: {replicas: 7}\n")
    assert_resolved(web)


def test_lost_records_are_rewritten(web: Workspace) -> None:
    shutil.rmtree(web.output / ".kcd-gen")
    assert web.build("--check").exit == 3
    assert_resolved(web)
    assert git(web.root, "status", "--porcelain") == ""


def test_empty_directories_are_removed_with_the_last_release_of_a_namespace(web: Workspace) -> None:
    for path in (web.root / "sources").iterdir():
        path.unlink()
    web.release("other", namespace="elsewhere")
    assert web.build("--allow-removals", "all").exit == 0
    left = ["elsewhere", "kustomization.yaml", "namespaces.yaml"]
    assert sorted(path.name for path in (web.output / "flux").iterdir()) == left
    assert [path.name for path in (web.output / "hr").iterdir()] == ["elsewhere"]
    assert sorted(path.name for path in (web.output / ".kcd-gen").iterdir()) == ["elsewhere", "shared.list"]
