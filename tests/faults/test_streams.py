"""Standard streams that are closed or full: kcd-gen does its work or reports an error, and never calls it a defect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workspace import Workspace

FULL = Path("/dev/full")
BUILD = ("build", "--offline", "--source", "sources", "--output", "output", "--vendor", "packages")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.package()
    workspace.release("web")
    return workspace


def run(root: Path, redirections: str, *arguments: str, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    """Run kcd-gen with redirections of the shell."""
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "XDG_CACHE_HOME": str(root / ".cache")}
    command = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "kubocd_gen", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("redirections", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_build_with_closed_streams_writes_the_same_output(redirections: str, workspace: Workspace) -> None:
    done = run(workspace.root, redirections, *BUILD)
    assert done.returncode == 0, done.stderr
    assert (workspace.output / "flux/default/web.yaml").read_bytes().startswith(b"---\napiVersion: ")
    assert run(workspace.root, "", *BUILD, "--check").stdout == "output is up to date\n"


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("--version",), ("version",), ("--help",), (*BUILD, "-v"), ("cache", "list")])
def test_a_full_standard_output_is_an_error(arguments: tuple[str, ...], unbuffered: str, workspace: Workspace) -> None:
    done = run(workspace.root, f">{FULL}", *arguments, unbuffered=unbuffered)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "error: cannot write to standard output: No space left on device"


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", [("build", "--nonsense"), ("build", "--source", "missing", "--output", "out")])
def test_a_full_standard_error_is_an_error(arguments: tuple[str, ...], workspace: Workspace) -> None:
    assert run(workspace.root, f"2>{FULL}", *arguments).returncode == 1


def test_what_the_encoding_lacks_is_escaped(workspace: Workspace) -> None:
    workspace.source("é.yaml", "kind: Release\napiVersion: kubocd.kubotal.io/v1alpha1\nspec: [")
    done = run(workspace.root, "", *BUILD, unbuffered="1")
    assert "é.yaml" in done.stderr
    environment = {**os.environ, "PYTHONIOENCODING": "iso8859-7"}
    command = [sys.executable, "-m", "kubocd_gen", *BUILD]
    done = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=False)
    assert "\\xe9.yaml" in done.stderr
