"""The examples of the README are what kcd-gen does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n\$ (kcd-gen [^\n]*)\n(.*?)```", README, re.DOTALL)
YAML = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    return tmp_path


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "kubocd_gen", *shlex.split(command)[1:]],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(("command", "printed"), CONSOLE)
def test_a_command_of_the_readme_prints_what_the_readme_says(checkout: Path, command: str, printed: str) -> None:
    assert run(command, checkout) == printed


def test_the_release_and_the_resource_that_the_readme_shows_are_those_of_the_quickstart(checkout: Path) -> None:
    run(CONSOLE[0][0], checkout)
    assert YAML[0] == (checkout / "fixtures/quickstart/cluster/releases/podinfo1.yaml").read_text()
    assert (checkout / "deploy/flux/default/podinfo1.yaml").read_text().endswith(YAML[1])


def test_the_project_file_of_the_readme_is_read(tmp_path: Path) -> None:
    (tmp_path / "kcd-gen.yaml").write_text(YAML[2])
    assert "the source 'clusters/prod' does not exist" in run("kcd-gen build", tmp_path)


def test_the_readme_has_the_two_commands() -> None:
    assert "make demo" in README
    assert "make test" in README
    assert len(CONSOLE) == 2
