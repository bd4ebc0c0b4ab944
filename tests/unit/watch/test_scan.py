from __future__ import annotations

import os
import shutil
from pathlib import Path

from watchfiles import Change

from kubocd_gen.budget.limits import Limits
from kubocd_gen.checkout.discovery import find_files
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.watch.inputs import Watched
from kubocd_gen.watch.scan import changed, scan
from tests.unit.watch.trees import tree


def test_files_found_by_discovery_are_in_the_scan(tmp_path: Path) -> None:
    tree(tmp_path)
    for sources in (("src",), ("src/*",), ("src/**/*.yaml", "gone"), ("src/a/one.yaml",)):
        what = Watched((tmp_path / "lock",), tmp_path, sources, (tmp_path / "src/out",))
        files, *_ = find_files(sources, tmp_path, [tmp_path / "src/out"])
        seen = scan(what).states
        assert {path for path, state in seen.items() if state} == {str(tmp_path / "lock"), *map(str, files)}
    assert str(tmp_path / "gone") in scan(Watched((), tmp_path, ("gone",))).states


def test_a_change_is_detected(tmp_path: Path) -> None:
    tree(tmp_path)
    what = Watched((), tmp_path, ("src",))
    before = scan(what)
    assert changed(before, scan(what)) == []
    (tmp_path / "src/new.yaml").touch()
    assert changed(before, scan(what)) == [str(tmp_path / "src/new.yaml")]


def test_directories_that_link_to_each_other_are_scanned_once(tmp_path: Path) -> None:
    for one in range(12):
        (tmp_path / f"src/d{one}").mkdir(parents=True)
        (tmp_path / f"src/d{one}/r.yaml").touch()
    for one in range(12):
        for other in range(12):
            (tmp_path / f"src/d{one}/l{other}").symlink_to(f"../d{other}")
    assert len(scan(Watched((), tmp_path, ("src",))).states) == 12
    assert len(scan(Watched((), tmp_path, ("src/**/r.yaml",))).states) == 12


def test_a_scan_has_the_limits_of_a_build(tmp_path: Path) -> None:
    tree(tmp_path)
    assert scan(Watched((), tmp_path, ("src",), limits=Limits(files=2))).states == {}


def test_the_rest_of_the_checkout_has_limits_of_its_own(tmp_path: Path) -> None:
    tree(tmp_path)
    for number in range(20):
        (tmp_path / f"other{number}.yaml").touch()
    states = scan(Watched((), tmp_path, ("src/a",), around=tmp_path, limits=Limits(files=5))).states
    assert str(tmp_path / "src/a/one.yaml") in states


def test_a_file_is_in_the_scan_once(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "kcd-gen.yaml").touch()
    (tmp_path / "src/b/same.yaml").symlink_to("../a/one.yaml")
    states = scan(Watched((tmp_path / "kcd-gen.yaml",), tmp_path, ("src",), around=tmp_path)).states
    assert sorted(os.path.realpath(path) for path in states) == sorted({os.path.realpath(path) for path in states})
    assert str(tmp_path / "kcd-gen.yaml") in states


def test_directories_that_can_contain_sources_are_watched(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "src/empty").mkdir()
    (tmp_path / "src/.git").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/four.yaml").touch()
    (tmp_path / "src/b/four.yaml").symlink_to("../../shared/four.yaml")
    (tmp_path / "far/below").mkdir(parents=True)
    what = Watched(
        (tmp_path / "vendor/index.json",), tmp_path, ("src", "gone/*/x.yaml"), (tmp_path / "src/out",), tmp_path
    )
    found = scan(what)
    assert found.near == {str(tmp_path / name) for name in ("", "src", "src/a", "src/b", "src/empty", "shared")}
    assert found.far == {str(tmp_path / name) for name in ("far", "far/below")}


def test_the_target_of_a_symlinked_file_is_watched(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/project.yaml").touch()
    (tmp_path / "checkout/kcd-gen.yaml").symlink_to("../elsewhere/project.yaml")
    found = scan(Watched((tmp_path / "checkout/kcd-gen.yaml",), tmp_path / "checkout"))
    assert found.near == {str(tmp_path / "checkout"), str(tmp_path / "elsewhere")}
    effect = found.effect({(Change.modified, str(tmp_path / "elsewhere/project.yaml"))})
    assert list(effect.files) == [str(tmp_path / "checkout/kcd-gen.yaml")]


def test_sources_outside_of_the_checkout_are_scanned_if_allowed(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "checkout").mkdir()
    root = tmp_path / "checkout"
    allowed = CheckoutFiles(root, (tmp_path / "src",))
    assert str(root / "../src/a/one.yaml") in scan(Watched((), root, ("../src",), readable=allowed)).states
    refused = scan(Watched((), root, ("../src",), readable=CheckoutFiles(root)))
    assert not any(refused.states.values())


def test_an_event_of_a_known_file_needs_no_scan(tmp_path: Path) -> None:
    tree(tmp_path)
    found = scan(Watched((tmp_path / "lock",), tmp_path, ("src",)))
    file = tmp_path / "src/a/one.yaml"
    assert not found.effect({(Change.modified, str(file))}).needs_scan
    assert found.update([str(file)]) == []
    file.write_text("new")
    effect = found.effect({(Change.modified, str(file)), (Change.modified, str(tmp_path / "lock"))})
    assert (effect.needs_scan, effect.unsettled) == (False, True)  # the lock is still empty
    assert found.update(effect.files) == [str(file)]
    assert found.update(effect.files) == []


def test_events_that_no_build_reads_have_no_effect(tmp_path: Path) -> None:
    tree(tmp_path)
    found = scan(Watched((), tmp_path, ("src",), (tmp_path / "src/out",)))
    (tmp_path / "src/a/.one.yaml.swp").touch()
    (tmp_path / "src/a/one.yaml~").touch()
    events = {(Change.added, str(tmp_path / f"src/{name}")) for name in ("a/.one.yaml.swp", "a/one.yaml~", "out")}
    events |= {(change, str(tmp_path / "src/a/4913")) for change in (Change.added, Change.deleted)}
    assert found.effect(events) == (set(), False, False)


def test_hidden_files_count_if_a_source_names_them(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "src/a/.one.yaml").touch()
    event = {(Change.added, str(tmp_path / "src/a/.one.yaml"))}
    assert not scan(Watched((), tmp_path, ("src",))).effect(event).needs_scan
    (tmp_path / "src/a/.one.yaml").unlink()
    found = scan(Watched((), tmp_path, ("src/a/.*.yaml",)))
    (tmp_path / "src/a/.one.yaml").touch()
    assert found.effect(event).needs_scan


def test_new_deleted_and_renamed_paths_need_a_scan(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "src/link").symlink_to("../real")
    found = scan(Watched((), tmp_path, ("src",)))
    (tmp_path / "src/new.yaml").write_text("new")
    effect = found.effect({(Change.added, str(tmp_path / "src/new.yaml"))})
    assert (effect.needs_scan, effect.unsettled) == (True, False)
    (tmp_path / "src/a/one.yaml").unlink()
    assert found.effect({(Change.deleted, str(tmp_path / "src/a/one.yaml"))}) == (set(), True, True)
    shutil.move(tmp_path / "src/b", tmp_path / "src/c")
    for change, name in ((Change.deleted, "b"), (Change.added, "c")):
        assert found.effect({(change, str(tmp_path / "src" / name))}) == (set(), True, True)
    (tmp_path / "src/link").unlink()
    assert found.effect({(Change.deleted, str(tmp_path / "src/link"))}).needs_scan


def test_many_changes_are_not_those_of_an_editor(tmp_path: Path) -> None:
    found = scan(Watched((), tmp_path, ("src",)))
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text("text")
    assert found.effect({(Change.added, str(tmp_path / f"{number}.txt")) for number in range(20)}).unsettled
