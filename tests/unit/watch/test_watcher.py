from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from watchfiles import Change, watch

from kubocd_gen.watch import watcher as module
from kubocd_gen.watch.inputs import Watched
from kubocd_gen.watch.scan import Scan, scan
from kubocd_gen.watch.watcher import Watcher
from tests.unit.watch.trees import tree

LONG = 20.0  # seconds for anything that takes a fraction of a second


@pytest.fixture
def only_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn off the scan from time to time, so that only what the system reports is found."""
    monkeypatch.setattr(module, "_PAUSE", 1000.0)


def replace(file: Path, text: str) -> None:
    """Save a file as most editors do."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.replace(file)


class Changes:
    """What a Watcher reports, each with the time."""

    def __init__(self, watcher: Watcher) -> None:
        self.found: list[tuple[float, list[str]]] = []
        self._watcher = watcher
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while not self._ended.is_set():
            found = self._watcher.wait()
            self.found.append((time.monotonic(), found))

    def next(self, count: int = 1) -> list[str]:
        """Wait for another report and return it."""
        end = time.monotonic() + LONG
        while len(self.found) < count:
            assert time.monotonic() < end, "no change was reported"
            time.sleep(0.005)
        return self.found[count - 1][1]


@contextmanager
def watching(what: Watched) -> Iterator[Changes]:
    with Watcher(what) as watcher:
        yield Changes(watcher)


def ready(changes: Changes) -> None:
    """Wait until the directories are watched and the scan after that is over."""
    time.sleep(0.5)
    assert changes.found == []


@pytest.mark.usefixtures("only_events")
@pytest.mark.parametrize("name", ["src/a/one.yaml", "src/a/new.yaml", "src/new/one.yaml", "lock", "gone/one.yaml"])
def test_a_change_is_reported_without_waiting_for_the_next_scan(name: str, tmp_path: Path) -> None:
    tree(tmp_path)
    with watching(Watched((tmp_path / "lock",), tmp_path, ("src", "gone"))) as changes:
        ready(changes)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        replace(tmp_path / name, "text\n")
        assert str(tmp_path / name) in changes.next()


@pytest.mark.usefixtures("only_events")
def test_a_saved_file_is_reported_without_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path)
    with watching(Watched((), tmp_path, ("src",))) as changes:
        ready(changes)
        monkeypatch.setattr(module, "scan", None)  # calling it would fail
        for number in range(10):
            replace(tmp_path / "src/a/one.yaml", f"{number}\n")
            assert changes.next(number + 1) == [str(tmp_path / "src/a/one.yaml")]
            time.sleep(0.05)


def refuse(*_: object, **__: object) -> None:
    raise OSError("no space left on device")  # the error for too many watched directories


def report_nothing(*_: object, stop_event: threading.Event, **__: object) -> list[None]:
    stop_event.wait()
    return []


@pytest.mark.parametrize("system", [refuse, report_nothing])
def test_a_change_that_the_system_does_not_report_is_found(
    system: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.05)
    monkeypatch.setattr(module, "watch", system)
    tree(tmp_path)
    with watching(Watched((), tmp_path, ("src",))) as changes:
        replace(tmp_path / "src/a/one.yaml", "text\n")
        assert changes.next() == [str(tmp_path / "src/a/one.yaml")]


@pytest.mark.usefixtures("only_events")
def test_a_change_before_the_directories_are_watched_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path)

    def late(*paths: str, **settings: object) -> Iterator[set[tuple[Change, str]]]:
        (tmp_path / "src/a/one.yaml").write_text("text\n")
        yield from watch(*paths, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "watch", late)
    with watching(Watched((), tmp_path, ("src",))) as changes:
        assert changes.next() == [str(tmp_path / "src/a/one.yaml")]


@pytest.mark.usefixtures("only_events")
def test_a_change_of_many_files_is_one_report(tmp_path: Path) -> None:
    tree(tmp_path)
    with watching(Watched((), tmp_path, ("src",))) as changes:
        ready(changes)
        for number in range(3000):
            (tmp_path / f"src/a/{number}.yaml").write_text("text\n")
        reported: set[str] = set()
        count = 0
        while len(reported) < 3000:
            count += 1
            reported.update(changes.next(count))
        assert len(changes.found) < 100  # one, unless the machine pauses while the files are written


@pytest.mark.usefixtures("only_events")
def test_nothing_is_reported_while_git_changes_files(tmp_path: Path) -> None:
    tree(tmp_path)
    lock = tmp_path / "index.lock"
    with watching(Watched((), tmp_path, ("src",), lock=lock)) as changes:
        ready(changes)
        lock.touch()
        for name in ("one.yaml", "two.yaml", "three.yaml"):
            (tmp_path / "src/a" / name).write_text("text\n")
            time.sleep(0.5)  # more than the time that files have to be at rest
        assert changes.found == []
        lock.unlink()
        assert len(changes.next()) == 3


@pytest.mark.usefixtures("only_events")
def test_a_lock_that_git_left_over_does_not_stop_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OLD_LOCK", 0.3)
    tree(tmp_path)
    (tmp_path / "index.lock").touch()
    with watching(Watched((), tmp_path, ("src",), lock=tmp_path / "index.lock")) as changes:
        ready(changes)
        replace(tmp_path / "src/a/one.yaml", "text\n")
        assert changes.next() == [str(tmp_path / "src/a/one.yaml")]


@pytest.mark.usefixtures("only_events")
def test_a_file_that_is_deleted_and_created_again_is_one_report(tmp_path: Path) -> None:
    tree(tmp_path)
    file = tmp_path / "src/a/one.yaml"
    with watching(Watched((), tmp_path, ("src",))) as changes:
        ready(changes)
        file.unlink()
        time.sleep(0.05)
        file.touch()  # truncated, and written later
        time.sleep(0.05)
        file.write_text("text\n")
        assert changes.next() == [str(file)]
        time.sleep(0.4)
        assert len(changes.found) == 1


@pytest.mark.usefixtures("only_events")
def test_a_directory_that_is_replaced_is_watched_again(tmp_path: Path) -> None:
    tree(tmp_path)
    with watching(Watched((), tmp_path, ("src",))) as changes:
        ready(changes)
        shutil.copytree(tmp_path / "src", tmp_path / "copy")
        shutil.rmtree(tmp_path / "src")
        (tmp_path / "copy").rename(tmp_path / "src")
        assert str(tmp_path / "src/a/one.yaml") in changes.next()
        time.sleep(0.5)
        replace(tmp_path / "src/a/one.yaml", "text\n")
        assert changes.next(2) == [str(tmp_path / "src/a/one.yaml")]


@pytest.mark.usefixtures("only_events")
def test_a_renamed_directory_is_watched(tmp_path: Path) -> None:
    tree(tmp_path)
    with watching(Watched((), tmp_path, ("src",))) as changes:
        ready(changes)
        (tmp_path / "src/a").rename(tmp_path / "src/c")
        assert changes.next() == [str(tmp_path / "src/a/one.yaml"), str(tmp_path / "src/c/one.yaml")]
        time.sleep(0.5)
        replace(tmp_path / "src/c/one.yaml", "text\n")
        assert changes.next(2) == [str(tmp_path / "src/c/one.yaml")]


@pytest.mark.usefixtures("only_events")
def test_the_target_of_a_symlink_is_watched(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "shared/d").mkdir(parents=True)
    for name in ("shared/four.yaml", "shared/d/five.yaml"):
        (tmp_path / name).write_text("text\n")
    (tmp_path / "src/four.yaml").symlink_to("../shared/four.yaml")
    (tmp_path / "src/d").symlink_to("../shared/d")
    with watching(Watched((), tmp_path, ("src",))) as changes:
        ready(changes)
        replace(tmp_path / "shared/four.yaml", "new\n")
        assert changes.next() == [str(tmp_path / "src/four.yaml")]
        replace(tmp_path / "shared/d/five.yaml", "new\n")
        assert changes.next(2) == [str(tmp_path / "src/d/five.yaml")]


@pytest.mark.usefixtures("only_events")
def test_a_change_during_a_build_is_reported_after_it(tmp_path: Path) -> None:
    tree(tmp_path)
    what = Watched((), tmp_path, ("src",))
    with Watcher(Watched((), tmp_path)) as watcher:
        watcher.watch(what)
        time.sleep(0.3)
        replace(tmp_path / "src/a/one.yaml", "text\n")  # the build is running
        watcher.watch(what)
        assert watcher.wait() == [str(tmp_path / "src/a/one.yaml")]


def test_a_project_file_that_changes_while_it_is_read_is_a_change(tmp_path: Path) -> None:
    tree(tmp_path)
    project = tmp_path / "kcd-gen.yaml"
    project.write_text("one\n")
    with Watcher(Watched((project,), tmp_path)) as watcher:
        project.write_text("other\n")
        watcher.watch(Watched((project,), tmp_path, ("src",)))
        assert watcher.wait() == [str(project)]


def test_changes_of_files_that_are_not_sources_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.1)
    tree(tmp_path)
    scans = []

    def count(what: Watched) -> Scan:
        scans.append(scan(what))
        for name in ("src/b/notes.txt", "src/out/flux/three.yaml", "src/a/.one.yaml.swp"):
            (tmp_path / name).write_text(f"{len(scans)}\n")
        if len(scans) == 5:
            (tmp_path / "src/a/one.yaml").write_text("changed\n")
        return scans[-1]

    monkeypatch.setattr(module, "scan", count)
    with watching(Watched((), tmp_path, ("src",), (tmp_path / "src/out",))) as changes:
        assert changes.next() == [str(tmp_path / "src/a/one.yaml")]
    assert len(scans) >= 5


@pytest.mark.usefixtures("only_events")
def test_files_that_are_not_sources_cause_no_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path)
    with watching(Watched((), tmp_path, ("src",), (tmp_path / "src/out",))) as changes:
        ready(changes)
        monkeypatch.setattr(module, "scan", None)
        for number in range(20):
            for name in ("src/b/notes.txt", "src/out/flux/three.yaml", "src/a/.one.yaml.swp"):
                (tmp_path / name).write_text(f"{number}\n")
            time.sleep(0.01)
        replace(tmp_path / "src/a/one.yaml", "text\n")
        assert changes.next() == [str(tmp_path / "src/a/one.yaml")]
