from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.files import directory
from kubocd_gen.files.directory import exchange
from kubocd_gen.files.paths import shown_path
from kubocd_gen.output import moves
from kubocd_gen.output.plan import OutputFile, ReleaseOutput, plan_output
from kubocd_gen.output.writer import plan_at_rest, write
from tests.support.output_faults import EXCHANGE, NEW, OLD, build_new
from tests.support.outputs import build, contents, planned, times
from tests.support.thorough import count


def written(root: Path, *releases: Any) -> dict[str, bytes]:
    """Return the output of a build from scratch."""
    build(root, *releases)
    return contents(root)


def test_a_build_has_the_same_result_as_a_build_from_scratch(tmp_path: Path) -> None:
    build(tmp_path / "deploy", *OLD)
    build(tmp_path / "deploy", *NEW)
    assert contents(tmp_path / "deploy") == written(tmp_path / "fresh", *NEW)


def test_a_build_without_changes_touches_nothing(tmp_path: Path) -> None:
    build(tmp_path, *OLD)
    before = times(tmp_path)
    assert build(tmp_path, *OLD).plan.is_clean
    assert times(tmp_path) == before


def test_unchanged_files_keep_their_times_even_in_a_changed_chart_directory(tmp_path: Path) -> None:
    build(tmp_path, *OLD)
    before = times(tmp_path)
    build(tmp_path, *NEW)
    after = times(tmp_path)
    for path in ("flux/default/same.yaml", "hr/default/same", "hr/default/web/library-0.1.0.tgz"):
        assert after[str(tmp_path / path)] == before[str(tmp_path / path)]


def test_removing_the_last_release_removes_every_directory(tmp_path: Path) -> None:
    build(tmp_path, *OLD)
    build(tmp_path)
    assert contents(tmp_path) == {}


def test_files_not_created_by_kcd_gen_are_kept(tmp_path: Path) -> None:
    build(tmp_path, *OLD)
    foreign = {
        "flux/default/mine.yaml": b"1",
        "hr/default/gone/notes.txt": b"2",
        "hr/default/web/sub/folder/notes.txt": b"3",
        "README": b"4",
    }
    for path, content in foreign.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "hr/default/web/link").symlink_to("nowhere")
    build(tmp_path, *NEW)
    build(tmp_path)
    assert (tmp_path / "hr/default/web/link").readlink() == Path("nowhere")
    assert contents_of_files(tmp_path) == foreign


def contents_of_files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_file_that_was_already_removed_is_not_an_error(tmp_path: Path) -> None:
    build(tmp_path, *OLD)
    (tmp_path / "flux/default/gone.yaml").unlink()
    (tmp_path / "hr/default/gone/index.yaml").unlink()
    build(tmp_path, *NEW)
    assert contents(tmp_path) == written(tmp_path.with_name("fresh"), *NEW)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every rename from now on, by the path of its target."""
    made: list[str] = []
    real = os.replace

    def move(source: Any, target: Any, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        made.append(path_of(dst_dir_fd, target))

    monkeypatch.setattr(os, "replace", move)

    def spied(one: tuple[int, str], other: tuple[int, str]) -> bool:
        made.append(path_of(*other))
        return exchange(one, other)

    monkeypatch.setattr(directory, EXCHANGE, spied)
    return made


def path_of(descriptor: int, name: str) -> str:
    """Return the path of a name in an open directory."""
    if sys.platform == "darwin":
        above = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
    else:
        above = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    return f"{above}/{name}"


def test_charts_are_added_before_and_removed_after_the_resources_that_name_them(
    tmp_path: Path, moved: list[str]
) -> None:
    build(tmp_path, *OLD)
    moved.clear()
    write(planned(tmp_path, *NEW))
    inside = [move.removeprefix(f"{tmp_path}/") for move in moved if move.startswith(f"{tmp_path}/")]
    arrivals = [move for move in inside if "/.staging/" not in move]
    assert arrivals[:2] == ["hr/default/new", "hr/default/web"]
    assert all(move.startswith((".kcd-gen/", "flux/")) for move in arrivals[2:])
    assert moves.STAGING not in str(arrivals)


class Disk:
    """A disk that is full for the calls for which `fails` is true; its argument is the number of the call, from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.fails: Callable[[int], bool] = lambda _: False
        for name in ("rename", "replace", "mkdir", "fsync"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))
        monkeypatch.setattr(directory, EXCHANGE, self._counted(exchange))

    def build(
        self, root: Path, *releases: ReleaseOutput, fails: Callable[[int], bool] = lambda _: False
    ) -> Problem | None:
        self.calls, self.fails = 0, fails
        try:
            build(root, *releases)
        except ProblemsError as error:
            return error.problem
        finally:
            self.fails = lambda _: False
        return None

    def _counted(self, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.fails(self.calls):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")
            return real(*arguments, **options)

        return call


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_failed_write_restores_contents_and_times(tmp_path: Path, disk: Disk) -> None:
    failed = 0
    for number in range(1, 1000):
        root = tmp_path / str(number)
        build(root, *OLD)
        before, before_times = contents(root), file_times(root)
        if error := disk.build(root, *NEW, fails=partial(eq, number)):
            failed += 1
            assert error.code == "unwritable-output"
            assert "No space left on device" in error.message
            assert contents(root) == before, number
            assert file_times(root) == before_times, number
        elif disk.calls < number:
            break
    assert failed > 30
    assert contents(root) == written(tmp_path / "fresh", *NEW)


@pytest.mark.parametrize("undone", [0, 1, 3])
def test_a_write_that_cannot_be_undone_is_completed_by_the_next(tmp_path: Path, disk: Disk, undone: int) -> None:
    new = written(tmp_path / "new", *NEW)
    reported = set()
    for number in range(1, 1000, count(3, 1)):
        root = tmp_path / str(number)
        build(root, *OLD)

        def fails(call: int, number: int = number) -> bool:
            return call == number or call > number + undone

        if error := disk.build(root, *NEW, fails=fails):
            reported.add(error.code)
        used = disk.calls
        assert disk.build(root, *NEW) is None
        assert contents(root) == new, number
        if used < number:
            break
    assert reported == {"unwritable-output", "interrupted-output"}


def test_a_failed_write_is_undone_without_atomic_exchange(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, EXCHANGE, lambda one, other: False)
    test_a_failed_write_restores_contents_and_times(tmp_path, disk)


def test_without_hard_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    build(tmp_path, *OLD)
    before = (tmp_path / "hr/default/web/library-0.1.0.tgz").stat()
    monkeypatch.setattr(os, "link", unsupported)
    build(tmp_path, *NEW)
    assert contents(tmp_path) == written(tmp_path.with_name("fresh"), *NEW)
    assert (tmp_path / "hr/default/web/library-0.1.0.tgz").stat().st_mtime_ns == before.st_mtime_ns


def file_times(root: Path) -> dict[str, tuple[int, int]]:
    return {path: known for path, known in times(root).items() if Path(path).is_file()}


def test_a_failed_first_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProblemsError):
        build(tmp_path / "deploy/prod", *OLD)
    assert contents(tmp_path) == {}


def test_a_partially_written_file_leaves_everything_unchanged(tmp_path: Path) -> None:
    build(tmp_path, *OLD)
    before, before_times = contents(tmp_path), file_times(tmp_path)
    ended = build_new(tmp_path, "limit_file_size", 5000)
    assert "unwritable-output" in ended.stderr
    assert "File too large" in ended.stderr
    assert contents(tmp_path) == before
    assert file_times(tmp_path) == before_times


@pytest.mark.parametrize(("fault", "absent"), [("kill_at", False), ("kill_at_without_exchange", True)])
def test_a_killed_write_leaves_no_partial_file_and_is_completed_by_the_next(
    tmp_path: Path, fault: str, absent: bool
) -> None:
    old, new = written(tmp_path / "old", *OLD), written(tmp_path / "new", *NEW)
    directories = [{name: files_in(tree, name) for name in ("web", "gone", "new")} for tree in (old, new)]
    completed = 0
    for number in range(1, 1000):
        root = tmp_path / str(number)
        build(root, *OLD)
        (root / "hr/default/web/notes.txt").write_text("mine")
        ended = build_new(root, fault, number)
        between = contents(root)
        assert (root / "hr/default/web/notes.txt").exists() or not (root / "hr/default/web").exists()
        between.pop("hr/default/web/notes.txt", None)
        for path, content in between.items():
            if path.startswith("flux/"):
                assert content in (old.get(path), new.get(path)), (number, path)
        for name in ("web", "gone", "new"):
            possible = [directories[0][name], directories[1][name], *([{}] if absent else [])]
            assert files_in(between, name) in possible, (number, name)
        result = build(root, *NEW)
        completed += result.completed_earlier
        after = contents(root)
        assert after.pop("hr/default/web/notes.txt") == b"mine"
        assert after == new, number
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert completed > 10


def files_in(tree: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {
        path: content for path, content in tree.items() if path.startswith(f"hr/default/{name}/") and path[-1] != "/"
    }


def killed(root: Path) -> None:
    """Kill a write of NEW over OLD in the middle of its moves."""
    for number in range(1, 1000):
        build(root, *OLD)
        build_new(root, "kill_at", number)
        if (root / "hr/default/new").exists():
            return


def test_files_moved_by_a_killed_write_are_owned_without_an_inventory(tmp_path: Path) -> None:
    killed(tmp_path)
    assert not (tmp_path / ".kcd-gen/default/new.list").exists()
    assert not planned(tmp_path, *NEW).is_clean


def test_a_killed_write_is_completed_before_the_current_sources_are_built(tmp_path: Path) -> None:
    killed(tmp_path)
    assert build(tmp_path, *OLD).completed_earlier
    assert contents(tmp_path) == written(tmp_path.with_name("fresh"), *OLD)


def test_a_second_process_waits_and_then_plans_again(tmp_path: Path) -> None:
    build(tmp_path, *OLD)
    plan = planned(tmp_path, *NEW)
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)

    def waiting() -> None:
        # The other process wrote a file that this plan does not know, and finished.
        (tmp_path / "flux/default/new.yaml").write_text("mine")
        os.close(other)

    with pytest.raises(ProblemsError) as caught:
        write(plan, waiting=waiting)
    assert caught.value.problem.code == "foreign-file"


def test_an_output_that_cannot_be_created_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(ProblemsError, match="Not a directory") as caught:
        build(tmp_path / "a/deploy", *OLD)
    assert caught.value.problem.code == "unreadable-output"
    assert str(caught.value.problem.position) == shown_path(tmp_path / "a/deploy")


def test_an_output_of_only_a_shared_file_is_written(tmp_path: Path) -> None:
    shared = [OutputFile("flux/kustomization.yaml", b"resources: []\n")]
    write(plan_output(tmp_path, [], lambda *_: shared, complete=True))
    assert set(contents_of_files(tmp_path)) == {".kcd-gen/shared.list", "flux/kustomization.yaml"}


def test_a_plan_waits_for_the_process_that_writes_what_seems_to_belong_to_nobody(tmp_path: Path) -> None:
    root, records = tmp_path / "out", tmp_path / "records"
    build(root, *OLD)
    index = root / "hr/default/web/index.yaml"
    index.write_text("of the other process")
    (root / ".kcd-gen").rename(records)
    lock = os.open(root, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)

    def finish() -> None:
        records.rename(root / ".kcd-gen")
        os.close(lock)

    plan = plan_at_rest(root, OLD, no_shared_files, complete=True, waiting=finish)
    assert "hr/default/web/index.yaml" in {change.path for change in plan.pending}


def test_a_foreign_file_is_an_error_if_no_process_writes(tmp_path: Path) -> None:
    build(tmp_path, *OLD)
    (tmp_path / "hr/default/web/index.yaml").write_text("mine")
    (tmp_path / ".kcd-gen").rename(tmp_path / "gone")
    with pytest.raises(ProblemsError) as caught:
        plan_at_rest(tmp_path, OLD, no_shared_files, complete=True)
    assert caught.value.problem.code == "foreign-file"


def no_shared_files(_paths: Any, _listed: Any) -> tuple[OutputFile, ...]:
    return ()
