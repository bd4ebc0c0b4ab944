from __future__ import annotations

import gzip
import tarfile
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.budget.limits import Limits
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.packages.archive import Subject, read_package_archive
from tests.support.hostile import extended, gzip_header, member, patched, sparse, tar, with_paths
from tests.support.images import gzipped, tarred

FILES = {"original.yaml": b"name: p\n", "status.yaml": b"{}\n", "p-1.0.0.tgz": b"chart"}
CHART = member("p-1.0.0.tgz", b"chart")
PLACE = Position("vendor/blobs/sha256/00")
MIB = 1 << 20


def read(data: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    return read_package_archive(data, Subject("x.io/p:1", limits=limits or Limits()))


def refusal(data: bytes, limits: Limits | None = None) -> Problem:
    with pytest.raises(ProblemsError) as caught:
        read_package_archive(data, Subject("x.io/p:1", PLACE, limits or Limits()))
    assert caught.value.problem.message.startswith("the archive of x.io/p:1 ")
    assert caught.value.problem.message.isprintable()
    assert caught.value.problem.position == PLACE
    return caught.value.problem


def sentence_of(error: Problem) -> str:
    return error.message.removeprefix("the archive of x.io/p:1 ")


def test_the_packed_files_are_read() -> None:
    assert read(gzipped(tarred(FILES))) == FILES


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_common_tar_format_is_read(layout: int) -> None:
    assert read(gzip.compress(with_paths(FILES, layout))) == FILES


def test_a_dot_directory_and_dot_prefix_are_accepted() -> None:
    directory = member("./", kind=tarfile.DIRTYPE)
    assert read(gzipped(tar(directory, member("./index.yaml", b"{}")))) == {"index.yaml": b"{}"}


def test_a_long_name_is_read_from_an_extended_header() -> None:
    name = "p-1.0.0-" + "a" * 150 + ".tgz"
    assert read(gzipped(tar(extended({"path": name}), CHART, member("index.yaml")))) == {
        name: b"chart",
        "index.yaml": b"",
    }


def test_comments_times_and_owners_in_extended_headers_are_ignored() -> None:
    everywhere = extended({"comment": "0123abc"}, kind=tarfile.XGLTYPE)
    here = extended({"mtime": "1.5", "uid": "4000000", "SCHILY.xattr.user.x": "a=b\nc"})
    assert read(gzipped(tar(everywhere, here, CHART))) == {"p-1.0.0.tgz": b"chart"}


def test_several_gzip_members_form_one_archive() -> None:
    data = tarred(FILES)
    assert read(gzip.compress(data[:700]) + gzip.compress(b"") + gzip.compress(data[700:])) == FILES


def test_an_archive_can_lack_its_end_marker() -> None:
    assert read(gzipped(CHART)) == {"p-1.0.0.tgz": b"chart"}


# Each entry is the name of a member, and how it is printed in the error.
NAMES = {
    "absolute": ("/index.yaml", "'/index.yaml'"),
    "absolute, twice": ("//index.yaml", "'//index.yaml'"),
    "parent": ("../index.yaml", "'../index.yaml'"),
    "parent after a dot": ("./../index.yaml", "'./../index.yaml'"),
    "parent in the middle": ("a/../index.yaml", "'a/../index.yaml'"),
    "parent alone": ("..", "'..'"),
    "directory": ("a/index.yaml", "'a/index.yaml'"),
    "two dots and slashes": ("././index.yaml", "'././index.yaml'"),
    "dot": (".", "'.'"),
    "dot and slash": ("./", "'./'"),
    "trailing slash": ("index.yaml/", "'index.yaml/'"),
    "empty": ("", "''"),
    "drive": ("C:index.yaml", "'C:index.yaml'"),
    "drive and backslash": ("C:\\p-1.tgz", "'C:\\p-1.tgz'"),
    "parent and backslash": ("..\\p-1.tgz", "'..\\p-1.tgz'"),
    "backslash": ("a\\b.tgz", "'a\\b.tgz'"),
    "stream of NTFS": ("p-1.tgz:stream", "'p-1.tgz:stream'"),
    "hidden": (".hidden.tgz", "'.hidden.tgz'"),
    "flag": ("-rf.tgz", "'-rf.tgz'"),
    "suffix alone": (".tgz", "'.tgz'"),
    "other suffix": ("p-1.tgz.exe", "'p-1.tgz.exe'"),
    "other case, the same file on a Mac": ("Index.yaml", "'Index.yaml'"),
    "text file of another name": ("values.yaml", "'values.yaml'"),
    "resource fork of a Mac": ("._original.yaml", "'._original.yaml'"),
    "space": ("p 1.tgz", "'p 1.tgz'"),
    "line break": ("p-1.tgz\n", r"'p-1.tgz\n'"),
    "carriage return": ("p\r-1.tgz", r"'p\r-1.tgz'"),
    "ANSI escape": ("p\x1b[2J.tgz", r"'p\x1b[2J.tgz'"),
    "right to left": ("p\u202egzt.tgz", r"'p\u202egzt.tgz'"),
    "zero width": ("p\u200b.tgz", r"'p\u200b.tgz'"),
    "not UTF-8": ("p\udcff.tgz", r"'p\udcff.tgz'"),
    "composed (NFC)": ("p\u00e9.tgz", "'pé.tgz'"),
    "decomposed (NFD)": ("pe\u0301.tgz", "'pe\u0301.tgz'"),
    "letter that looks like another": ("\u0440-1.tgz", "'\u0440-1.tgz'"),
}


@pytest.mark.parametrize("trick", NAMES)
def test_a_file_of_any_other_name_is_refused(trick: str) -> None:
    name, quoted = NAMES[trick]
    error = refusal(gzipped(tar(member(name, b"x"))))
    assert error.code == "bad-archive"
    assert sentence_of(error) == f"contains {quoted}, which is not allowed in a KuboCD package"


@pytest.mark.parametrize("trick", [trick for trick, (name, _) in NAMES.items() if name])  # a path record is never empty
def test_a_name_from_an_extended_header_has_the_same_rules(trick: str) -> None:
    name, quoted = NAMES[trick]
    error = refusal(gzipped(tar(extended({"path": name}), CHART)))
    assert sentence_of(error) == f"contains {quoted}, which is not allowed in a KuboCD package"


# Each entry is a type of member, and its name in the error.
MEMBERS = {
    "symlink": (tarfile.SYMTYPE, "a symlink"),
    "hard link": (tarfile.LNKTYPE, "a hard link"),
    "character device": (tarfile.CHRTYPE, "a device"),
    "block device": (tarfile.BLKTYPE, "a device"),
    "FIFO": (tarfile.FIFOTYPE, "a FIFO"),
    "contiguous file": (tarfile.CONTTYPE, "of the unknown type '7'"),
    "GNU sparse file": (tarfile.GNUTYPE_SPARSE, "a sparse file"),
    "GNU long name": (tarfile.GNUTYPE_LONGNAME, "a GNU long name"),
    "GNU long link": (tarfile.GNUTYPE_LONGLINK, "a GNU long link name"),
    "GNU volume label": (b"V", "of the unknown type 'V'"),
    "GNU continued file": (b"M", "of the unknown type 'M'"),
    "GNU list of a directory": (b"D", "of the unknown type 'D'"),
    "Solaris extended header": (tarfile.SOLARIS_XHDTYPE, "of the unknown type 'X'"),
    "not ASCII": (b"\xff", "of the unknown type 'ÿ'"),
    "escape": (b"\x1b", r"of the unknown type '\x1b'"),
}


@pytest.mark.parametrize("trick", MEMBERS)
def test_a_member_that_is_not_a_regular_file_is_refused(trick: str) -> None:
    kind, words = MEMBERS[trick]
    error = refusal(gzipped(tar(member("original.yaml", kind=kind, link="/etc/passwd"))))
    assert error.code == "bad-archive"
    assert sentence_of(error) == f"contains 'original.yaml', which is {words}; a package can contain only regular files"


CUT = "ends in the middle of 'p-1.0.0.tgz'"
UNREADABLE = "has an invalid extended header"


def useless(key: str) -> str:
    return f"has an extended header with '{key}', which is not allowed in a package"


def pax(block: bytes, size: int | None = None) -> bytes:
    return tar(member("pax", block, kind=tarfile.XHDTYPE, size=size), CHART)


# Each entry is a tar file and the error message.
TARS = {
    "sparse file": (
        tar(sparse()),
        "contains 'podinfo-6.7.1.tgz', which is a sparse file; a package can contain only regular files",
    ),
    "sparse file in pax": (tar(extended({"GNU.sparse.major": "1"}), CHART), useless("GNU.sparse.major")),
    "sparse name in pax": (tar(extended({"GNU.sparse.name": "../x"}), CHART), useless("GNU.sparse.name")),
    "size in pax": (tar(extended({"size": "99999999999"}), CHART), useless("size")),
    "negative size in pax": (tar(extended({"size": "-1"}), CHART), useless("size")),
    "symlink in pax": (tar(extended({"linkpath": "/etc"}), CHART), useless("linkpath")),
    "character set in pax": (tar(extended({"hdrcharset": "BINARY"}), CHART), useless("hdrcharset")),
    "path for all": (tar(extended({"path": "index.yaml"}, kind=tarfile.XGLTYPE), CHART), useless("path")),
    "size for all": (tar(extended({"size": "1"}, kind=tarfile.XGLTYPE), CHART), useless("size")),
    "pax without lengths": (pax(b"hello"), UNREADABLE),
    "pax of length 0": (pax(b"0 a=b\n"), UNREADABLE),
    "pax, too short": (pax(b"3 a=b\n"), UNREADABLE),
    "pax, too long": (pax(b"99 a=b\n"), UNREADABLE),
    "pax, negative": (pax(b"-6 a=b\n"), UNREADABLE),
    "pax, a long number": (pax(b"1" * 9000), UNREADABLE),
    "pax, digits of another script": (pax("6\u0660 a=b\n".encode()), UNREADABLE),
    "pax without a key": (pax(b"5 =b\n"), UNREADABLE),
    "directory": (
        tar(member("charts", kind=tarfile.DIRTYPE)),
        "contains 'charts/', which is a directory; a package can contain only regular files",
    ),
    "directory by another name": (
        tar(extended({"path": "a/"}), member("./", kind=tarfile.DIRTYPE)),
        "contains 'a/', which is a directory; a package can contain only regular files",
    ),
    "name of 256 bytes": (
        tar(extended({"path": "p" * 252 + ".tgz"}), CHART),
        f"contains '{'p' * 200}…', whose name is longer than 255 characters",
    ),
    "GNU long name": (
        tar(member("././@LongLink", b"p" * 300 + b"\0", kind=tarfile.GNUTYPE_LONGNAME), CHART),
        "contains '././@LongLink', which is a GNU long name; a package can contain only regular files",
    ),
    "twice": (tar(CHART, CHART), "contains 'p-1.0.0.tgz' twice"),
    "twice, once with a dot": (tar(CHART, member("./p-1.0.0.tgz", b"x")), "contains 'p-1.0.0.tgz' twice"),
    "twice, once in pax": (
        tar(CHART, extended({"path": "p-1.0.0.tgz"}), member("q.tgz")),
        "contains 'p-1.0.0.tgz' twice",
    ),
    "twice on a Mac": (tar(CHART, member("P-1.0.0.tgz", b"x")), "contains 'P-1.0.0.tgz' twice"),
    "negative size": (tar(member("p-1.0.0.tgz", size=-512)), "has a header with a negative size"),
    "size with an underscore": (
        tar(patched(CHART, 124, b"0000000_005\0")),
        "is not a tar archive: the size in a header is not a number",
    ),
    "size in Python's octal": (
        tar(patched(CHART, 124, b"0o000000005\0")),
        "is not a tar archive: the size in a header is not a number",
    ),
    "size of eights": (
        tar(patched(CHART, 124, b"00000000008\0")),
        "is not a tar archive: the size in a header is not a number",
    ),
    "missing size": (tar(member("p-1.0.0.tgz", size=400 * MIB)), CUT),
    "cut in a member": (CHART[:700], CUT),
    "cut after a header": (CHART[:512], CUT),
    "cut in a header": (CHART + b"x" * 100, "ends in the middle of its last header"),
    "no header": (CHART + b"x" * 512, "is not a tar archive: a header has a wrong checksum"),
    "not a tar file": (b"hello, world", "ends in the middle of its last header"),
    "wrong checksum": (CHART[:300] + b"!" + CHART[301:], "is not a tar archive: a header has a wrong checksum"),
    "checksum that is not a number": (
        CHART[:148] + b"checksum" + CHART[156:],
        "is not a tar archive: a header has a wrong checksum",
    ),
    "name in the prefix": (
        tar(patched(patched(CHART, 257, b"ustar\x0000"), 345, b"../../etc")),
        "contains '../../etc/p-1.0.0.tgz', which is not allowed in a KuboCD package",
    ),
    "second archive after the first": (tar(CHART) + tar(member("q-1.tgz")), "has data after the end of the archive"),
    "garbage after the end": (tar(CHART) + b"garbage", "has data after the end of the archive"),
    "zeros alone": (bytes(10240), "is empty"),
    "nothing": (b"", "is empty"),
    "only a directory": (tar(member("./", kind=tarfile.DIRTYPE)), "is empty"),
}


@pytest.mark.parametrize("trick", TARS)
def test_a_malformed_tar_is_refused(trick: str) -> None:
    data, sentence = TARS[trick]
    error = refusal(gzipped(data))
    assert error.code == "bad-archive"
    assert sentence_of(error) == sentence


# Each entry is gzip data and the error message.
GZIPS = {
    "nothing": (b"", "is truncated: its gzip data has no end"),
    "text": (b"hello, world", "is not gzip data"),
    "not gzip data": (tarred(FILES), "is not gzip data"),
    "zlib": (zlib.compress(tarred(FILES)), "is not gzip data"),
    "unknown method": (b"\x1f\x8b\x07" + gzipped(tarred(FILES))[3:], "is not gzip data"),
    "reserved flags": (gzip_header(flags=0xE0), "is not gzip data"),
    "cut in its sum": (gzipped(tarred(FILES))[:-4], "is truncated: its gzip data has no end"),
    "cut early": (gzipped(tarred(FILES))[:40], "is truncated: its gzip data has no end"),
    "garbage after it": (gzipped(tarred(FILES)) + b"garbage", "has data after the end of its gzip data"),
    "zeros after it": (gzipped(tarred(FILES)) + bytes(512), "has data after the end of its gzip data"),
    "half a member after it": (gzipped(tarred(FILES)) + b"\x1f", "is truncated: its gzip data has no end"),
    "wrong sum": (
        gzipped(tarred(FILES) + bytes(70_000))[:-8] + bytes(8),
        "is damaged near byte 65536: incorrect data check",
    ),
    "endless name in its header": (
        b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"x" * 300_000,
        "is truncated: its gzip data has no end",
    ),
}


@pytest.mark.parametrize("trick", GZIPS)
def test_malformed_gzip_data_is_refused(trick: str) -> None:
    data, sentence = GZIPS[trick]
    error = refusal(data)
    assert error.code == "bad-archive"
    assert sentence_of(error) == sentence


def test_large_extra_fields_in_the_gzip_header_are_skipped() -> None:
    extra = (65_535).to_bytes(2, "little") + bytes(65_535)
    assert read(gzip_header(flags=0x04) + extra + gzipped(tarred(FILES))[10:]) == FILES


def test_a_binary_size_field_is_read() -> None:
    binary = patched(CHART, 124, b"\x80" + bytes(10) + b"\x05")
    assert read(gzipped(tar(binary))) == {"p-1.0.0.tgz": b"chart"}


def test_a_name_ends_at_its_first_nul() -> None:
    assert read(gzipped(tar(member("p-1.0.0.tgz\0../x", b"chart")))) == {"p-1.0.0.tgz": b"chart"}


def test_a_checksum_of_signed_bytes_is_accepted() -> None:
    header = bytearray(patched(CHART, 265, b"Zo\xc3\xab"))
    header[148:156] = b"%06o\0 " % (int(header[148:154], 8) - 2 * 256)
    assert read(gzipped(tar(bytes(header)))) == {"p-1.0.0.tgz": b"chart"}


def bomb(size: int, name: str = "q-1.tgz") -> bytes:
    return gzip.compress(tar(member(name, bytes(size))), 1)


# Each entry is an archive over a limit, the limits if not the defaults, the error message, and the flag in the hint.
BEYOND = {
    "packed": (
        gzipped(tarred(FILES)),
        Limits(layer=100),
        "is larger than the limit of 100 bytes",
        "--limit layer=12800",
    ),
    "members": (
        gzipped(tar(*(member(f"q-{number}.tgz") for number in range(1001)))),
        Limits(),
        "has more members than the limit of 1000",
        "--limit members=2000",
    ),
    "extended headers are members": (
        gzipped(tar(*[extended({"a": "b"})] * 9, CHART)),
        Limits(members=9),
        "has more members than the limit of 9",
        "--limit members=18",
    ),
    "text": (
        gzipped(tar(member("original.yaml", size=6 * MIB))),
        Limits(),
        "contains 'original.yaml', which is larger than the limit of 5 MiB",
        "--limit text=10MiB",
    ),
    "one member with a large declared size": (
        gzipped(tar(member("p-1.0.0.tgz", size=1 << 62))),
        Limits(),
        "contains 'p-1.0.0.tgz', which is larger than the limit of 512 MiB",
        "--limit unpacked=1024GiB",
    ),
    "one member": (
        bomb(9000),
        Limits(unpacked=4096),
        "contains 'q-1.tgz', which is larger than the limit of 4 KiB",
        "--limit unpacked=16KiB",
    ),
    "all members": (
        gzip.compress(tar(*(member(f"q-{number}.tgz", bytes(3000)) for number in range(3)))),
        Limits(unpacked=8192),
        "unpacks to more than the limit of 8 KiB",
        "--limit unpacked=16KiB",
    ),
    "padding": (
        gzip.compress(tar(CHART) + bytes(1 << 20)),
        Limits(unpacked=1 << 16),
        "unpacks to more than the limit of 64 KiB",
        "--limit unpacked=128KiB",
    ),
    "extended header": (
        gzipped(tar(extended({"comment": "x" * 17_000}), CHART)),
        Limits(),
        "has an extended header that is larger than the limit of 16 KiB",
        "--limit extended-header=32KiB",
    ),
    "extended header with a large declared size": (
        gzipped(pax(b"", 1 << 40)),
        Limits(),
        "has an extended header that is larger than the limit of 16 KiB",
        "--limit extended-header=1024GiB",
    ),
    "gzip members": (
        gzipped(b"") * 50,
        Limits(gzip_members=20),
        "has more gzip members than the limit of 20",
        "--limit gzip-members=40",
    ),
}


@pytest.mark.parametrize("trick", BEYOND)
def test_an_archive_beyond_a_limit_is_refused_by_that_limit(trick: str) -> None:
    data, limits, sentence, flag = BEYOND[trick]
    error = refusal(data, limits)
    assert error.code == "package-limit"
    assert sentence_of(error) == sentence
    assert error.hint == f"if you trust the package, raise the limit: {flag}"


@pytest.mark.parametrize(
    "changes", [{"layer": 12_800}, {"members": 4}, {"unpacked": 10_240}, {"text": 8}, {"gzip_members": 1}]
)
def test_an_archive_at_its_limits_is_read(changes: dict[str, int]) -> None:
    assert read(gzipped(tarred(FILES)), Limits(**changes)) == FILES


def test_a_bomb_uses_no_more_memory_than_the_limit() -> None:
    data = bomb(64 * MIB)
    limits = Limits(unpacked=MIB)
    tracemalloc.start()
    try:
        refusal(data, limits)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@given(st.lists(st.tuples(st.integers(0, 3071), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_are_accepted_or_refused_with_a_readable_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(tar(extended({"path": "q-1.0.0.tgz", "mtime": "1.5"}), CHART, member("index.yaml", b"{}")))
    for index, value in changes:
        data[index % len(data)] = value
    # Most changes break the checksum of a header, so the checksums are corrected.
    for start in range(0, 2560, 512):
        header = data[start : start + 512]
        header[148:156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    try:
        files = read(gzipped(bytes(data)))
    except ProblemsError as error:
        assert error.problem.message.isprintable()
    else:
        assert all("/" not in name for name in files)
