"""Conflicts that Git leaves in files that kcd-gen writes next to the output."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.checkout.conflicts import both_sides
from tests.support.quickstart import QUICKSTART, write_packages
from tests.support.workspace import WEB, Workspace, kcd_gen

OTHER = "registry.example.com/demo/other:2.0.0"
THIRD = "registry.example.com/demo/third:3.0.0"


def git(root: Path, *arguments: str) -> int:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "core.fsync=none"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, capture_output=True, check=False).returncode


@pytest.fixture
def merged(workspace: Workspace) -> Workspace:
    """Two branches, each of which added a package to the lock file and to the vendor layout, after their merge."""
    for name in (WEB, OTHER, THIRD):
        workspace.package(reference=name)
    root = workspace.root

    def add(release: str, package: str) -> None:
        workspace.release(release, package=package)
        assert workspace.run("lock", "--offline").exit == 0
        assert run(workspace, "vendor")[0] == 0
        git(root, "add", "-A")
        assert git(root, "commit", "-qm", release) == 0

    shutil.copytree(root / "packages", root / "vendor")  # `vendor` needs a registry only for missing blobs
    (root / "vendor/index.json").write_text('{"schemaVersion": 2, "manifests": []}\n')
    git(root, "init", "-q", "-b", "main")
    (root / ".gitignore").write_text("/packages/\n/.cache/\n")
    add("web", WEB)
    git(root, "switch", "-qc", "other")
    add("other", OTHER)
    git(root, "switch", "-q", "main")
    add("third", THIRD)
    assert git(root, "merge", "-q", "other") == 1
    assert "<<<<<<< " in (root / "vendor/index.json").read_text()
    return workspace


def run(workspace: Workspace, command: str, *flags: str) -> tuple[int, str, str]:
    where = ("--source", "sources", "--output", "output", "--vendor", "vendor")
    outcome = kcd_gen(command, *where, "--offline", *flags, directory=workspace.root)
    return outcome.exit, outcome.out, outcome.err


def test_vendor_resolves_a_conflict_in_the_index(merged: Workspace) -> None:
    git(merged.root, "checkout", "--ours", "kcd-gen.lock")
    before = (merged.root / "vendor/index.json").read_text()
    code, _, err = run(merged, "build")
    assert code == 1
    line = before.splitlines().index("<<<<<<< HEAD") + 1
    assert f"vendor/index.json:{line}:1: error[bad-layout]: index.json has an unresolved merge conflict\n" in err
    assert "    run 'kcd-gen vendor', which writes the index of the vendor layout again\n" in err
    assert (merged.root / "vendor/index.json").read_text() == before
    assert run(merged, "vendor")[0] == 0
    index = json.loads((merged.root / "vendor/index.json").read_text())
    names = [one["annotations"]["org.opencontainers.image.ref.name"] for one in index["manifests"]]
    assert names == [OTHER, THIRD, WEB]  # OTHER is not locked yet: it is kept, because its blobs exist
    assert run(merged, "lock")[0] == 0
    assert run(merged, "vendor")[1] == "3 packages in vendor\n"
    assert run(merged, "build", "--locked")[0] == 0


def test_entries_without_blobs_are_dropped(merged: Workspace) -> None:
    git(merged.root, "checkout", "--ours", "kcd-gen.lock")
    text = (merged.root / "vendor/index.json").read_text()
    digests = {one.split('"')[3] for one in text.splitlines() if '"digest"' in one}
    assert digests
    for digest in digests:
        (merged.root / "vendor/blobs/sha256" / digest.removeprefix("sha256:")).unlink()
    code, _, err = run(merged, "vendor")
    assert code in (1, 4)
    assert "network" in err or "offline" in err
    assert json.loads((merged.root / "vendor/index.json").read_text())["manifests"] == []


def test_entries_of_other_tools_are_kept(merged: Workspace) -> None:
    git(merged.root, "checkout", "--ours", "kcd-gen.lock")
    path = merged.root / "vendor/index.json"
    entry = next(one for one in read(path.read_text()) if one["annotations"])
    other = {**entry, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    path.write_text(path.read_text().replace('"manifests": [', f'"manifests": [{json.dumps(other)},'))
    assert run(merged, "vendor")[0] == 0
    assert other in json.loads(path.read_text())["manifests"]


def read(text: str) -> list[dict[str, Any]]:
    """Return the entries of the first side of a merged index."""
    found: list[dict[str, Any]] = json.loads(both_sides(text)[0])["manifests"]
    return found


def test_a_conflict_in_the_schema_for_editors_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    write_packages(tmp_path / "packages")
    (tmp_path / "cluster/podinfo1.yaml").write_text((QUICKSTART / "cluster/releases/podinfo1.yaml").read_text())
    command = ("schema", "sources", "--source", "cluster", "--vendor", "packages", "--offline", "--output", "s.json")
    assert kcd_gen(*command, directory=tmp_path).exit == 0
    written = (tmp_path / "s.json").read_text()
    (tmp_path / "s.json").write_text(written.replace("\n", "\n<<<<<<< HEAD\n=======\n>>>>>>> x\n", 1))
    assert kcd_gen(*command, directory=tmp_path).exit == 0
    assert (tmp_path / "s.json").read_text() == written
