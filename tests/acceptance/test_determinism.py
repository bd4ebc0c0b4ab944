"""The same sources give the same bytes: on any machine, in any order, at any time.

File modes and times depend on the machine: Git records neither, and the umask is the user's choice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.workspace import WEB_MANIFEST, Workspace, files_below

NAMES = [f"{letter}{number}" for letter in "abc" for number in range(4)]


def write_sources(workspace: Workspace, names: list[str]) -> None:
    workspace.package(WEB_MANIFEST + "roles: [web]\n")
    for name in names:
        text = f"parameters: {{host: {name}.example.com, replicas: 2}}\ncontexts: [{{name: shared}}]\n"
        workspace.release(name, text, namespace=f"team-{name[0]}")
        workspace.source(
            f"context-{name[0]}.yaml",
            "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Context\n"
            f"metadata: {{name: shared, namespace: team-{name[0]}}}\n"
            "spec: {context: {z: 1, a: {c: 1, b: [3, 1]}}}\n",
        )


def build(
    workspace: Workspace, *flags: str, environment: Mapping[str, str] | None = None, umask: int = 0o022
) -> dict[str, bytes]:
    """Return the output of a build in a new Python process."""
    where = ("--source", "sources", "--output", "output", "--vendor", "packages")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KCD_GEN_")}
    ran = subprocess.run(
        [sys.executable, "-m", "kubocd_gen", "build", *where, *flags],
        cwd=workspace.root,
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), **(environment or {})},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return files_below(workspace.output)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    workspace = Workspace(tmp_path_factory.mktemp("reference"))
    write_sources(workspace, NAMES)
    return build(workspace, "-j", "1", environment={"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"})


def test_the_output_is_independent_of_directory_clock_locale_umask_and_hash_seed(
    reference: Mapping[str, bytes], tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "a directory of another depth" / "é")
    write_sources(workspace, NAMES)
    other = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "4711", "HOME": str(tmp_path)}
    assert build(workspace, "-j", "8", environment=other, umask=0o077) == reference


def test_the_output_is_independent_of_the_order_of_files(reference: Mapping[str, bytes], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_sources(workspace, NAMES[::-1])
    assert build(workspace) == reference


def test_the_output_is_independent_of_the_order_in_a_file(reference: Mapping[str, bytes], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_sources(workspace, NAMES)
    directory = workspace.root / "sources"
    texts = [path.read_text() for path in sorted(directory.iterdir(), reverse=True)]
    shutil.rmtree(directory)
    workspace.source("all.yaml", "---\n".join(texts))
    assert build(workspace) == reference


def test_the_output_is_independent_of_an_earlier_output(reference: Mapping[str, bytes], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_sources(workspace, [*NAMES[:2], "d1"])
    build(workspace)
    (workspace.root / "sources" / "team-d-d1.yaml").unlink()
    (workspace.root / "sources" / "context-d.yaml").unlink()
    write_sources(workspace, NAMES)
    assert build(workspace) == reference


def test_a_second_build_writes_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_sources(workspace, NAMES)
    workspace.build()
    before = {path: path.stat() for path in sorted(workspace.output.rglob("*"))}
    assert workspace.build().out == "12 of 12 Releases compiled; 0 files written, 0 removed, 38 unchanged\n"
    after = {path: path.stat() for path in sorted(workspace.output.rglob("*"))}
    assert {path: (one.st_mtime_ns, one.st_ino) for path, one in after.items()} == {
        path: (one.st_mtime_ns, one.st_ino) for path, one in before.items()
    }
