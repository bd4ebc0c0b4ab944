from __future__ import annotations

import io
import tarfile

import pytest

from kubocd_gen.archives.chart import read_chart, repacked, same_version
from kubocd_gen.archives.chart_members import is_plain_path, read_chart_archive
from kubocd_gen.archives.reproducible import NO_TIME, compressed, stored, tarred
from kubocd_gen.budget.limits import Limits
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from tests.support import hostile
from tests.support.images import chart_archive, gzipped
from tests.support.problems import refusal


def chart(chart_yaml: str, **files: bytes) -> bytes:
    return chart_archive({"web/Chart.yaml": chart_yaml.encode(), **{f"web/{k}": v for k, v in files.items()}})


def message_of(archive: bytes) -> str:
    return refusal(lambda: read_chart(archive, describe="chart web"), "bad-chart").message


def test_the_metadata_is_what_helm_would_write_to_an_index() -> None:
    text = """\
apiVersion: v2
name: web
version: 1.2.3
appVersion: 1.10
deprecated: true
keywords: [a, 1]
maintainers: [{name: A, twitter: x}]
annotations: {a: true}
dependencies: [{name: db, version: 1, repository: '', import-values: [{a: b}], tags: [x]}]
icon: null
unknown: {a: b}
"""
    read = read_chart(chart(text), describe="chart web")
    assert read.metadata == {
        "annotations": {"a": "true"},
        "apiVersion": "v2",
        "appVersion": "1.1",
        "dependencies": [
            {"import-values": [{"a": "b"}], "name": "db", "repository": "", "tags": ["x"], "version": "1"}
        ],
        "deprecated": True,
        "keywords": ["a", "1"],
        "maintainers": [{"name": "A"}],
        "name": "web",
        "version": "1.2.3",
    }
    assert read.file_name == "web-1.2.3.tgz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a/b\nversion: 1.0.0", "'a/b'"),
        ("name: ../x\nversion: 1.0.0", "'../x'"),
        ("name: -x\nversion: 1.0.0", "'-x'"),
        ("name: web\nversion: latest", "'latest'"),
        ("name: web\nversion: 1.0.0/../x", "'1.0.0/../x'"),
        ("name: web", "''"),
        ("name: [web]\nversion: 1.0.0", "has a Chart.yaml whose 'name' is a list, not a string"),
        ("name: web\nversion: 1.0.0\nkeywords: a", "whose 'keywords' is a string"),
        ("name: web\nversion: 1.0.0\nmaintainers: [a]", "whose 'maintainers' is a string"),
        ("name: web\nversion: 1.0.0\ndeprecated: maybe", "whose 'deprecated' is a string"),
        ("- a", "has a Chart.yaml that is not a map"),
        ("a: b: c", "has an invalid Chart.yaml"),
    ],
)
def test_a_chart_yaml_that_helm_rejects_is_refused(text: str, message: str) -> None:
    assert message in message_of(chart(text))


def test_a_chart_yaml_that_is_not_utf_8_or_missing_is_refused() -> None:
    assert "not valid UTF-8" in message_of(chart_archive({"web/Chart.yaml": b"\xff"}))
    assert "has no Chart.yaml" in message_of(chart_archive({"web/charts/db/Chart.yaml": b"name: db"}))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (hostile.member("web/../../etc/passwd"), "invalid path"),
        (hostile.member("/etc/passwd"), "invalid path"),
        (hostile.member("web\\..\\x"), "invalid path"),
        (hostile.member("C:/x"), "invalid path"),
        (hostile.member("web/a", kind=tarfile.SYMTYPE, link="/etc/passwd"), "which is a symlink"),
        (hostile.member("web/a", kind=tarfile.LNKTYPE, link="web/b"), "which is a hard link"),
        (hostile.member("web/a", kind=tarfile.FIFOTYPE), "which is a FIFO"),
        (hostile.member("web/a") + hostile.member("web/a"), "twice"),
        (hostile.member("web/a", b"x", size=1 << 20), "ends in the middle of"),
        (hostile.extended({"size": "1"}) + hostile.member("web/a"), "extended header with 'size'"),
    ],
)
def test_a_harmful_archive_is_refused(member: bytes, message: str) -> None:
    assert message in message_of(gzipped(hostile.tar(member)))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = compressed(tarred({"web/Chart.yaml": b"name: web\nversion: 1.0.0\n", "web/zeros": bytes(1 << 20)}))
    limits = Limits(chart=1 << 19)
    error = refusal(lambda: read_chart_archive(bomb, describe="chart web", limits=limits), "package-limit")
    assert error.message.startswith("chart web unpacks to more")


def test_names_longer_than_a_tar_header_are_read() -> None:
    name = f"web/templates/{'long/' * 30}name.yaml"
    for layout in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        data = gzipped(hostile.with_paths({name: b"x"}, layout))
        (member,) = read_chart_archive(data, describe="chart web")
        assert (member.path, member.data) == (name, b"x")


def test_a_chart_has_the_time_of_its_newest_file() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for number, name in enumerate(("web/Chart.yaml", "web/values.yaml", "web/NOTES")):
            info = tarfile.TarInfo(name)
            info.mtime = (5, 7, 6)[number]
            data = b"name: web\nversion: 1.0.0\n"
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert read_chart(gzipped(packed.getvalue()), describe="chart web").time == 7


def test_repacking_does_not_depend_on_the_order_or_times_of_the_files() -> None:
    files = {"web/values.yaml": b"{}", "web/Chart.yaml": b"name: web\nversion: 1.0.0\n"}
    one = repacked(compressed(tarred(files, 5)), describe="chart web")
    other = repacked(stored(tarred(dict(reversed(files.items())), 6)), describe="chart web")
    assert one.archive == other.archive
    assert one.time == NO_TIME


def test_gzip_reads_stored_and_compressed_data() -> None:
    import gzip

    for data in (b"", b"x", bytes(0xFFFF), bytes(0x10000), bytes(200_000)):
        assert gzip.decompress(stored(data)) == data
        assert gzip.decompress(compressed(data)) == data
        assert stored(data) == gzipped(data)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("v1.2", "1.2.0", True), ("1.0.0", "1.0.0+a", False), ("1.0.0-a", "1.0.0", False), ("x", "x", True)],
)
def test_versions_are_compared_as_helm_does(one: str, other: str, same: bool) -> None:
    assert same_version(one, other) is same


@pytest.mark.parametrize("path", ["", "/a", "a//b", "a/../b", ".", "a/.", "a\\b", "c:a", "a\nb", "a/"])
def test_a_path_that_is_not_plain_is_recognized(path: str) -> None:
    assert not is_plain_path(path)


def test_values_of_a_chart_are_counted_in_the_budget_of_the_run() -> None:
    metadata = (
        "apiVersion: v2\nname: web\nversion: 1.0.0\nannotations: {" + ", ".join(f"a{n}: b" for n in range(60)) + "}\n"
    )
    budget = Budget(Limits(yaml_values=100))
    for read in (read_chart, repacked):
        with pytest.raises(BudgetExceededError):
            for _ in range(3):
                read(chart(metadata), describe="chart web", budget=budget)
