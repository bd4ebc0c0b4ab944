from __future__ import annotations

import json
import os
import random
import stat
from pathlib import Path

import pytest

from kubocd_gen.state import store
from kubocd_gen.state.store import State, digest_of, open_state

ROOT = Path("/nonexistent/project")


def opened(cache: Path, *, name: str = "n", fresh: bool = False) -> State:
    """Return a state as another process would read it."""
    store._recent.clear()
    return open_state(cache, name, ROOT, fresh=fresh)


def saved(cache: Path) -> Path:
    """Save a state with a value and a blob; return its file."""
    state = opened(cache)
    state.put("t", "a", {"blob": state.put_blob(b"content"), "n": [1, 2.5, None, True, "é"]})
    state.put("t", "b", "text")
    state.save(complete=True)
    (path,) = (cache / "state").iterdir()
    return path


def test_what_is_saved_is_read_by_the_next_process(cache: Path) -> None:
    saved(cache)
    state = opened(cache)
    assert state.get("t", "a") == {"blob": digest_of(b"content"), "n": [1, 2.5, None, True, "é"]}
    assert state.blob(digest_of(b"content")) == b"content"
    assert state.table("t")["b"] == "text"
    assert state.get("t", "c") is None
    assert state.get("u", "a") is None
    assert state.blob("0" * 32) is None


def test_each_name_has_its_own_state(cache: Path) -> None:
    saved(cache)
    assert opened(cache, name="other").tables == {}


def test_a_process_reads_its_own_state_again_only_if_the_file_changed(cache: Path) -> None:
    saved(cache)
    first = open_state(cache, "n", ROOT)
    assert open_state(cache, "n", ROOT) is first
    other = opened(cache)
    other.put("t", "c", 1)
    other.save(complete=False)
    store._recent[first.path or cache] = first
    assert open_state(cache, "n", ROOT).get("t", "c") == 1


def test_few_states_stay_in_memory(cache: Path) -> None:
    for number in range(9):
        state = open_state(cache, str(number), ROOT)
        state.put("t", "a", number)
        state.save(complete=True)
    assert len(store._recent) == 4


def test_a_complete_run_drops_what_it_did_not_use(cache: Path) -> None:
    path = saved(cache)
    state = opened(cache)
    state.get("t", "b")
    state.save(complete=False)
    assert "a" in opened(cache).table("t")
    state = opened(cache)
    state.get("t", "b")
    state.save(complete=True)
    assert opened(cache).tables == {"t": {"b": "text"}}
    assert b"content" not in path.read_bytes()


def test_blobs_in_lists_are_kept(cache: Path) -> None:
    state = opened(cache)
    state.put("t", "a", {"blobs": [state.put_blob(b"one"), state.put_blob(b"two")]})
    state.save(complete=True)
    state = opened(cache)
    assert state.put_blob(b"one") == digest_of(b"one")
    state.put("t", "b", 1)
    state.get("t", "a")
    state.save(complete=True)
    assert [opened(cache).blob(digest_of(data)) for data in (b"one", b"two")] == [b"one", b"two"]


def test_a_state_that_did_not_change_is_not_written(cache: Path) -> None:
    path = saved(cache)
    before = path.stat()
    state = opened(cache)
    state.use("t", ["a", "b"])
    state.put("t", "b", "text")
    state.save(complete=True)
    assert path.stat().st_ino == before.st_ino


def test_any_damage_is_found(cache: Path) -> None:
    """A flipped bit is in the header, in the index, or in a blob: the state is empty, or the blob can't be read."""
    path = saved(cache)
    data = path.read_bytes()
    tables = opened(cache).tables
    chance = random.Random(1)  # noqa: S311
    for number in range(len(data)):
        damaged = bytearray(data)
        damaged[number] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        state = opened(cache)
        assert state.tables in ({}, tables)
        assert state.blob(digest_of(b"content")) in (None, b"content")
        if state.tables:
            assert state.blob(digest_of(b"content")) is None
    for size in range(len(data)):
        path.write_bytes(data[:size])
        state = opened(cache)
        assert state.tables in ({}, tables)
        assert state.blob(digest_of(b"content")) is None


@pytest.mark.parametrize("index", ["[]", "{}", '"a"', "1", '{"code": ""}', "[" * 20_000, '{"code": [], "rules": 1}'])
def test_an_index_of_another_form_counts_as_damaged(cache: Path, index: str) -> None:
    path = saved(cache)
    path.write_bytes(f"kcd-gen state 1\n{digest_of(index.encode())} {len(index)}\n{index}".encode())
    assert opened(cache).tables == {}


def test_a_damaged_state_is_replaced(cache: Path) -> None:
    saved(cache).write_bytes(b"damaged")
    saved(cache)
    assert opened(cache).get("t", "b") == "text"


def test_a_fresh_state_replaces_the_one_in_the_cache(cache: Path) -> None:
    saved(cache)
    state = opened(cache, fresh=True)
    assert state.tables == {}
    state.put("t", "c", 1)
    state.save(complete=False)
    assert opened(cache).tables == {"t": {"c": 1}}


def test_other_code_does_not_read_a_state_and_the_same_code_elsewhere_does(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(cache)
    monkeypatch.setattr(store, "code_signature", lambda: "elsewhere")
    state = opened(cache)
    assert state.get("t", "b") == "text"
    state.use("t", ["a", "b"])
    state.save(complete=True)
    assert b"elsewhere" in path.read_bytes()
    monkeypatch.setattr(store, "code_signature", lambda: "other")
    monkeypatch.setattr(store, "rules_fingerprint", lambda: "other")
    assert opened(cache).tables == {}


def test_nobody_else_can_read_what_a_build_keeps(cache: Path) -> None:
    path = saved(cache)
    for one, mode in ((path, 0o600), (path.parent, 0o700), (cache, 0o700)):
        assert stat.S_IMODE(one.stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_state_that_others_can_write_is_not_used(cache: Path, mode: int) -> None:
    path = saved(cache)
    path.chmod(mode)
    assert opened(cache).tables == {}
    path.chmod(0o600)
    path.parent.chmod(0o777)
    assert opened(cache).tables == {}
    path.parent.chmod(0o755)
    assert opened(cache).tables


def test_a_state_of_another_user_is_not_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(cache)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert opened(cache).tables == {}


def test_a_cache_in_a_checkout_or_in_the_project_is_not_used(tmp_path: Path) -> None:
    store._recent.clear()
    (tmp_path / "work/.git").mkdir(parents=True)
    (tmp_path / "link").symlink_to("work/cache")
    for cache, root in (("work/cache", "other"), ("link", "other"), ("project/sub/cache", "project")):
        assert open_state(tmp_path / cache, "n", tmp_path / root).path is None
    state = open_state(tmp_path / "work/cache", "n", tmp_path)
    state.put("t", "a", 1)
    state.save(complete=True)
    assert not (tmp_path / "work/cache").exists()


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink", "symlinked directory", "a file as the cache"])
def test_what_is_not_a_file_is_neither_read_nor_replaced(cache: Path, kind: str) -> None:
    path = saved(cache)
    content = path.read_bytes()
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        (cache / "elsewhere").write_bytes(content)
        path.symlink_to(cache / "elsewhere")
    else:
        path.parent.rmdir()
        if kind == "symlinked directory":
            (cache / "other").mkdir()
            (cache / "other" / path.name).write_bytes(content)
            (cache / "state").symlink_to("other")
        else:
            cache.rmdir()
            cache.write_text("")
    state = opened(cache)
    if kind != "symlinked directory":
        assert state.tables == {}
    state.put("t", "c", 1)
    state.save(complete=True)


def test_a_full_disk_does_not_matter(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(cache)
    state = opened(cache)
    state.put("t", "c", 1)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", refuse)
    state.save(complete=False)
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.undo()
    assert opened(cache).table("t").keys() == {"a", "b"}


def test_a_blob_that_was_damaged_since_is_not_written_again(cache: Path) -> None:
    path = saved(cache)
    state = opened(cache)
    state.put("t", "c", 1)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    state.save(complete=False)
    assert opened(cache).blob(digest_of(b"content")) is None
    assert json.loads(path.read_bytes().split(b"\n", 2)[2])["blobs"] == {}
