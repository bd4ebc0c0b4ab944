from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.directory import Directory
from kubocd_gen.oci.descriptors import CONTENT_TYPE, MANIFEST_TYPE, Descriptor, sha256
from kubocd_gen.packages.cache import Cache, cache_directory

DATA = b"a layer"
BLOB = Descriptor(CONTENT_TYPE, sha256(DATA), len(DATA))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def path_of(cache: Cache, descriptor: Descriptor = BLOB) -> Path:
    return cache.directory / "blobs" / "sha256" / descriptor.hex[:2] / descriptor.hex


def test_a_stored_blob_is_read_back(cache: Cache) -> None:
    assert cache.read(BLOB) is None
    assert not cache.has(BLOB)
    cache.store(DATA, BLOB.digest)
    assert cache.has(BLOB)
    assert cache.read(BLOB) == DATA


@pytest.mark.parametrize("content", [b"", b"a LAYER", b"a layer and more"])
def test_a_damaged_blob_is_removed(cache: Cache, content: bytes) -> None:
    cache.store(DATA, BLOB.digest)
    path_of(cache).write_bytes(content)
    assert cache.read(BLOB) is None
    assert not path_of(cache).exists()


def test_a_directory_in_place_of_a_blob_is_ignored(cache: Cache) -> None:
    path_of(cache).mkdir(parents=True)
    assert cache.read(BLOB) is None
    cache.store(DATA, BLOB.digest)
    assert cache.trouble is not None


def test_only_the_user_can_read_the_cache(cache: Cache) -> None:
    cache.store(DATA, BLOB.digest)
    assert cache.directory.stat().st_mode & 0o077 == 0


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "cache")
    assert cache.read(BLOB) is None
    cache.store(DATA, BLOB.digest)
    cache.name(BLOB.digest, "x.io/p:1")
    assert cache.trouble is not None
    assert cache.trouble.code == "unwritable-cache"
    assert "Not a directory" in cache.trouble.message


def test_a_full_disk_leaves_no_partial_file(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.store(DATA, BLOB.digest)
    assert [path for path in cache.directory.rglob("*") if path.is_file()] == []
    assert cache.trouble is not None


def test_an_interrupted_write_leaves_no_partial_file(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.store(DATA, BLOB.digest)
    assert [path for path in cache.directory.rglob("*") if path.is_file()] == []


def test_concurrent_writers_of_one_blob_do_not_interfere(cache: Cache) -> None:
    large = os.urandom(1 << 20)
    blob = Descriptor(CONTENT_TYPE, sha256(large), len(large))
    seen: list[bytes | None] = []

    def work() -> None:
        for _ in range(10):
            Cache(cache.directory).store(large, blob.digest)
            seen.append(Cache(cache.directory).read(blob))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [large] * 40
    assert [path.name for path in cache.directory.rglob("*") if path.is_file()] == [blob.hex]


def test_a_manifest_is_listed_with_its_references(cache: Cache) -> None:
    cache.store(DATA, BLOB.digest)
    for name in ("x.io/p:2", "x.io/p:1", "x.io/p:2"):
        cache.name(BLOB.digest, name)
    (blob,) = cache.blobs()
    assert (blob.digest, blob.size, blob.references) == (BLOB.digest, len(DATA), ("x.io/p:1", "x.io/p:2"))


def test_only_blobs_are_listed(cache: Cache) -> None:
    cache.store(DATA, BLOB.digest)
    (path_of(cache).parent / "README").write_text("")
    (path_of(cache).parent / ("0" * 64)).write_text("in the wrong folder")
    assert [blob.digest for blob in cache.blobs()] == [BLOB.digest]


def test_prune_removes_blobs_that_were_not_read_recently(cache: Cache) -> None:
    other = b"another"
    for data in (DATA, other):
        cache.store(data, sha256(data))
        cache.name(sha256(data), "x.io/p:1")
    old = time.time() - 1000
    os.utime(path_of(cache), (old, old))
    assert cache.prune(500) == (1, len(DATA))
    assert cache.read(BLOB) is None
    assert cache.read(Descriptor(MANIFEST_TYPE, sha256(other), len(other))) == other
    assert [path.name for path in (cache.directory / "names").iterdir()] == [sha256(other).removeprefix("sha256:")]
    assert cache.prune(0) == (1, len(other))


def test_reading_counts_as_use(cache: Cache) -> None:
    cache.store(DATA, BLOB.digest)
    old = time.time() - 40 * 24 * 3600
    os.utime(path_of(cache), (old, old))
    cache.read(BLOB)
    assert cache.prune(30 * 24 * 3600) == (0, 0)


def test_prune_removes_partial_files_of_killed_processes(cache: Cache) -> None:
    cache.store(DATA, BLOB.digest)
    left, fresh = (path_of(cache).parent / f"incoming-{name}" for name in ("old", "new"))
    for path in (left, fresh):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    cache.prune(24 * 3600)
    assert (left.exists(), fresh.exists()) == (False, True)


def test_damaged_reads_every_blob_and_removes_damaged_ones(cache: Cache) -> None:
    cache.store(DATA, BLOB.digest)
    assert cache.damaged() == []
    path_of(cache).write_bytes(b"damaged")
    assert cache.damaged() == [BLOB.digest]
    assert list(cache.blobs()) == []


def test_a_cache_that_does_not_exist_is_empty(cache: Cache) -> None:
    assert list(cache.blobs()) == []
    assert cache.damaged() == []
    assert cache.prune(0) == (0, 0)
    assert not cache.directory.exists()


def test_a_blob_that_cannot_be_removed_is_an_error(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    cache.store(DATA, BLOB.digest)
    monkeypatch.setattr(os, "unlink", denied)
    with pytest.raises(ProblemsError) as caught:
        cache.prune(0)
    assert caught.value.problem.code == "unwritable-cache"


def test_a_subdirectory_that_cannot_be_searched_is_an_error(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    cache.store(DATA, BLOB.digest)
    monkeypatch.setattr(Directory, "status", denied)
    for ask in (lambda: list(cache.blobs()), lambda: cache.prune(0)):
        with pytest.raises(ProblemsError) as caught:
            ask()
        assert caught.value.problem.code == "unreadable-cache"


def test_the_cache_directory_is_that_of_the_system_or_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_directory({"XDG_CACHE_HOME": "/caches"}) == Path("/caches/kcd-gen")
    assert cache_directory({"XDG_CACHE_HOME": "/caches"}, Path("mine")) == Path("mine")
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_directory({"HOME": "/home/ada", "XDG_CACHE_HOME": ""}) == Path("/home/ada/.cache/kcd-gen")
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_directory({"HOME": "/Users/ada"}) == Path("/Users/ada/Library/Caches/kcd-gen")


def test_a_user_without_a_home_directory_has_a_temporary_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert cache_directory({}).parent == Path(tempfile.gettempdir())


def test_prune_keeps_files_that_another_process_is_writing(cache: Cache) -> None:
    cache.store(DATA, BLOB.digest)
    fresh = path_of(cache).parent / "incoming-new"
    fresh.write_bytes(b"half")
    cache.prune(0.0)
    assert fresh.exists()
