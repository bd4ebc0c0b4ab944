"""Disks that are full, read-only, or fail half-way: the output stays unchanged, and the message gives the reason.

Faults that need a mount or a file attribute are tested where the machine allows it; full disks and missing permissions
also have a test that needs neither.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubocd_gen.state import store
from tests.faults.output.conftest import BUILD, Platform, build, run
from tests.faults.output.driver import Driver
from tests.support.workspace import files_below

pytestmark = pytest.mark.slow

# Root can write anywhere; without these capabilities it is an ordinary user who owns the files.
_UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner") if os.geteuid() == 0 else ()

Mount = Callable[..., None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Return a function that runs `mount`; its last argument is the mount point, which is unmounted at the end."""
    mounted: list[str] = []

    def call(*arguments: str) -> None:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
        if done.returncode and os.geteuid():
            pytest.skip("only root can mount")
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        if "remount" not in arguments[1]:
            mounted.append(arguments[-1])

    yield call
    store._recent.clear()  # a build in this process keeps the file of its state open
    gc.collect()
    for target in reversed(mounted):
        subprocess.run(["umount", target], check=True)


def state(out: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        path: (content, (out / path).stat().st_mtime_ns, (out / path).stat().st_ino)
        for path, content in files_below(out).items()
    }


@pytest.mark.parametrize("spare", [0, 8, 25, 40, 400])
def test_a_full_disk_leaves_the_output_unchanged(
    tmp_path: Path, old: Platform, new: Platform, mount: Mount, spare: int
) -> None:
    (tmp_path / "out").mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path / "out"))
    old.checkout(tmp_path / "first")
    (tmp_path / "first/out").symlink_to(tmp_path / "out")
    assert build(tmp_path / "first", "--output", str(tmp_path / "out")).exit == 0
    before = state(tmp_path / "out")
    disk = os.statvfs(tmp_path / "out")
    with (tmp_path / "out/ballast").open("wb") as ballast:
        ballast.write(bytes((disk.f_bfree - spare) * disk.f_bsize))
    root = new.checkout(tmp_path / "second")
    outcome = build(root, "--output", str(tmp_path / "out"))
    after = state(tmp_path / "out")
    after.pop("ballast")
    if outcome.exit == 0:
        assert spare == 400
        assert files_below(tmp_path / "out").keys() - {"ballast"} == new.output.keys()
        return
    assert spare < 400
    assert "error[unwritable-output]" in outcome.err
    assert "No space left on device" in outcome.err
    assert "free disk space" in outcome.err
    assert after == before
    (tmp_path / "out/ballast").unlink()
    assert build(root, "--output", str(tmp_path / "out")).exit == 0
    assert files_below(tmp_path / "out") == new.output


@pytest.mark.parametrize("limit", [200, 1000])
def test_a_file_size_limit_leaves_the_output_unchanged(
    tmp_path: Path, driver: Driver, old: Platform, new: Platform, limit: int
) -> None:
    root = new.checkout(tmp_path, old)
    before = state(root / "out")
    ended = driver.run(root, (*BUILD, "--quiet"), limit=limit)  # its output goes to a file, too
    assert ended.code == 1, ended.output
    assert "out: error[unwritable-output]" in ended.output
    assert "File too large" in ended.output
    assert state(root / "out") == before
    assert build(root).exit == 0


def test_a_read_only_output_is_an_error(tmp_path: Path, old: Platform, new: Platform, mount: Mount) -> None:
    root = new.checkout(tmp_path, old)
    mount("--bind", str(root / "out"), str(root / "out"))
    mount("-o", "remount,ro,bind", str(root / "out"))
    outcome = build(root)
    assert outcome.exit == 1
    assert "error[unwritable-output]" in outcome.err
    assert "Read-only file system" in outcome.err
    assert "choose another output; this file system is read-only" in outcome.err
    assert build(root, "--check").exit == 3
    assert files_below(root / "out") == old.output
    assert build(old.checkout(tmp_path / "other"), "--check", "--output", str(root / "out")).exit == 0


def test_an_up_to_date_output_needs_no_write_permission(tmp_path: Path, old: Platform) -> None:
    root = old.checkout(tmp_path, old)
    directories = [path for path in (root / "out", *(root / "out").rglob("*")) if path.is_dir()]
    for directory in directories:
        directory.chmod(0o555)
    try:
        assert run(root, before=_UNPRIVILEGED).exit == 0
    finally:
        for directory in directories:
            directory.chmod(0o755)


@pytest.mark.parametrize("directory", [".", ".kcd-gen", ".kcd-gen/apps", "flux", "flux/apps", "hr/apps"])
def test_a_directory_without_write_permission_leaves_the_output_unchanged(
    tmp_path: Path, old: Platform, new: Platform, directory: str
) -> None:
    """All but the first two are only found when much has already been moved."""
    root = new.checkout(tmp_path, old)
    before = state(root / "out")
    (root / "out" / directory).chmod(0o555)
    outcome = run(root, before=_UNPRIVILEGED)
    (root / "out" / directory).chmod(0o755)
    if directory == ".":  # only what is deeper inside it changes
        assert outcome.exit == 0
        return
    assert outcome.exit == 1, outcome.text
    assert "error[unwritable-output]" in outcome.err
    assert "Permission denied" in outcome.err
    assert "error[unwritable-output]" in outcome.err
    assert state(root / "out") == before
    assert build(root).exit == 0
    assert files_below(root / "out") == new.output


def test_an_update_that_fails_half_way_is_undone(tmp_path: Path, old: Platform, new: Platform) -> None:
    root = new.checkout(tmp_path, old)
    before = state(root / "out")
    stubborn = root / "out/flux/apps/release9.yaml"
    if subprocess.run(["chattr", "+i", stubborn], capture_output=True, check=False).returncode:
        pytest.skip("no file can be made immutable here")
    try:
        outcome = build(root)
    finally:
        subprocess.run(["chattr", "-i", stubborn], check=True)
    assert outcome.exit == 1
    assert "out/flux/apps/release9.yaml: error[unwritable-output]" in outcome.err
    assert "Operation not permitted" in outcome.err
    assert state(root / "out") == before
    assert build(root).exit == 0
    assert files_below(root / "out") == new.output


def test_an_output_in_a_lower_layer_of_an_overlay_is_an_error(
    tmp_path: Path, old: Platform, new: Platform, mount: Mount
) -> None:
    # A container's disk can be an overlayfs, on which no other overlayfs can be mounted.
    mount("-t", "tmpfs", "tmpfs", str(tmp_path))
    layers = [tmp_path / name for name in ("upper", "work", "out")]
    for directory in layers:
        directory.mkdir()
    below = old.checkout(tmp_path / "below", old) / "out"
    options = f"lowerdir={below},upperdir={layers[0]},workdir={layers[1]},redirect_dir=off"
    mount("-t", "overlay", "-o", options, "overlay", str(layers[2]))
    root = new.checkout(tmp_path / "new")
    outcome = build(root, "--output", str(layers[2]))
    assert outcome.exit == 1, outcome.text
    assert "error[unwritable-output]" in outcome.err
    assert "Invalid cross-device link" in outcome.err
    assert "cp -a" in outcome.err
    assert files_below(layers[2]) == old.output
    shutil.copytree(layers[2], root / "out")
    assert build(root).exit == 0
