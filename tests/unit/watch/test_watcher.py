from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from kubocd_gen.server.watch import Snapshot, Watched, changed, look, wait_for_change

from kubocd_gen.budget.limits import Limits
from kubocd_gen.checkout.discovery import find_files
from kubocd_gen.server import watch

pytestmark = pytest.mark.slow


def tree(root: Path) -> None:
    for name in ("src/a/one.yaml", "src/b/two.yml", "src/b/notes.txt", "src/out/flux/three.yaml", "lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_files_found_by_discovery_are_in_the_snapshot(tmp_path: Path) -> None:
    tree(tmp_path)
    for sources in (("src",), ("src/*",), ("src/**/*.yaml", "gone"), ("src/a/one.yaml",)):
        what = Watched((tmp_path / "lock",), tmp_path, sources, (tmp_path / "src/out",))
        files, *_ = find_files(sources, tmp_path, [tmp_path / "src/out"])
        seen = look(what)
        assert {path for path, state in seen.items() if state} == {str(tmp_path / "lock"), *map(str, files)}
    assert str(tmp_path / "gone") in look(Watched((), tmp_path, ("gone",)))


def test_a_change_is_detected(tmp_path: Path) -> None:
    tree(tmp_path)
    what = Watched((), tmp_path, ("src",))
    before = look(what)
    assert look(what) == before
    (tmp_path / "src/new.yaml").touch()
    assert changed(before, look(what)) == [str(tmp_path / "src/new.yaml")]


def test_directories_that_link_to_each_other_are_scanned_once(tmp_path: Path) -> None:
    for one in range(12):
        (tmp_path / f"src/d{one}").mkdir(parents=True)
        (tmp_path / f"src/d{one}/r.yaml").touch()
    for one in range(12):
        for other in range(12):
            (tmp_path / f"src/d{one}/l{other}").symlink_to(f"../d{other}")
    assert len(look(Watched((), tmp_path, ("src",)))) == 12
    assert len(look(Watched((), tmp_path, ("src/**/r.yaml",)))) == 12


def test_a_scan_has_the_limits_of_a_build(tmp_path: Path) -> None:
    tree(tmp_path)
    assert look(Watched((), tmp_path, ("src",), limits=Limits(files=2))) == {}


def test_directories_that_can_contain_sources_are_watched(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "src/empty").mkdir()
    (tmp_path / "src/.git").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/four.yaml").touch()
    (tmp_path / "src/b/four.yaml").symlink_to("../../shared/four.yaml")
    what = Watched((tmp_path / "vendor/index.json",), tmp_path, ("src", "gone/*/x.yaml"), (tmp_path / "src/out",))
    expected = {"", "src", "src/a", "src/b", "src/empty", "shared"}
    assert watch._scan(what)[1] == {str(tmp_path / name) for name in expected}


def write_until_seen(file: Path, what: Watched, seen: Snapshot) -> Snapshot:
    """Change a file repeatedly, because the first change can happen before the watch starts."""
    over = threading.Event()

    def write() -> None:
        count = 0
        while not over.wait(0.1):
            count += 1
            file.parent.mkdir(exist_ok=True)
            new = file.with_name(".new")
            new.write_text(f"{count}\n")
            new.replace(file)  # like editors

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return wait_for_change(what, seen)
    finally:
        over.set()
        writer.join()


@pytest.mark.parametrize("name", ["src/a/one.yaml", "src/a/new.yaml", "src/new/one.yaml", "lock", "gone/one.yaml"])
def test_a_change_is_detected_without_waiting_for_the_next_scan(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_PAUSE", 1000.0)
    tree(tmp_path)
    what = Watched((tmp_path / "lock",), tmp_path, ("src", "gone"))
    before = look(what)
    assert str(tmp_path / name) in changed(before, write_until_seen(tmp_path / name, what, before))


def refuse(*_: object, **__: object) -> None:
    raise OSError("no space left on device")  # the error for too many watched directories


def report_nothing(*_: object, stop_event: threading.Event, **__: object) -> list[None]:
    stop_event.wait()
    return []


@pytest.mark.parametrize("system", [refuse, report_nothing])
def test_a_change_that_the_system_does_not_report_is_detected(
    system: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_PAUSE", 0.05)
    monkeypatch.setattr(watch, "watch", system)
    tree(tmp_path)
    what = Watched((), tmp_path, ("src",))
    before = look(what)
    assert changed(before, write_until_seen(tmp_path / "src/a/one.yaml", what, before))


def test_changes_of_files_that_are_not_sources_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path)
    what = Watched((), tmp_path, ("src",), (tmp_path / "src/out",))
    scans = []

    def count(what: Watched) -> tuple[Snapshot, frozenset[str]]:
        scans.append(scan(what))
        for name in ("src/b/notes.txt", "src/out/flux/three.yaml", "src/a/.one.yaml.swp"):
            (tmp_path / name).write_text(f"{len(scans)}\n")
        if len(scans) == 5:
            (tmp_path / "src/a/one.yaml").write_text("changed\n")
        return scans[-1]

    scan = watch._scan
    monkeypatch.setattr(watch, "_scan", count)
    before = scan(what)[0]
    assert changed(before, wait_for_change(what, before)) == [str(tmp_path / "src/a/one.yaml")]
    assert len(scans) > 5
