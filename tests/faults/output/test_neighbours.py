"""Interference with a build: another build, editors, clocks, other people's files, and names that differ in case."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from kubocd_gen.checkout.discovery import read_source
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import ProblemsError
from tests.faults.output.conftest import BUILD, REPOSITORY, Platform, build, run, start
from tests.support.images import chart_archive, package_layer, write_layout
from tests.support.thorough import count
from tests.support.workspace import WEB, WEB_MANIFEST, Workspace, files_below, kcd_gen

pytestmark = pytest.mark.slow

_CLOCKS = {"1970": 0, "before 1970": -86_400 * 365, "2038": 2**31 + 5, "2106": 2**32 + 5, "2400": 13_569_465_600}


def test_two_builds_at_once(tmp_path: Path, old: Platform, new: Platform) -> None:
    for number in range(count(1, 3)):
        root = new.checkout(tmp_path / str(number), old)
        both = [start(root), start(root)]
        errors = [running.communicate()[1] for running in both]
        assert [running.returncode for running in both] == [0, 0], errors
        assert files_below(root / "out") == new.output


def test_concurrent_builds_of_different_sources_leave_one_of_the_outputs(
    tmp_path: Path, old: Platform, new: Platform
) -> None:
    shared = tmp_path / "out"
    for number in range(count(1, 3)):
        roots = [one.checkout(tmp_path / f"{number}-{index}") for index, one in enumerate((old, new))]
        both = [start(root, "--output", str(shared)) for root in roots]
        errors = [running.communicate()[1] for running in both]
        assert [running.returncode for running in both] == [0, 0], errors
        assert files_below(shared) in (old.output, new.output)


def test_a_build_that_waits_for_another_reports_it(tmp_path: Path, old: Platform, new: Platform) -> None:
    root = new.checkout(tmp_path, old)
    other = os.open(root / "out", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with start(root) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "waiting for another kcd-gen process that writes to out\n"
        assert files_below(root / "out") == old.output
        os.close(other)
        running.communicate()
    assert running.returncode == 0
    assert files_below(root / "out") == new.output


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source with many Releases."""
    path = tmp_path / "releases.yaml"
    path.write_text("---\nkind: Release # kubocd.kubotal.io\n" * 1000)
    return path


class Unsettled:
    """A source that is half written each of the first `times` it is opened; a read completes it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> None:
        self.left = times
        whole, real = path.read_bytes(), CheckoutFiles.open

        def opened(files: CheckoutFiles, this: Path, display: str) -> Any:
            file = real(files, this, display)
            if this == path and self.left:
                self.left -= 1
                path.write_bytes(whole[: len(whole) // 2])
                return _Writing(file, path, whole)
            return file

        monkeypatch.setattr(CheckoutFiles, "open", opened)


class _Writing:
    """A file whose second half is written once the first is read."""

    def __init__(self, file: Any, path: Path, whole: bytes) -> None:
        self._file, self._path, self._whole = file, path, whole

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        return int(self._file.fileno())

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        with open(self._path, "wb") as file:  # noqa: PTH123 (the other open is the one that is watched)
            file.write(self._whole)
        return bytes(data)


def test_a_source_that_changes_as_it_is_read_is_read_again(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = source.read_text()
    Unsettled(monkeypatch, source, 2)
    read = read_source(source, "releases.yaml", [b"kubocd.kubotal.io"])
    assert read is not None
    assert read.text == whole


def test_a_source_that_never_stops_changing_is_an_error(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Unsettled(monkeypatch, source, 1000)
    with pytest.raises(ProblemsError, match="changed each time") as caught:
        read_source(source, "releases.yaml", [b"kubocd.kubotal.io"])
    assert caught.value.problem.code == "unreadable-source"


@pytest.mark.parametrize("seconds", _CLOCKS.values(), ids=_CLOCKS)
def test_file_times_have_no_influence(tmp_path: Path, old: Platform, new: Platform, seconds: int) -> None:
    root = new.checkout(tmp_path, old)
    for path in (path for directory in ("sources", "layout", "out") for path in (root / directory).rglob("*")):
        try:
            os.utime(path, (seconds, seconds))
        except OverflowError:
            pytest.skip("this file system does not support this time")
    assert build(root).exit == 0
    assert files_below(root / "out") == new.output
    kept = {path: path.stat().st_mtime_ns for path in (root / "out").rglob("*")}
    assert build(root).exit == 0
    assert {path: path.stat().st_mtime_ns for path in (root / "out").rglob("*")} == kept


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, old: Platform, new: Platform) -> None:
    """Every call returns some time between 1970 and 2500, earlier or later than the last one."""
    root = new.checkout(tmp_path, old)
    jumping = (
        "import itertools, sys, time, runpy\njumps = itertools.cycle([0.0, 16e9, 1e9, 4294967301.0, -5.0])\n"
        "time.time = lambda: next(jumps)\ntime.time_ns = lambda: int(time.time() * 1e9)\n"
        "sys.argv[0] = 'kcd-gen'\nrunpy.run_module('kubocd_gen', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", jumping, *BUILD],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert files_below(root / "out") == new.output


def test_charts_that_differ_only_in_case_are_refused(workspace: Workspace) -> None:
    named = "\n  main: {name: web, version: 1.0.0}\n  other: {name: Web, version: 1.0.0}\n"
    charts = {}
    for name in ("web", "Web"):
        meta = f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n"
        charts[f"{name}-1.0.0.tgz"] = chart_archive({f"{name}/Chart.yaml": meta.encode()})
    module = WEB_MANIFEST[WEB_MANIFEST.index("  - name: main") :].replace("name: main", "name: other")
    layer = package_layer(WEB_MANIFEST + module, f"apiVersion: v1alpha1\nchartByModule:{named}", charts)
    write_layout(workspace.root / "packages", {WEB: layer})
    workspace.release("web")
    outcome = workspace.build()
    assert outcome.exit == 1
    assert "contains 'Web-1.0.0.tgz' twice" in outcome.err
    assert not workspace.output.exists()


def test_a_release_and_a_namespace_have_no_capital_letters(workspace: Workspace) -> None:
    workspace.package()
    for name, namespace in (("web", "shop"), ("Web", "shop"), ("web", "Shop")):
        workspace.release(name, namespace=namespace)
    outcome = workspace.build()
    assert outcome.exit == 1
    assert "must be an RFC 1123 subdomain, not 'Web'" in outcome.err
    assert "not 'Shop'" in outcome.err


def test_outputs_that_differ_only_in_case_are_refused(workspace: Workspace) -> None:
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters:\n"
        "- {name: one, sources: [one], output: deploy/prod}\n- {name: two, sources: [two], output: deploy/Prod}\n"
    )
    outcome = kcd_gen("build", directory=workspace.root)
    assert outcome.exit == 1
    assert "error[duplicate-cluster]" in outcome.err


# The build runs in a separate process, because an audit hook can't be removed and slows everything that follows. It
# writes the names of opened files, in whatever directory, and of listed directories.
_WATCHED = """
import json, os, sys
from pathlib import Path
from kubocd_gen.cli import main

opened, listed, watched = set(), set(), True

def hook(event, arguments):
    if not watched or event not in ("open", "os.scandir", "os.listdir"):
        return
    if event == "open":
        opened.add(Path(arguments[0]).name if isinstance(arguments[0], str) else "")
    else:
        listed.add(os.path.realpath(f"/dev/fd/{arguments[0]}" if isinstance(arguments[0], int) else arguments[0]))

found = Path(sys.argv[1])
sys.argv = ["kcd-gen", *sys.argv[2:]]
sys.addaudithook(hook)
code = 0
try:
    main()
except SystemExit as ended:
    code = ended.code
watched = False
found.write_text(json.dumps([sorted(opened), sorted(listed)]))
sys.exit(code)
"""


def test_directories_not_owned_by_kcd_gen_are_not_walked(tmp_path: Path, old: Platform, new: Platform) -> None:
    root = new.checkout(tmp_path, old)
    foreign = [root / "out/docs", root / "out/flux/other", root / "out/hr/other", root / "out/hr/apps/mine"]
    for directory in foreign:
        directory.mkdir(parents=True)
        for number in range(2500):
            (directory / f"{number}.yaml").write_text("")
    found = tmp_path / "found.json"
    command = [sys.executable, "-c", _WATCHED, str(found), *BUILD]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    opened, listed = map(set, json.loads(found.read_text()))
    assert {"out", "flux", "apps"} <= opened
    assert str(root / "out/.kcd-gen/apps") in listed
    assert not opened & {directory.name for directory in foreign}
    assert not listed & {str(directory) for directory in foreign}
    assert files_below(root / "out").items() >= new.output.items()
    assert sum(len(list(directory.iterdir())) for directory in foreign) == 10_000


def test_the_command_needs_no_writable_home_or_cache(tmp_path: Path, old: Platform, new: Platform) -> None:
    root = new.checkout(tmp_path, old)
    assert run(root).exit == 0
    assert sorted(path.name for path in root.iterdir()) == ["layout", "out", "sources"]
