from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kubocd_gen.packaging.charts import Charts
from kubocd_gen.packaging.helm_repository import BadIndexError, chart_entries, chart_names, find_version, resolve_url
from kubocd_gen.packaging.manifest_file import HelmRepositoryChart
from tests.support.charts import Static, archive, serve, write_files, write_repository
from tests.support.problems import refusal

WEB = archive()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    more = {"web-v1.1.0.tgz": archive(version="v1.1.0"), "db-2.0.0.tgz": archive("db", "2.0.0")}
    return write_repository(tmp_path / "repository/stable", {"web-1.0.0.tgz": WEB, **more}).parent


@pytest.fixture
def server(repository: Path) -> Iterator[Static]:
    with serve(repository) as static:
        yield static


def wanted(server: Static, chart: str = "web", version: str = "1.0.0") -> HelmRepositoryChart:
    return HelmRepositoryChart(f"{server.url}/stable", chart, version)


def change_index(repository: Path, *, urls: list[str] | None = None, digest: str | None = None) -> None:
    """Change the entry of web 1.0.0."""
    path = repository / "stable/index.yaml"
    index = yaml.safe_load(path.read_text())
    entry = next(one for one in index["entries"]["web"] if one["version"] == "1.0.0")
    entry |= {"urls": entry["urls"] if urls is None else urls, "digest": digest or entry["digest"]}
    path.write_text(yaml.safe_dump(index))


def test_a_chart_is_fetched_byte_for_byte(charts: Charts, server: Static) -> None:
    chart = charts.fetch(wanted(server)).chart
    assert chart.archive == WEB
    assert (chart.name, chart.version) == ("web", "1.0.0")


def test_an_index_and_a_chart_are_fetched_once(charts: Charts, server: Static) -> None:
    for source in (wanted(server), wanted(server), wanted(server, "db", "2.0.0")):
        charts.fetch(source)
    assert sorted(server.asked) == ["/stable/db-2.0.0.tgz", "/stable/index.yaml", "/stable/web-1.0.0.tgz"]


def test_a_version_with_a_v_prefix_is_found(charts: Charts, server: Static) -> None:
    assert charts.fetch(wanted(server, version="1.1.0")).chart.version == "v1.1.0"


def test_urls_can_be_absolute(charts: Charts, server: Static, repository: Path, tmp_path: Path) -> None:
    with serve(write_files(tmp_path / "elsewhere", {"x/y.tgz": WEB})) as other:
        change_index(repository, urls=[f"{other.url}/x/y.tgz"])
        assert charts.fetch(wanted(server)).chart.archive == WEB
        assert other.asked == ["/x/y.tgz"]


def test_a_relative_url_with_parent_components_reads_no_local_file(
    charts: Charts, server: Static, repository: Path
) -> None:
    (repository / "etc").mkdir()
    (repository / "etc/passwd").write_text("root")
    change_index(repository, urls=["../../../../etc/passwd"], digest="0" * 64)
    error = refusal(lambda: charts.fetch(wanted(server)), "corrupt-chart")
    assert server.asked[-1] == "/etc/passwd"
    assert hashlib.sha256(b"root").hexdigest() in error.message


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://x/y.tgz",
        "http://user:pw@x/y.tgz",
        "http://[::1/y.tgz",
        "//[x]/y.tgz",
    ],
)
def test_a_url_of_another_scheme_is_refused(charts: Charts, server: Static, repository: Path, url: str) -> None:
    change_index(repository, urls=[url])
    refusal(lambda: charts.fetch(wanted(server)), "bad-index")


def test_a_version_without_urls_is_refused(charts: Charts, server: Static, repository: Path) -> None:
    change_index(repository, urls=[])
    assert "has no URL for chart web 1.0.0" in refusal(lambda: charts.fetch(wanted(server)), "bad-index").message


def test_an_archive_with_another_digest_than_in_the_index_is_refused(
    charts: Charts, server: Static, repository: Path
) -> None:
    (repository / "stable/web-1.0.0.tgz").write_bytes(archive(description="changed"))
    refusal(lambda: charts.fetch(wanted(server)), "corrupt-chart")


def test_an_archive_of_another_chart_is_refused(charts: Charts, server: Static, repository: Path) -> None:
    change_index(repository, urls=["db-2.0.0.tgz"], digest=hashlib.sha256(archive("db", "2.0.0")).hexdigest())
    error = refusal(lambda: charts.fetch(wanted(server)), "bad-chart")
    assert error.message.endswith("contains another chart: 'db 2.0.0'")


@pytest.mark.parametrize(
    ("chart", "version", "message", "hint"),
    [
        ("webb", "1.0.0", "has no chart 'webb'", "did you mean 'web'?"),
        ("web", "1.0.1", "has no version '1.0.1' of chart 'web'", "did you mean '1.0.0'?"),
        ("db", "9.9.99-rc.1", "has no version '9.9.99-rc.1' of chart 'db'", "the first version in its index is 2.0.0"),
    ],
)
def test_a_missing_chart_or_version_is_an_error_with_a_suggestion(
    charts: Charts, server: Static, chart: str, version: str, message: str, hint: str
) -> None:
    error = refusal(lambda: charts.fetch(wanted(server, chart, version)), "missing-chart")
    assert error.message.endswith(message)
    assert error.hint == hint


def test_a_repository_without_an_index_is_an_error(charts: Charts, server: Static) -> None:
    error = refusal(
        lambda: charts.fetch(HelmRepositoryChart(f"{server.url}/unstable", "web", "1.0.0")), "missing-chart"
    )
    assert "/unstable/index.yaml' returned 404" in error.message


def test_credentials_are_sent_if_the_server_requires_them(
    charts: Charts, repository: Path, credentials: dict[str, tuple[str, str]]
) -> None:
    with serve(repository, login=("alice", "secret")) as server:
        error = refusal(lambda: charts.fetch(wanted(server)), "registry-denied")
        assert error.exit_code == 4
        credentials[server.host] = ("alice", "secret")
        other_url = HelmRepositoryChart(f"{server.url}/./stable", "web", "1.0.0")
        assert charts.fetch(other_url).chart.archive == WEB


def test_credentials_are_sent_only_to_their_host(
    charts: Charts, repository: Path, tmp_path: Path, credentials: dict[str, tuple[str, str]]
) -> None:
    with (
        serve(repository, login=("alice", "secret")) as server,
        serve(write_files(tmp_path / "other", {"web.tgz": WEB}), login=("alice", "secret")) as other,
    ):
        credentials[server.host] = ("alice", "secret")
        change_index(repository, urls=[f"{other.url}/web.tgz"])
        refusal(lambda: charts.fetch(wanted(server)), "registry-denied")


@pytest.mark.parametrize(
    ("repository", "url", "resolved"),
    [
        ("https://x.io/a", "web.tgz", "https://x.io/a/web.tgz"),
        ("https://x.io/a", "charts/web.tgz", "https://x.io/a/charts/web.tgz"),
        ("https://x.io/a", "/web.tgz", "https://x.io/web.tgz"),
        ("https://x.io/a?token=1", "web.tgz", "https://x.io/a/web.tgz?token=1"),
        ("https://x.io/a?token=1", "https://y.io/web.tgz", "https://y.io/web.tgz"),
        ("https://x.io", "index.yaml", "https://x.io/index.yaml"),
        ("https://x.io/a", "oci://y.io/web:1.0.0", "oci://y.io/web:1.0.0"),
    ],
)
def test_urls_are_resolved_as_in_helm(repository: str, url: str, resolved: str) -> None:
    assert resolve_url(repository, url) == resolved


def index(**charts: list[dict[str, object]]) -> bytes:
    return yaml.safe_dump({"apiVersion": "v1", "entries": charts, "generated": "2025"}).encode()


VERSIONS: list[dict[str, object]] = [
    {"version": "1.0.0", "urls": ["a.tgz"], "digest": "sha256:" + "A" * 64},
    {"version": "0.9", "urls": None},
]


@pytest.mark.parametrize(
    "text",
    [
        index(aaa=[{"version": "3"}], web=VERSIONS, zzz=[{"version": "4"}]),
        index(web=VERSIONS),
        json.dumps({"entries": {"web": VERSIONS}}).encode(),
        b"entries: {web: [{version: 1.0.0, urls: [a.tgz], digest: " + b"a" * 64 + b"}, {version: 0.9}]}",
        b"entries:\n    web:\n    - {version: 1.0.0, urls: [a.tgz], digest: "
        + b"a" * 64
        + b"}\n    - version: '0.9'\n",
        b'entries:\r\n  "web":\r\n  # a note\r\n  - {version: 1.0.0, urls: [a.tgz], digest: '
        + b"a" * 64
        + b"}\r\n\r\n  - version: 0.9\r\ngenerated: x\r\n",
    ],
)
def test_the_versions_of_a_chart_are_found_in_any_layout(text: bytes) -> None:
    entries = chart_entries(text, "web")
    assert entries is not None
    assert [(one.version, one.urls, one.digest) for one in entries] == [
        ("1.0.0", ("a.tgz",), "a" * 64),
        ("0.9", (), None),
    ]


def test_only_the_requested_chart_of_a_large_index_is_parsed(benchmark_index: bytes) -> None:
    assert chart_entries(benchmark_index, "chart0777") is not None
    assert chart_entries(benchmark_index, "chart9999") is None
    assert len(chart_names(benchmark_index)) == 1000


@pytest.fixture
def benchmark_index() -> bytes:
    versions = "".join(f"  - version: {n}.0.0\n    urls: [x-{n}.tgz]\n    description: text\n" for n in range(100))
    return ("apiVersion: v1\nentries:\n" + "".join(f"  chart{n:04}:\n{versions}" for n in range(1000))).encode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[]", "is not a Helm repository index"),
        (b"entries: []", "is not a Helm repository index"),
        (b"{", "is not valid JSON"),
        (b"entries:\n  web: x\n", "has no list of versions for 'web'"),
        (b"entries: &a {web: *a}", "alias"),
        (b"entries: " + b"[" * 100, "is nested more than"),
        (b"entries: " + b"[" * 5_000, "is nested more than"),  # libyaml may detect this first
        (b"a: b: c", "is not valid YAML"),
        (b"a: \x00", "is not valid YAML"),
        (b"<!doctype html><html>", "is not a Helm repository index"),
    ],
)
def test_an_invalid_index_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(BadIndexError, match=message):
        chart_entries(text, "web")


def test_the_exact_version_precedes_an_equal_version() -> None:
    entries = chart_entries(index(web=[{"version": "v1.0.0"}, {"version": "1.0.0"}]), "web")
    assert entries is not None
    found = find_version(entries, "1.0.0")
    assert found is not None
    assert found.version == "1.0.0"
    assert find_version(entries, "1") is entries[0]
    assert find_version(entries, "1.0.0+build") is None
