from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kubocd_gen.state.signatures import RealPaths, is_settled, signature

SECOND = 1_000_000_000


def status_of(*, mtime: int, ctime: int) -> os.stat_result:
    values = [0o100644, 1, 1, 1, 0, 0, 5, 0, mtime // SECOND, ctime // SECOND]
    return os.stat_result(values, {"st_mtime_ns": mtime, "st_ctime_ns": ctime})


def test_what_a_user_can_do_without_changing_size_and_modification_time_changes_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert after.st_ctime_ns == before.st_ctime_ns or signature(after) != signature(before)
    assert not is_settled(before, before.st_ctime_ns + 1_000_000)  # so a change in the same tick does not matter
    (tmp_path / "b").write_text("one")
    assert signature((tmp_path / "b").stat()) != signature(after)


@pytest.mark.parametrize(
    ("age", "settled"), [(SECOND, True), (SECOND // 10, True), (SECOND // 25, False), (0, False), (-SECOND, False)]
)
def test_a_file_is_settled_when_the_tick_of_its_last_change_is_over(age: int, settled: bool) -> None:
    changed = 1_700_000_000 * SECOND + 123_456_789
    assert is_settled(status_of(mtime=1, ctime=changed), changed + age) is settled
    assert is_settled(status_of(mtime=changed, ctime=changed - SECOND), changed + age) is settled


def test_times_in_whole_seconds_are_not_trusted() -> None:
    changed = 1_700_000_000 * SECOND
    assert not is_settled(status_of(mtime=changed, ctime=changed), changed + 3600 * SECOND)
    assert not is_settled(status_of(mtime=1, ctime=1_000_000), time.time_ns())


def test_a_real_path_shows_a_symlink_above_a_file_and_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("a")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/b").symlink_to("a")
    places = RealPaths()
    inode = (tmp_path / "real/a").stat().st_ino
    for name in ("real/a", "link/a", "real/b", "link/b", "link/../real/a"):
        status, real = places.status(str(tmp_path / name))
        assert (status.st_ino, real) == (inode, str(tmp_path.resolve() / "real/a")), name
    with pytest.raises(FileNotFoundError):
        places.status(str(tmp_path / "missing"))
