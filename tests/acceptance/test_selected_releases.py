"""`build --release` writes the named Releases and leaves everything else as it is."""

from __future__ import annotations

import pytest

from tests.support.workspace import Workspace, files_below

NEW = "parameters: {host: new.example.com}"


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    """Two Releases, built, and then changed."""
    workspace.package()
    for name in ("one", "two"):
        workspace.release(name)
    assert workspace.build().exit == 0
    for name in ("one", "two"):
        workspace.release(name, NEW)
    return workspace


def changed(workspace: Workspace, before: dict[str, bytes]) -> set[str]:
    after = files_below(workspace.output)
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


@pytest.mark.parametrize("name", ["one", "default/one"])
def test_only_the_named_release_is_written(workspace: Workspace, name: str) -> None:
    before = files_below(workspace.output)
    outcome = workspace.build("--release", name)
    assert outcome.exit == 0, outcome.text
    assert "1 of 1 Release compiled; 1 file written" in outcome.out
    assert changed(workspace, before) == {"flux/default/one.yaml", ".kcd-gen/default/one.list"}
    assert workspace.build("--release", name, "--check").exit == 0
    assert workspace.build("--check").exit == 3


def test_several_releases_can_be_named_and_a_new_one_is_listed(workspace: Workspace) -> None:
    workspace.release("three")
    before = files_below(workspace.output)
    assert workspace.build("--release", "three", "--release", "two").exit == 0
    written = {path for path in changed(workspace, before) if path.startswith("flux/")}
    assert written == {"flux/default/three.yaml", "flux/default/two.yaml", "flux/kustomization.yaml"}
    assert b"default/one.yaml" in (workspace.output / "flux/kustomization.yaml").read_bytes()


def test_errors_of_other_releases_do_not_count(workspace: Workspace) -> None:
    workspace.release("two", "parameters: {unknown: 1}")
    before = files_below(workspace.output)
    outcome = workspace.build("--release", "one")
    assert outcome.exit == 0, outcome.text
    assert "default/two" not in outcome.err
    assert "flux/default/one.yaml" in changed(workspace, before)
    assert workspace.build("--release", "two").exit == 1


def test_a_release_that_is_only_in_the_output_is_removed(workspace: Workspace) -> None:
    (workspace.root / "sources/default-two.yaml").unlink()
    before = files_below(workspace.output)
    outcome = workspace.build("--release", "two")
    assert outcome.exit == 0, outcome.text
    assert {path for path in changed(workspace, before) if path.startswith("flux/")} == {
        "flux/default/two.yaml",
        "flux/kustomization.yaml",
    }


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("ones", "unknown-release", "did you mean 'one'?"),
        ("default/onee", "unknown-release", "did you mean 'default/one'?"),
        ("shared", "ambiguous-release", "use one of: default/shared, other/shared"),
    ],
)
def test_a_name_must_select_a_release(workspace: Workspace, name: str, code: str, hint: str) -> None:
    for namespace in ("default", "other"):
        workspace.release("shared", namespace=namespace)
    before = files_below(workspace.output)
    outcome = workspace.build("--release", name, "--release", "two")
    assert outcome.exit == 1
    assert f"error[{code}]" in outcome.err
    assert hint in outcome.err
    assert files_below(workspace.output) == before
