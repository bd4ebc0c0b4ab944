"""What is not read is not removed, and removing most of what there is must be confirmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.charts import commit_all, git
from tests.support.workspace import Workspace, files_below, kcd_gen

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
