from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.directory import write_whole
from kubocd_gen.files.walk import SymlinkError
from kubocd_gen.oci.descriptors import CONTENT_TYPE, MANIFEST_TYPE, Descriptor
from kubocd_gen.packages.chart_index import IndexedChart
from kubocd_gen.packages.lock import Lock, Pin, changed_charts, lock_text, read_lock

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
CHARTS = st.lists(st.builds(IndexedChart, st.just("redis"), st.from_regex(r"\A[0-9]\.[0-9]e[0-9]\Z"), DIGESTS))
PINS = st.builds(
    lambda manifest, layer, charts: Pin(
        Descriptor(MANIFEST_TYPE, f"sha256:{manifest}", 700),
        Descriptor(CONTENT_TYPE, f"sha256:{layer}", 2**40),
        tuple(sorted(charts)),
    ),
    DIGESTS,
    DIGESTS,
    CHARTS,
)
LOCKS = st.builds(
    Lock,
    st.dictionaries(st.from_regex(r"\A[a-z]{1,3}\.io/[a-z]{1,3}:[a-z0-9]{1,3}\Z"), PINS, max_size=4),
    st.one_of(st.none(), st.just("3.10")),
)


def pin(*charts: tuple[str, str, str]) -> Pin:
    parts = Descriptor(MANIFEST_TYPE, f"sha256:{'a' * 64}", 1), Descriptor(CONTENT_TYPE, f"sha256:{'b' * 64}", 2)
    return Pin(*parts, tuple(IndexedChart(*chart) for chart in charts))


@given(LOCKS)
def test_a_lock_reads_back_the_same(tmp_path_factory: pytest.TempPathFactory, lock: Lock) -> None:
    path = tmp_path_factory.mktemp("lock") / "kcd-gen.lock"
    path.write_text(lock_text(lock))
    assert read_lock(path, "kcd-gen.lock") == lock


def test_a_lock_has_a_fixed_format() -> None:
    lock = Lock({"x.io/b:2": pin(), "x.io/a:1": pin(("redis", "1.10", "c" * 64))}, "3.17")
    assert (
        lock_text(lock)
        == f"""\
# Written by 'kcd-gen lock'. Do not edit; commit it with the sources.
apiVersion: kcd-gen/v1alpha1
kind: Lock
helm: '3.17'
packages:
  x.io/a:1:
    digest: sha256:{"a" * 64}
    size: 1
    layer:
      digest: sha256:{"b" * 64}
      size: 2
    charts:
    - name: redis
      version: '1.10'
      sha256: {"c" * 64}
  x.io/b:2:
    digest: sha256:{"a" * 64}
    size: 1
    layer:
      digest: sha256:{"b" * 64}
      size: 2
    charts: []
"""
    )


@pytest.mark.parametrize(
    ("text", "position", "code"),
    [
        ("kind: Lock\n<<<<<<< HEAD\nhelm: '3.17'\n", "kcd-gen.lock:2", "bad-lock"),
        ("apiVersion: kcd-gen/v1alpha1\nkind: Lock\n", "kcd-gen.lock", "missing-field"),
        ("apiVersion: kcd-gen/v2\nkind: Lock\npackages: {}\n", "kcd-gen.lock:1:1", "invalid-value"),
        ("apiVersion: kcd-gen/v1alpha1\nkind: Lock\npackages: {x.io/a: {}}\n", "kcd-gen.lock:3", "missing-field"),
        ("apiVersion: kcd-gen/v1alpha1\nkind: Lock\npackages: {}\nmore: 1\n", "kcd-gen.lock:4:1", "unknown-field"),
    ],
)
def test_a_damaged_lock_is_an_error_with_a_position_and_a_hint(
    tmp_path: Path, text: str, position: str, code: str
) -> None:
    path = tmp_path / "kcd-gen.lock"
    path.write_text(text)
    with pytest.raises(ProblemsError) as caught:
        read_lock(path, "kcd-gen.lock")
    error = caught.value.problem
    assert (error.code, str(error.position)[: len(position)]) == (code, position)
    assert error.hint is not None


def test_a_name_that_is_not_a_reference_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kcd-gen.lock"
    path.write_text(lock_text(Lock({"../../etc/passwd": pin()})))
    with pytest.raises(ProblemsError) as caught:
        read_lock(path, "kcd-gen.lock")
    assert [error.code for error in caught.value.problems] == ["bad-reference"]


def test_a_chart_is_changed_if_its_digest_differs_for_the_same_version() -> None:
    old = pin(("redis", "1.0", "a" * 64), ("redis", "2.0", "b" * 64), ("web", "1.0", "c" * 64))
    new = pin(("redis", "1.0", "f" * 64), ("redis", "3.0", "b" * 64), ("web", "1.0", "c" * 64))
    assert changed_charts(old, new) == [IndexedChart("redis", "1.0", "f" * 64)]


def test_a_file_is_replaced_atomically_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "kcd-gen.lock"
    write_whole(path, b"one")
    path.chmod(0o640)
    write_whole(path, b"two")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o640)
    assert [entry.name for entry in tmp_path.iterdir()] == ["kcd-gen.lock"]


def test_a_symlink_is_refused_and_its_target_unchanged(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"one")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(SymlinkError):
        write_whole(tmp_path / "link", b"two")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"one"


def test_a_failed_write_leaves_the_file_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "kcd-gen.lock"
    path.write_bytes(b"one")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"two")
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kcd-gen.lock"]
