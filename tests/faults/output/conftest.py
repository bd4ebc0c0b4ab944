"""A platform of 24 Releases in two states, each compiled once, and ways to get from one to the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.output.driver import Driver, RunResult
from tests.support.small_platform import write_cluster
from tests.support.workspace import Outcome, Workspace, files_below, kcd_gen

REPOSITORY = Path(__file__).resolve().parents[3]
BUILD = ("build", "--offline", "--source", "sources", "--output", "out", "--vendor", "layout")


@dataclass(frozen=True, slots=True)
class Platform:
    """`sources` and `layout` are in `root`, and `output` is their compiled output, a file's content by its path."""

    root: Path
    output: Mapping[str, bytes]

    def checkout(self, directory: Path, before: Platform | None = None) -> Path:
        """Return a copy in `directory`, with the output of `before`, if any."""
        for name in ("sources", "layout"):
            shutil.copytree(self.root / name, directory / name)
        if before:
            shutil.copytree(before.root / "out", directory / "out")
        return directory


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    running = Driver()
    yield running
    running.close()


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The platform with 22 Releases."""
    root = tmp_path_factory.mktemp("old")
    write_cluster(root, releases=24)
    for number in (3, 11):
        (root / f"sources/release{number}.yaml").unlink()
    return _compiled(root)


@pytest.fixture(scope="session")
def new(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The platform with two Releases added and two removed, eight with other charts, six with other parameters."""
    root = tmp_path_factory.mktemp("new")
    write_cluster(root, releases=24, versions=dict.fromkeys(range(8), "2.0.0"))
    for number in (5, 20):
        (root / f"sources/release{number}.yaml").unlink()
    for number in range(6, 12):
        path = root / f"sources/release{number}.yaml"
        path.write_text(path.read_text().replace("replicas: 3", "replicas: 4"))
    return _compiled(root)


@pytest.fixture(scope="session")
def points(tmp_path_factory: pytest.TempPathFactory, driver: Driver, old: Platform, new: Platform) -> int:
    """Return the number of disk changes that an update from `old` to `new` takes."""
    root = new.checkout(tmp_path_factory.mktemp("whole"), old)
    whole = killed(driver, root)
    assert (whole.code, files_below(root / "out")) == (0, new.output), whole.output
    return whole.points


def build(root: Path, *flags: str) -> Outcome:
    """Build in this process."""
    return kcd_gen(*BUILD, *flags, directory=root)


def killed(
    driver: Driver, root: Path, *flags: str, point: int | None = None, seconds: float | None = None
) -> RunResult:
    """Start a build in a separate process that is killed."""
    return driver.run(root, (*BUILD, *flags), point=point, seconds=seconds)


def start(root: Path, *flags: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start the command itself, after the words `before`."""
    return subprocess.Popen(
        [*before, sys.executable, "-m", "kubocd_gen", *BUILD, *flags],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(root: Path, *flags: str, before: Sequence[str] = ()) -> Outcome:
    with start(root, *flags, before=before) as running:
        out, err = running.communicate()
    return Outcome(running.returncode, out, err)


def units(files: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    """Return the groups of files that are replaced together: a chart directory, and every other file by itself."""
    found: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        if not path.startswith(".kcd-gen/.staging/"):
            unit = path.rpartition("/")[0] if path.startswith("hr/") else path
            found.setdefault(unit, {})[path] = content
    return found


def _compiled(root: Path) -> Platform:
    outcome = build(root)
    assert outcome.exit == 0, outcome.text
    return Platform(root, files_below(root / "out"))
