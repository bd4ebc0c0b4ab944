"""`make demo`: what it installs, and what it shows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_compiles_the_quickstart_and_shows_what_was_created(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, str(ROOT / "fixtures/quickstart/tour.py"), str(tmp_path / "output")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "podinfo1-main" in done.stdout
    assert (tmp_path / "output/flux/default/podinfo1.yaml").is_file()


# Instead of installing, it records what make asks pip for.
PYTHON = """\
#!/bin/sh
case "$2" in
  pip) echo "$@" >>"$PIP_LOG"; echo "Collecting click>=8.1 (from kcd-gen)"; echo "Installing collected packages: click"
       exit "${PIP_EXIT:-0}";;
  compileall) ;;
  *) exec REAL "$@";;
esac
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment whose pip installs nothing."""

    root: Path

    def make(self, *targets: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PIP_LOG": str(self.root / "pip.log")}
        settings = [f"VENV={self.root / 'venv'}", f"DEMO={self.root / 'demo'}", f"PYTHON={sys.executable}"]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        environment = {**clean, **own, **(variables or {})}
        command = ["make", *settings, *targets]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def installed(self) -> list[str]:
        """Return what pip was asked to install, in order."""
        log = self.root / "pip.log"
        return [line.split()[-1] for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.replace("REAL", sys.executable))
    python.chmod(0o755)
    return Environment(tmp_path)


def test_the_demo_installs_only_what_it_needs_and_shows_its_progress(environment: Environment) -> None:
    done = environment.make("demo")
    assert done.returncode == 0, done.stderr
    assert environment.installed() == ["."]
    assert "podinfo1-main" in done.stdout
    progress = ["  click", "Unpacking them", "Compiling fixtures/quickstart"]
    assert [line for line in done.stderr.splitlines() if not line.startswith("Installing")] == progress
    assert environment.make("demo").returncode == 0
    assert environment.installed() == ["."]


def test_the_tools_are_installed_after_the_demo(environment: Environment) -> None:
    everything = f"{environment.root}/venv/.installed"
    assert environment.make("demo").returncode == 0
    assert environment.make(everything).returncode == 0
    assert environment.installed() == [".", ".[dev,docs]"]
    assert environment.make("demo", everything).returncode == 0
    assert len(environment.installed()) == 2


def test_the_demo_needs_nothing_else_after_the_tools(environment: Environment) -> None:
    assert environment.make(f"{environment.root}/venv/.installed").returncode == 0
    assert environment.make("demo").returncode == 0
    assert environment.installed() == [".[dev,docs]"]


def test_a_failed_installation_is_repeated(environment: Environment) -> None:
    assert environment.make("demo", variables={"PIP_EXIT": "1"}).returncode == 2
    assert environment.make("demo").returncode == 0
    assert environment.installed() == [".", "."]
