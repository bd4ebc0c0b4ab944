from __future__ import annotations

import gzip
import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.diagnostics import KcdError, Position
from kubocd_gen.packages.archive import read_package_archive
from kubocd_gen.packages.limits import Limits
from tests.support.hostile import extended, member, sparse, tar, with_paths
from tests.support.images import gzipped, tarred

FILES = {"original.yaml": b"name: p\n", "status.yaml": b"{}\n", "p-1.0.0.tgz": b"chart"}
CHART = member("p-1.0.0.tgz", b"chart")


def read(data: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    return read_package_archive(data, describe="x.io/p:1", limits=limits or Limits())


def refusal(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(KcdError) as caught:
        read(data, limits)
    message = caught.value.message
    assert caught.value.code == "bad-archive"
    assert message.startswith("the archive of x.io/p:1 ")
    assert message.isprintable()
    return message.removeprefix("the archive of x.io/p:1 ")


def test_the_files_are_those_that_were_packed() -> None:
    assert read(gzipped(tarred(FILES))) == FILES


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_usual_tar_format_is_read(layout: int) -> None:
    assert read(gzip.compress(with_paths(FILES, layout))) == FILES


def test_a_dot_folder_and_its_prefix_are_harmless() -> None:
    folder = member("./", kind=tarfile.DIRTYPE)
    assert read(gzipped(tar(folder, member("./index.yaml", b"{}")))) == {"index.yaml": b"{}"}


def test_a_name_too_long_for_its_header_comes_in_an_extended_one() -> None:
    name = "p-1.0.0-" + "a" * 150 + ".tgz"
    assert read(gzipped(tar(extended({"path": name}), CHART, member("index.yaml")))) == {
        name: b"chart",
        "index.yaml": b"",
    }


def test_comments_times_and_owners_in_extended_headers_are_passed_over() -> None:
    everywhere = extended({"comment": "0123abc"}, kind=tarfile.XGLTYPE)
    here = extended({"mtime": "1.5", "uid": "4000000", "SCHILY.xattr.user.x": "a=b\nc"})
    assert read(gzipped(tar(everywhere, here, CHART))) == {"p-1.0.0.tgz": b"chart"}


def test_several_gzip_members_are_one_archive() -> None:
    data = tarred(FILES)
    assert read(gzip.compress(data[:700]) + gzip.compress(b"") + gzip.compress(data[700:])) == FILES


def test_an_archive_may_leave_its_end_mark_out_as_sloppy_writers_do() -> None:
    assert read(gzipped(CHART)) == {"p-1.0.0.tgz": b"chart"}


@pytest.mark.parametrize(
    "name",
    [
        "/index.yaml",
        "//index.yaml",
        "../index.yaml",
        "./../index.yaml",
        "a/index.yaml",
        "././index.yaml",
        "./",
        ".",
        "..",
        "",
        "C:index.yaml",
        "C:\\p-1.tgz",
        "..\\p-1.tgz",
        "templates\\p.tgz",
        "p-1.tgz:stream",
        ".hidden.tgz",
        "-rf.tgz",
        ".tgz",
        "p-1.tgz.exe",
        "Index.yaml",
        "values.yaml",
        "._original.yaml",
        "p 1.tgz",
        "p-1.tgz\n",
        "p\x1b[2J.tgz",
        "p\u202e.tgz",
        "p\udcff.tgz",
        "pé.tgz",
    ],
)
def test_a_file_of_any_other_name_is_refused(name: str) -> None:
    assert "no file of a KuboCD package" in refusal(gzipped(tar(member(name, b"x"))))


@pytest.mark.parametrize("path", ["../evil.tgz", "/etc/passwd", "a/b.tgz", "p\udcff.tgz", "values.yaml"])
def test_a_name_from_an_extended_header_is_no_freer(path: str) -> None:
    assert "no file of a KuboCD package" in refusal(gzipped(tar(extended({"path": path}), CHART)))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (tarfile.DIRTYPE, "a folder"),
        (tarfile.CONTTYPE, "of the unknown type '7'"),
        (tarfile.SOLARIS_XHDTYPE, "of the unknown type 'X'"),
        (tarfile.GNUTYPE_LONGNAME, "an over-long name"),
        (tarfile.GNUTYPE_LONGLINK, "an over-long link"),
        (b"\xff", "of the unknown type"),
    ],
)
def test_a_member_that_is_no_regular_file_is_refused(kind: bytes, words: str) -> None:
    message = refusal(gzipped(tar(member("original.yaml", kind=kind, link="/etc/passwd"))))
    assert message.startswith(f"holds 'original.yaml', which is {words}")


def test_a_folder_is_refused_even_under_a_name_from_an_extended_header() -> None:
    refusal(gzipped(tar(extended({"path": "a/"}), member("./", kind=tarfile.DIRTYPE))))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (tar(sparse()), "which is a sparse file"),
        (tar(extended({"GNU.sparse.major": "1"}), CHART), "an extended header with 'GNU.sparse.major'"),
        (tar(extended({"size": "99999999999"}), CHART), "an extended header with 'size'"),
        (tar(extended({"size": "-1"}), CHART), "an extended header with 'size'"),
        (tar(extended({"linkpath": "/etc"}), CHART), "an extended header with 'linkpath'"),
        (tar(extended({"hdrcharset": "BINARY"}), CHART), "an extended header with 'hdrcharset'"),
        (tar(extended({"path": "index.yaml"}, kind=tarfile.XGLTYPE), CHART), "an extended header with 'path'"),
        (tar(extended({"comment": "x" * 17_000}), CHART), "an extended header is 17015 bytes long"),
        (tar(member("pax", kind=tarfile.XHDTYPE, size=1 << 40), CHART), "the limit is 16384 bytes"),
        (tar(member("pax", b"hello", kind=tarfile.XHDTYPE), CHART), "an extended header that cannot be read"),
        (tar(member("pax", b"0 a=b\n", kind=tarfile.XHDTYPE), CHART), "an extended header that cannot be read"),
        (tar(member("pax", b"3 a=b\n", kind=tarfile.XHDTYPE), CHART), "an extended header that cannot be read"),
        (tar(member("pax", b"99 a=b\n", kind=tarfile.XHDTYPE), CHART), "an extended header that cannot be read"),
        (tar(member("pax", b"-6 a=b\n", kind=tarfile.XHDTYPE), CHART), "an extended header that cannot be read"),
        (tar(member("pax", b"1" * 9000, kind=tarfile.XHDTYPE), CHART), "an extended header that cannot be read"),
        (tar(extended({"path": "p" * 300 + ".tgz"}), CHART), "a name of more than 255 characters"),
        (tar(CHART, CHART), "holds 'p-1.0.0.tgz' twice"),
        (tar(CHART, member("./p-1.0.0.tgz", b"x")), "holds 'p-1.0.0.tgz' twice"),
        (tar(CHART, member("P-1.0.0.tgz", b"x")), "holds 'P-1.0.0.tgz' twice"),
        (tar(member("p-1.0.0.tgz", size=-512), CHART), "a negative size"),
        (tar(member("p-1.0.0.tgz", size=1 << 62)), "the limit is 512 MiB"),
        (tar(member("p-1.0.0.tgz", size=400 << 20)), "ends in the middle of 'p-1.0.0.tgz'"),
        (tar(member("original.yaml", size=6 << 20)), "the limit is 5 MiB"),
        (CHART[:700], "ends in the middle of 'p-1.0.0.tgz'"),
        (CHART[:512], "ends in the middle of 'p-1.0.0.tgz'"),
        (CHART + b"x" * 100, "ends in the middle of its last header"),
        (CHART + b"x" * 512, "is not a tar archive"),
        (b"hello, world", "ends in the middle of its last header"),
        (CHART[:300] + b"!" + CHART[301:], "is not a tar archive"),
        (tar(CHART) + CHART, "goes on after its end"),
        (bytes(10240), "is empty"),
        (b"", "is empty"),
        (tar(member("./", kind=tarfile.DIRTYPE)), "is empty"),
    ],
)
def test_a_crooked_tar_is_refused(data: bytes, sentence: str) -> None:
    assert sentence in refusal(gzipped(data))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "cut short"),
        (b"hello, world", "is not gzip data"),
        (tarred(FILES), "is not gzip data"),
        (zlib.compress(tarred(FILES)), "is not gzip data"),
        (gzipped(tarred(FILES))[:-4], "cut short"),
        (gzipped(tarred(FILES))[:40], "cut short"),
        (gzipped(tarred(FILES)) + b"garbage", "goes on after the end of its gzip data"),
        (gzipped(tarred(FILES)) + bytes(512), "goes on after the end of its gzip data"),
        (gzipped(tarred(FILES)) + b"\x1f", "cut short"),
        (gzipped(tarred(FILES) + bytes(70_000))[:-8] + bytes(8), "is damaged near byte"),
        (b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"x" * 300_000, "cut short"),
    ],
)
def test_crooked_gzip_data_is_refused(data: bytes, sentence: str) -> None:
    assert sentence in refusal(data)


@pytest.mark.parametrize(
    ("data", "limits", "sentence"),
    [
        (gzipped(tarred(FILES)), Limits(packed=100), "larger than the limit of 100 bytes"),
        (gzipped(tar(CHART, member("q-1.tgz"))), Limits(members=1), "more than 1 members"),
        (gzipped(tar(*[extended({"a": "b"})] * 9, CHART)), Limits(members=9), "more than 9 members"),
        (gzipped(tar(member("index.yaml", b"12345"))), Limits(text=4), "the limit is 4 bytes"),
        (gzip.compress(tar(member("q-1.tgz", bytes(9000)))), Limits(unpacked=4096), "the limit is 4096 bytes"),
        (
            gzip.compress(tar(*(member(f"q-{n}.tgz", bytes(3000)) for n in range(3)))),
            Limits(unpacked=8192),
            "unpacks to more than the limit of 8192 bytes",
        ),
        (
            gzip.compress(tar(CHART) + bytes(1 << 20)),
            Limits(unpacked=1 << 16),
            "unpacks to more than the limit of 65536 bytes",
        ),
        (gzipped(b"") * 50, Limits(gzip_members=20), "more than 20 gzip members"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # gzip writes the time into its bytes
)
def test_an_archive_beyond_a_limit_is_refused_by_that_limit(data: bytes, limits: Limits, sentence: str) -> None:
    assert sentence in refusal(data, limits)


def test_the_error_stands_at_the_file_that_it_is_given() -> None:
    with pytest.raises(KcdError) as caught:
        read_package_archive(b"", describe="x.io/p:1", position=Position("vendor/blobs/sha256/00"))
    assert caught.value.position == Position("vendor/blobs/sha256/00")


@given(st.lists(st.tuples(st.integers(0, 3071), st.integers(0, 255)), min_size=1, max_size=6))
def test_no_change_of_bytes_brings_out_anything_but_a_readable_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(tar(extended({"path": "q-1.0.0.tgz", "mtime": "1.5"}), CHART, member("index.yaml", b"{}")))
    for index, value in changes:
        data[index % len(data)] = value
    # Most changes break a header's sum: mend them, so that they get further.
    for start in range(0, 2560, 512):
        header = data[start : start + 512]
        header[148:156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    try:
        files = read(gzipped(bytes(data)))
    except KcdError as error:
        assert error.message.isprintable()
    else:
        assert all("/" not in name for name in files)
