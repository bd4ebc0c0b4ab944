"""Charts as Helm loads them. Each result is compared with that of the real helm."""

from __future__ import annotations

import contextlib
import gzip
import subprocess
import tarfile
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.archives.chart_archive import ChartBudget, check_chart_archive
from kubocd_gen.archives.tar_stream import BadArchiveError, OverLimitError
from kubocd_gen.budget.limits import LIMITS, Limits
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.helm.process import find_helm
from kubocd_gen.packages.archive import Subject
from kubocd_gen.packages.chart_index import check_chart_archives
from tests.support.hostile import extended, gzip_header, member, patched, sparse, tar, with_paths
from tests.support.images import chart_archive, gzipped, tarred

MIB = 1 << 20
META = b"apiVersion: v2\nname: p\nversion: 1.0.0\n"
YAML = member("p/Chart.yaml", META)
GOOD = gzipped(tar(YAML))
PLACE = Position("vendor/blobs/sha256/00")


def check(chart: bytes, limits: Limits = LIMITS) -> ChartBudget:
    """Check the chart and return the rest of the package's budget."""
    budget = ChartBudget(limits, Budget(limits))
    check_chart_archive(chart, budget)
    return budget


def helm_accepts(chart: bytes, directory: Path) -> bool:
    path = directory / "p-1.0.0.tgz"
    path.write_bytes(chart)
    return subprocess.run([find_helm(), "show", "chart", path], capture_output=True).returncode == 0


def refusal(chart: bytes, limits: Limits = LIMITS) -> Problem:
    with pytest.raises(ProblemsError) as caught:
        check_chart_archives({"p-1.0.0.tgz": chart}, Subject("x.io/p:1", PLACE, limits))
    assert caught.value.problem.message.startswith("x.io/p:1: chart 'p-1.0.0.tgz' ")
    assert caught.value.problem.message.isprintable()
    assert caught.value.problem.position == PLACE
    return caught.value.problem


def sentence_of(error: Problem) -> str:
    return error.message.removeprefix("x.io/p:1: chart 'p-1.0.0.tgz' ")


def chart_with(*members: bytes) -> bytes:
    return gzipped(tar(YAML, *members))


LONG = "p/templates/" + "a" * 150 + ".yaml"
FILES = {"p/Chart.yaml": META, "p/templates/one.yaml": b"one: 1\n", LONG: b"", "p/files/Zoë": b"x"}
PACKED = {
    "plain": GOOD,
    "as GNU's tar packs it": gzip.compress(with_paths(FILES, tarfile.GNU_FORMAT)),
    "as Go's tar packs it, in pax": gzip.compress(with_paths(FILES, tarfile.PAX_FORMAT)),
    "as old tars pack it": gzipped(tarred({"p/Chart.yaml": META})),
    "directories": chart_with(member("p/templates", kind=tarfile.DIRTYPE)),
    "header for all": gzipped(tar(extended({"comment": "0123abc"}, kind=tarfile.XGLTYPE), YAML)),
    "no end mark": gzipped(YAML),
    "garbage after the end mark": gzipped(tar(YAML) + b"x" * 700),
    "garbage after the gzip data": gzipped(tar(YAML) + bytes(9000)) + b"garbage",
    "two gzip members": gzipped(YAML[:600]) + gzipped(YAML[600:] + bytes(1024)),
    "extra fields in the gzip header": gzip_header(flags=4) + b"\xff\xff" + bytes(65_535) + GOOD[10:],
    "backslashes, as Windows has them": gzipped(tar(member("p\\Chart.yaml", META), member("p\\a\\b", b"x"))),
    "a parent that stays within": chart_with(member("p/a/../b", b"x")),
    "a directory that is a parent": chart_with(member("../b", b"x")),
    "a symlink, which Helm reads as an empty file": chart_with(member("p/a", kind=tarfile.SYMTYPE, link="/etc/passwd")),
    "a FIFO, which Helm takes for an empty file": chart_with(member("p/a", kind=tarfile.FIFOTYPE)),
    "the same file twice": chart_with(member("p/a", b"x"), member("p/a", b"y")),
    "not UTF-8": chart_with(member("p/\udcff", b"x")),
    "an escape": chart_with(member("p/\x1b[2J", b"x")),
    "a name of 300 bytes": chart_with(extended({"path": "p/" + "a" * 300}), member("x", b"x")),
    "a GNU long name": chart_with(
        member("././@LongLink", b"p/" + b"a" * 300 + b"\0", kind=tarfile.GNUTYPE_LONGNAME), member("x", b"x")
    ),
    "a chart in a chart": chart_with(member("p/charts/q-1.0.0.tgz", GOOD)),
    "not a chart despite its name": chart_with(member("p/charts/_q.tgz", b"x"), member("p/charts/.q.tgz", b"x")),
    "no chart, deeper down": chart_with(member("p/files/charts/q.tgz", b"x")),
    "a file of 5 MiB": gzip.compress(tar(YAML, member("p/a", bytes(5 * MIB))), 1),
}


@pytest.mark.parametrize("chart", PACKED.values(), ids=PACKED)
def test_a_chart_that_helm_accepts_is_accepted(chart: bytes, tmp_path: Path) -> None:
    check_chart_archives({"p-1.0.0.tgz": chart}, Subject("x.io/p:1"))
    assert helm_accepts(chart, tmp_path)


def outside(name: str) -> str:
    return f"contains '{name}', which is not in the chart's directory"


# Each entry is a chart and the error message. Helm refuses these charts as well.
REFUSED = {
    "text": (b"a chart", "is not gzip data"),
    "nothing": (b"", "is truncated: its gzip data has no end"),
    "plain tar": (tar(YAML), "is not gzip data"),
    "zlib": (zlib.compress(tar(YAML)), "is not gzip data"),
    "cut": (GOOD[:300], "is truncated: its gzip data has no end"),
    "damaged": (GOOD[:10] + b"\xff" + GOOD[11:], "is not gzip data"),
    "empty": (gzipped(tar()), "has no Chart.yaml in its top directory"),
    "no Chart.yaml": (gzipped(tar(member("p/a", b"x"))), "has no Chart.yaml in its top directory"),
    "Chart.yaml too deep": (gzipped(tar(member("p/a/Chart.yaml", META))), "has no Chart.yaml in its top directory"),
    "Chart.yaml outside": (
        gzipped(tar(member("Chart.yaml", META))),
        "has its Chart.yaml at the root, not in a directory",
    ),
    "Chart.yaml of a directory": (
        chart_with(member("Chart.yaml/a", b"x")),
        "has its Chart.yaml at the root, not in a directory",
    ),
    "file without a directory": (chart_with(member("a", b"x")), outside("a")),
    "only a directory": (chart_with(member("p/.", b"x")), outside("p/.")),
    "no name": (chart_with(member("", b"x")), outside("")),
    "absolute": (chart_with(member("p//etc/passwd", b"x")), outside("p//etc/passwd")),
    "parent": (chart_with(member("p/../x", b"x")), outside("p/../x")),
    "parent after a directory": (chart_with(member("p/a/../../x", b"x")), outside("p/a/../../x")),
    "parent with backslashes": (chart_with(member("p\\..\\x", b"x")), outside("p\\..\\x")),
    "parent in an extended header": (chart_with(extended({"path": "p/../x"}), member("p/a")), outside("p/../x")),
    "two dots in front": (chart_with(member("p/..x", b"x")), outside("p/..x")),
    "drive": (chart_with(member("p/c:/x", b"x")), outside("p/c:/x")),
    "escape in a name": (chart_with(member("p/../\x1b[2J", b"x")), outside(r"p/../\x1b[2J")),
    "right to left": (chart_with(member("p/../\u202ex", b"x")), outside(r"p/../\u202ex")),
    "cut in a member": (gzipped(tar(YAML)[:530]), "ends in the middle of 'p/Chart.yaml'"),
    "cut in a header": (gzipped(YAML + b"x" * 9), "ends in the middle of its last header"),
    "wrong checksum": (
        gzipped(tar(YAML[:300] + b"!" + YAML[301:])),
        "is not a tar archive: a header has a wrong checksum",
    ),
    "garbage in the end mark": (gzipped(YAML + bytes(512) + b"x" * 512), "has data after the end of the archive"),
    "negative size": (chart_with(member("p/a", size=-512)), "has a header with a negative size"),
    "size that is not a number": (
        chart_with(patched(member("p/a"), 124, b"0000000_005\0")),
        "is not a tar archive: the size in a header is not a number",
    ),
    "sizes beyond the end": (chart_with(member("p/a", size=4 * MIB)), "ends in the middle of 'p/a'"),
    "pax that cannot be read": (
        chart_with(member("pax", b"99 a=b\n", kind=tarfile.XHDTYPE), member("p/a")),
        "has an invalid extended header",
    ),
    "link whose size hides the next members": (
        chart_with(member("p/a", b"x" * 512, kind=tarfile.SYMTYPE)),
        "is not a tar archive: a header has a wrong checksum",
    ),
    "directory whose size hides a file": (
        chart_with(member("p/a", member("p/../x", b"x") * 2, kind=tarfile.DIRTYPE)),
        outside("p/../x"),
    ),
    "no chart in it": (chart_with(member("p/charts/q.tgz", META)), "contains 'charts/q.tgz', which is not gzip data"),
    "no chart in a chart in it": (
        chart_with(member("p/charts/q.tgz", chart_with(member("p/charts/r.tgz", gzipped(tar()))))),
        "contains 'charts/r.tgz', which has no Chart.yaml in its top directory",
    ),
}


@pytest.mark.parametrize("trick", REFUSED)
def test_a_chart_that_helm_refuses_is_refused(trick: str, tmp_path: Path) -> None:
    chart, sentence = REFUSED[trick]
    error = refusal(chart)
    assert error.code == "corrupt-chart"
    assert sentence_of(error) == sentence
    assert error.hint == "Helm cannot load this chart; package it again with 'helm package'"
    assert not helm_accepts(chart, tmp_path)


# Helm may accept these, but kcd-gen does not: no real chart needs them, and readers of tar files disagree about them.
STRANGE = {
    "sparse file": (chart_with(sparse()), "contains 'podinfo-6.7.1.tgz', which is a sparse file"),
    "sparse file in pax": (
        chart_with(extended({"GNU.sparse.major": "1"}), member("p/a")),
        "has an extended header with 'GNU.sparse.major', which is not allowed in a chart",
    ),
    "size in pax": (
        chart_with(extended({"size": "1"}), member("p/a")),
        "has an extended header with 'size', which is not allowed in a chart",
    ),
}


@pytest.mark.parametrize("trick", STRANGE)
def test_sizes_that_are_not_in_their_header_are_refused(trick: str) -> None:
    chart, sentence = STRANGE[trick]
    error = refusal(chart)
    assert error.code == "corrupt-chart"
    assert sentence_of(error) == sentence


def nested(depth: int) -> bytes:
    chart = GOOD
    for _ in range(depth):
        chart = chart_with(member("p/charts/p.tgz", chart))
    return chart


def test_subcharts_are_read_up_to_the_nesting_limit() -> None:
    assert check(nested(16)).unpacked < LIMITS.unpacked - 16 * len(tar(YAML))
    assert sentence_of(refusal(nested(17))) == "nests subcharts more than 16 levels deep"


def zeros(*sizes: int) -> bytes:
    files = {f"p/{number}": bytes(size) for number, size in enumerate(sizes)}
    return gzip.compress(tarred({"p/Chart.yaml": META, **files}), 1)


def test_a_file_has_the_size_limit_of_helm(tmp_path: Path) -> None:
    chart = zeros(5 * MIB + 1)
    error = refusal(chart)
    assert error.code == "package-limit"
    assert sentence_of(error) == "contains 'p/0', which is larger than the limit of 5 MiB"
    assert error.hint is not None
    assert error.hint.endswith(": --limit chart-file=10MiB")
    assert not helm_accepts(chart, tmp_path)
    check(chart, Limits(chart_file=6 * MIB))


def test_a_chart_has_the_size_limit_of_helm(tmp_path: Path) -> None:
    chart = zeros(*[5 * MIB] * 20)
    error = refusal(chart)
    assert error.code == "package-limit"
    assert sentence_of(error) == "unpacks to more than the limit of 100 MiB"
    assert error.hint is not None
    assert error.hint.endswith(": --limit chart=200MiB")
    assert not helm_accepts(chart, tmp_path)
    check(chart, Limits(chart=101 * MIB))


# Each entry is a chart, the limits, the error message, and the flag in the hint.
BEYOND = {
    "packed": (zeros(0), Limits(chart_archive=100), "is larger than the limit of 100 bytes", "chart-archive=400"),
    "headers alone": (
        gzip.compress(tar(*[member("p/a")] * 5000)),
        Limits(chart=MIB),
        "unpacks to more than the limit of 1 MiB",
        "chart=2MiB",
    ),
    "too many headers": (
        gzip.compress(tar(*[member("p/a")] * 50_001)),
        Limits(),
        "makes the number of members in all charts of the package larger than the limit of 50000",
        "chart-members=100000",
    ),
    "a file with a large declared size": (
        chart_with(member("p/a", size=1 << 40)),
        Limits(),
        "contains 'p/a', which is larger than the limit of 5 MiB",
        "chart-file=1280GiB",
    ),
    "extended header": (
        chart_with(extended({"comment": "x" * 17_000}), member("p/a")),
        Limits(),
        "has an extended header that is larger than the limit of 16 KiB",
        "extended-header=32KiB",
    ),
    "gzip members": (
        gzipped(b"") * 50,
        Limits(gzip_members=20),
        "has more gzip members than the limit of 20",
        "gzip-members=40",
    ),
}


@pytest.mark.parametrize("trick", BEYOND)
def test_a_chart_beyond_a_limit_is_refused_by_that_limit(trick: str) -> None:
    chart, limits, sentence, flag = BEYOND[trick]
    error = refusal(chart, limits)
    assert error.code == "package-limit"
    assert sentence_of(error) == sentence
    assert error.hint is not None
    assert error.hint.endswith(f"--limit {flag}")


def test_a_subchart_has_the_same_limits() -> None:
    error = refusal(chart_with(member("p/charts/q.tgz", zeros(6 * MIB))))
    assert (
        sentence_of(error) == "contains 'charts/q.tgz', which contains 'p/0', which is larger than the limit of 5 MiB"
    )


def test_the_charts_of_a_package_have_a_total_size_limit() -> None:
    charts = {f"p-{number}.tgz": zeros(1000) for number in range(9)}
    with pytest.raises(ProblemsError, match=r"chart 'p-7\.tgz' unpacks to more than the limit of 25 KiB") as caught:
        check_chart_archives(charts, Subject("x.io/p:1", limits=Limits(unpacked=25 * 1024)))
    assert caught.value.problem.code == "package-limit"
    assert caught.value.problem.hint == "if you trust the package, raise the limit: --limit unpacked=50KiB"


def test_the_charts_of_a_package_have_a_total_member_limit() -> None:
    charts = {f"p-{number}.tgz": zeros(1, 1) for number in range(9)}
    with pytest.raises(
        ProblemsError, match=r"chart 'p-3\.tgz' makes the number of members in all charts of the package larger than"
    ):
        check_chart_archives(charts, Subject("x.io/p:1", limits=Limits(chart_members=10)))


def test_subcharts_count_toward_the_total_size_limit() -> None:
    chart = chart_with(*(member(f"p/charts/q-{number}.tgz", zeros(100_000)) for number in range(9)))
    assert sentence_of(refusal(chart, Limits(unpacked=500_000))).endswith("than the limit of 500000 bytes")


def test_a_bomb_uses_no_more_memory_than_its_largest_file() -> None:
    chart = zeros(*[5 * MIB] * 19)
    tracemalloc.start()
    try:
        check(chart)
        assert tracemalloc.get_traced_memory()[1] < 24 * MIB
    finally:
        tracemalloc.stop()


@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_are_accepted_or_refused_without_a_crash(changes: list[tuple[int, int]]) -> None:
    data = bytearray(gzip.compress(with_paths(FILES, tarfile.PAX_FORMAT), mtime=0))
    for index, value in changes:
        data[index % len(data)] = value
    with contextlib.suppress(BadArchiveError, OverLimitError):
        check(bytes(data))


@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_changed_tar_is_accepted_or_refused_without_a_crash(changes: list[tuple[int, int]]) -> None:
    data = bytearray(with_paths(FILES, tarfile.PAX_FORMAT))
    for index, value in changes:
        data[index % len(data)] = value
    for start in range(0, len(data), 512):
        header = data[start : start + 512]
        header[148:156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    with contextlib.suppress(BadArchiveError, OverLimitError):
        check(gzipped(bytes(data)))


def test_the_charts_of_the_test_support_are_valid() -> None:
    assert check(chart_archive({"p/Chart.yaml": META})).members == LIMITS.chart_members - 1
