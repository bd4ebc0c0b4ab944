"""Layers of images, read by other implementations of tar."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.oci.descriptors import sha256
from kubocd_gen.oci.layer import EARLIEST, LATEST, Layer, file_time, make_layer


def data_of(layer: Layer) -> bytes:
    made = io.BytesIO()
    layer.write_to(made)
    return made.getvalue()


def test_the_descriptor_of_a_layer_matches_its_bytes() -> None:
    layer = make_layer({"a/b": b"x" * 700, "a/c": b""}, {"a": 0o555})
    data = data_of(layer)
    assert (layer.descriptor.digest, layer.descriptor.size) == (sha256(data), len(data))
    assert layer.descriptor.media_type == "application/vnd.oci.image.layer.v1.tar"


def test_the_order_of_the_files_does_not_matter() -> None:
    assert make_layer({"a": b"1", "b": b"2"}, {}) == make_layer({"b": b"2", "a": b"1"}, {})


def test_tar_can_read_a_layer(tmp_path: Path) -> None:
    long = "/".join(["d" * 60] * 5)
    files = {"a/one": b"1" * 513, f"{long}/two": b"2", "a/ü+1.tgz": b"3", "b/empty": b"", "a/same": b"1" * 513}
    (tmp_path / "layer.tar").write_bytes(data_of(make_layer(files, {"a": 0o555, "b": 0o755})))
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", "../layer.tar"], cwd=tmp_path / "out", check=True)
    found = {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in found} == files
    with tarfile.open(tmp_path / "layer.tar", "r:") as tar:
        members = {member.name: member for member in tar}
    assert {name for name, member in members.items() if member.isdir()} == {"a", "b"}
    assert members["a/same"].islnk()
    assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "")}


@pytest.mark.parametrize(
    ("length", "extended", "digest"),
    [
        (99, 0, "a1c40a218ad182bd9a73f143d2b8bcba6f0cb8c884c63731064a04a4833e0e08"),
        (100, 0, "6437dbb0f95fb2e7d3b1b172239614fe77ecbec9c496d3a4189b9a4d3683c187"),
        (101, 2, "b55eeb87aec3863852eb1489c633b43d69f53ff1c320cb68b1325fe04b8083aa"),
    ],
)
def test_only_names_of_more_than_100_bytes_have_an_extended_header(length: int, extended: int, digest: str) -> None:
    """A file and a hard link to it. If the digest changed, every image would be pushed again."""
    layer = make_layer({letter * length: b"x" for letter in "ab"}, {})
    assert data_of(layer).count(b"ustar") == 2 + extended
    assert layer.descriptor.digest == f"sha256:{digest}"


def test_the_time_of_a_file_depends_on_its_content() -> None:
    assert file_time(b"version: 1.0.0") != file_time(b"version: 1.0.1")  # the ETag of nginx consists of time and length
    assert file_time(b"version: 1.0.0") == file_time(b"version: 1.0.0")


@given(st.binary(max_size=50))
def test_times_are_in_the_past(data: bytes) -> None:
    assert EARLIEST <= file_time(data) < LATEST


def is_path(name: str) -> bool:
    """Whether no component is empty: tarfile resolves a hard link to `x//y` as one to `x/y`."""
    return "//" not in name


@given(
    st.dictionaries(
        st.text("ab/ü.+-", min_size=1, max_size=130).map(lambda name: f"x{name}y").filter(is_path),
        st.binary(max_size=600),
    )
)
def test_a_layer_contains_the_given_files(files: dict[str, bytes]) -> None:
    with tarfile.open(fileobj=io.BytesIO(data_of(make_layer(files, {}))), mode="r:") as tar:
        read = {}
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            read[member.name] = content.read()
    assert read == {name.rstrip("/"): data for name, data in files.items()}
