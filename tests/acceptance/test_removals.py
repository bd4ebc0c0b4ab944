"""What is not read is not removed, and removing most of what there is must be confirmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.charts import commit_all, git
from tests.support.workspace import Outcome, Workspace, files_below, kcd_gen

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 500\n".encode()


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    """Six Releases, built."""
    workspace.package()
    for number in range(6):
        workspace.release(f"web{number}")
    assert workspace.build().exit == 0
    return workspace


def source(workspace: Workspace, number: int) -> Path:
    return workspace.root / f"sources/default-web{number}.yaml"


@pytest.mark.parametrize(
    ("removed", "flags", "code"),
    [
        (2, (), 0),
        (3, (), 1),
        (3, ("--allow-removals", "2"), 1),
        (3, ("--allow-removals", "3"), 0),
        (6, (), 1),
        (6, ("--keep-going",), 1),
        (6, ("--allow-removals", "5"), 1),
        (6, ("--allow-removals", "6"), 0),
        (6, ("--allow-removals", "all"), 0),
    ],
)
def test_removing_all_or_half_of_the_releases_must_be_confirmed(
    workspace: Workspace, removed: int, flags: tuple[str, ...], code: int
) -> None:
    before = files_below(workspace.output)
    for number in range(removed):
        source(workspace, number).rename(source(workspace, number).with_suffix(".txt"))
    outcome = workspace.build(*flags)
    assert outcome.exit == code, outcome.text
    left = [path for path in files_below(workspace.output) if path.startswith("flux/default/")]
    if code:
        assert "error[mass-removal]" in outcome.err
        assert f"--allow-removals {removed}" in outcome.err
        assert files_below(workspace.output) == before
    else:
        assert len(left) == 6 - removed
        assert f"{6 - removed} of {6 - removed} Releases compiled" in outcome.out


def test_a_renamed_release_is_a_removal(workspace: Workspace) -> None:
    for number in range(6):
        path = source(workspace, number)
        path.write_text(path.read_text().replace(f"name: web{number}", f"name: shop{number}"))
    assert "would remove all 6 Releases" in workspace.build().err


def test_a_single_release_is_all_of_them(workspace: Workspace) -> None:
    for number in range(5):
        source(workspace, number).unlink()
    workspace.build("--allow-removals", "5")
    source(workspace, 5).write_text("")
    assert "would remove the only Release: default/web5" in workspace.build().err
    assert workspace.build("--check").exit == 1


def test_a_number_of_removals_is_a_number_or_all(workspace: Workspace) -> None:
    assert workspace.build("--allow-removals", "-1").exit == 2
    assert workspace.build("--allow-removals", "half").exit == 2


@pytest.mark.parametrize(
    "content",
    [POINTER, b"\0GITCRYPT\0abc", b"\0" * 300, b"\x1f\x8b\x08\0abc"],
    ids=["Git LFS", "git-crypt", "NUL bytes", "gzip"],
)
def test_a_release_whose_file_cannot_be_read_is_not_removed(workspace: Workspace, content: bytes) -> None:
    workspace.run("lock", "--offline")
    before, lock = files_below(workspace.output), (workspace.root / "kcd-gen.lock").read_bytes()
    source(workspace, 0).write_bytes(content)
    outcome = workspace.build("--keep-going")
    assert outcome.exit == 1
    assert "error[unreadable-source]" in outcome.err
    assert files_below(workspace.output) == before
    assert workspace.run("lock", "--offline").exit == 1
    assert (workspace.root / "kcd-gen.lock").read_bytes() == lock
    assert workspace.run("vendor", "--offline", "--prune").exit == 1
    linted = kcd_gen("lint", "--source", "sources", "--vendor", "packages", "--offline", directory=workspace.root)
    assert linted.exit == 1


def outside_the_sparse_checkout(root: Path) -> None:
    git(root, "sparse-checkout", "set", "--no-cone", "/*", "!/sources/default-web0.yaml")


def of_another_group(root: Path) -> None:
    path = root / "sources/default-web0.yaml"
    path.write_text(path.read_text().replace("kubotal.io", "kubotal.com"))


@pytest.mark.parametrize("hide", [outside_the_sparse_checkout, of_another_group])
def test_a_release_that_is_hidden_is_not_removed(workspace: Workspace, hide: Callable[[Path], None]) -> None:
    git(workspace.root, "init", "--quiet")
    commit_all(workspace.root)
    before = files_below(workspace.output)
    hide(workspace.root)
    assert workspace.build("--keep-going").exit == 1
    assert files_below(workspace.output) == before


def test_pruning_most_of_the_vendor_layout_must_be_confirmed(workspace: Workspace) -> None:
    for name in ("a", "b", "c"):
        workspace.package(reference=f"registry.example.com/demo/{name}:1.0.0")
    workspace.run("lock", "--offline")
    refused = workspace.run("vendor", "--offline", "--prune")
    assert (refused.exit, "would remove 3 of 4 packages" in refused.err) == (1, True)
    assert "demo/a:1.0.0" in (workspace.root / "packages/index.json").read_text()
    assert workspace.run("vendor", "--offline", "--prune", "--allow-removals", "3").exit == 0


def project(*outputs: str) -> str:
    clusters = "".join(f"- {{name: c{n}, sources: [sources], output: {one}}}\n" for n, one in enumerate(outputs))
    return f"apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {{vendor: packages}}\nclusters:\n{clusters}"


def build(workspace: Workspace, *outputs: str, flags: tuple[str, ...] = ()) -> Outcome:
    (workspace.root / "kcd-gen.yaml").write_text(project(*outputs))
    return kcd_gen("build", "--offline", *flags, directory=workspace.root)


def test_an_output_without_a_cluster_can_be_pruned(workspace: Workspace) -> None:
    assert build(workspace, "output", "deploy/old").exit == 0
    for path, text in {"deploy/old/README.md": "mine", "deploy/old/server/kustomization.yaml": "kind: x\n"}.items():
        (workspace.root / path).parent.mkdir(exist_ok=True)
        (workspace.root / path).write_text(text)
    outcome = build(workspace, "output")
    assert outcome.exit == 0
    assert "deploy/old: warning[abandoned-output]" in outcome.err
    assert "output of 6 Releases" in outcome.err
    before = files_below(workspace.root / "deploy")
    dry = build(workspace, "output", flags=("--prune-outputs", "--dry-run"))
    assert "would be removed" in dry.err
    assert files_below(workspace.root / "deploy") == before
    outcome = build(workspace, "output", flags=("--prune-outputs",))
    assert (outcome.exit, "removed the output of 6 Releases" in outcome.err) == (0, True)
    assert [*files_below(workspace.root / "deploy/old")] == ["README.md", "server/kustomization.yaml"]
    assert "abandoned-output" not in build(workspace, "output").err


def test_outputs_in_use_are_not_abandoned(workspace: Workspace) -> None:
    other = workspace.root / "other"
    other.mkdir()
    (other / "kcd-gen.yaml").write_text(project("../deploy/theirs", "own"))
    assert build(workspace, "output", "deploy/theirs", "other/own", "third").exit == 0
    outcome = build(workspace, "output", "third", flags=("--cluster", "c0", "--prune-outputs"))
    assert "abandoned-output" not in outcome.err
    assert workspace.build().err == ""  # flags do not say which outputs there are
    (other / "kcd-gen.yaml").write_text("a: [")
    outcome = build(workspace, "output")
    assert "deploy/theirs: warning[abandoned-output]" in outcome.err
    assert "third: warning[abandoned-output]" in outcome.err
    assert "other" not in outcome.err  # nobody knows what that project writes


def test_protected_releases_of_an_abandoned_output_are_not_pruned(workspace: Workspace) -> None:
    workspace.release("safe", "protected: true")
    assert build(workspace, "output", "old").exit == 0
    outcome = build(workspace, "output", flags=("--prune-outputs",))
    assert outcome.exit == 1
    assert "error[protected-removal]" in outcome.err
    assert (workspace.root / "old/flux/default/safe.yaml").exists()
    outcome = build(workspace, "output", flags=("--prune-outputs", "--allow-protected-removal", "safe"))
    assert outcome.exit == 0, outcome.text
    assert not (workspace.root / "old").exists()


def test_nothing_is_pruned_if_a_cluster_has_errors(workspace: Workspace) -> None:
    assert build(workspace, "output", "old").exit == 0
    workspace.source("bad.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nmetadata: {name: x}\n")
    assert build(workspace, "output", flags=("--prune-outputs",)).exit == 1
    assert (workspace.root / "old/flux/default/web0.yaml").exists()
