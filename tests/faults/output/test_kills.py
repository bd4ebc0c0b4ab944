"""SIGKILL at any moment: every file on disk is old or new, never partial, and the next build completes the update."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
import yaml

from tests.faults.output.conftest import Platform, build, killed, start, units
from tests.faults.output.driver import STAGING, Driver
from tests.support.thorough import count
from tests.support.workspace import files_below, kcd_gen

pytestmark = pytest.mark.slow

_POINTS = count(4, 36)  # of the disk changes of a build, and
_MOMENTS = count(2, 12)  # in time


def assert_old_or_new(out: Path, old: Platform, new: Platform) -> None:
    before, after, found = units(old.output), units(new.output), units(files_below(out))
    for unit in before.keys() | after.keys() | found.keys():
        assert found.get(unit) in (before.get(unit), after.get(unit)), unit
    listed = yaml.safe_load((out / "flux/kustomization.yaml").read_text())["resources"]
    assert [path for path in listed if not (out / "flux" / path).is_file()] == []


def assert_completed(root: Path, old: Platform, new: Platform) -> bool:
    """Check that a killed build left a consistent output, which is reported and repaired.

    Returns True if the build was interrupted while writing.
    """
    out = root / "out"
    assert_old_or_new(out, old, new)
    interrupted = (out / STAGING).exists()
    if not interrupted:
        assert files_below(out) in (old.output, new.output)
    checked = build(root, "--check")
    assert checked.exit == (0 if files_below(out) == new.output and not interrupted else 3), checked.text
    assert ("an earlier build was interrupted" in checked.out) == interrupted, checked.text
    completed = build(root)
    assert completed.exit == 0, completed.text
    assert files_below(out) == new.output
    assert not (out / ".kcd-gen/.staging").exists()
    assert {path for path in out.rglob("*") if path.is_dir() and not any(path.iterdir())} == set()
    return interrupted


def test_a_build_killed_at_any_disk_change_is_completed(
    tmp_path: Path, driver: Driver, old: Platform, new: Platform, points: int
) -> None:
    chance = random.Random(24)  # noqa: S311 (the same points in each run, so that a failure can be seen again)
    assert points > 72
    interrupted = 0
    for point in sorted(chance.sample(range(1, points + 1), _POINTS)):
        root = new.checkout(tmp_path / str(point), old)
        ended = killed(driver, root, point=point)
        assert ended.code == -signal.SIGKILL, (point, ended)
        interrupted += assert_completed(root, old, new)
    assert interrupted > _POINTS / 2


PROJECT = """
apiVersion: kcd-gen/v1alpha1
kind: Project
packages: {vendor: layout}
clusters: [{name: prod, sources: [sources], output: out}]
"""


def test_a_build_killed_at_any_moment_is_completed(
    tmp_path: Path, driver: Driver, old: Platform, new: Platform
) -> None:
    root = new.checkout(tmp_path / "whole", old)
    started = time.monotonic()
    assert killed(driver, root).code == 0
    took = time.monotonic() - started
    for number in range(_MOMENTS):
        root = new.checkout(tmp_path / str(number), old)
        killed(driver, root, seconds=random.uniform(0, took))  # noqa: S311
        assert_completed(root, old, new)


@pytest.mark.parametrize("seconds", [0.2, 0.45])
def test_a_killed_command_is_completed(
    tmp_path: Path, driver: Driver, old: Platform, new: Platform, seconds: float
) -> None:
    root = new.checkout(tmp_path, old)
    with start(root) as running:
        time.sleep(seconds)
        running.kill()
    assert_completed(root, old, new)


def test_a_completion_that_is_killed_is_completed(
    tmp_path: Path, driver: Driver, old: Platform, new: Platform, points: int
) -> None:
    for point in (points // 2, points * 3 // 4)[: count(1, 2)]:
        for second in (5, 40):
            root = new.checkout(tmp_path / f"{point}-{second}", old)
            killed(driver, root, point=point)
            killed(driver, root, point=second)
            assert_completed(root, old, new)


def test_files_of_a_killed_build_are_ignored_by_git(
    tmp_path: Path, driver: Driver, old: Platform, new: Platform, points: int
) -> None:
    root = new.checkout(tmp_path, old)
    killed(driver, root, point=points // 2)
    assert (root / "out" / STAGING / ".gitignore").read_text() == "*\n"


def test_a_build_that_completes_another_reports_it(
    tmp_path: Path, driver: Driver, old: Platform, new: Platform, points: int
) -> None:
    root = new.checkout(tmp_path / "killed", old)
    killed(driver, root, point=points * 2 // 3)
    assert "note[interrupted-output]: a build was interrupted" in build(root, "--check").err
    (root / "kcd-gen.yaml").write_text(PROJECT)
    elsewhere = kcd_gen("build", "--check", "--offline", "--project", "killed/kcd-gen.yaml", directory=tmp_path)
    assert "\nkilled/out: note[interrupted-output]" in f"\n{elsewhere.err}"
    (root / "kcd-gen.yaml").unlink()
    assert "note[interrupted-output]: an earlier build was interrupted while writing" in build(root).err
    assert "interrupted" not in build(root).err
