from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from kubocd_gen.archives.chart_members import read_chart_archive
from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.packaging.charts import Charts
from kubocd_gen.packaging.manifest_file import LocalChart
from tests.support.charts import archive, chart_files, serve, write_files, write_repository
from tests.support.problems import refusal
from tests.support.workspace import files_below


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Create a directory for a manifest, with a chart in `web`."""
    write_files(tmp_path / "project/web", chart_files())
    return tmp_path / "project"


def members(charts: Charts, directory: Path, path: str = "web") -> dict[str, bytes]:
    fetched = charts.fetch(LocalChart(directory, path)).chart.archive
    return {one.path.removeprefix("web/"): one.data for one in read_chart_archive(fetched, describe="it")}


def depend(directory: Path, *dependencies: dict[str, str]) -> None:
    text = yaml.safe_dump(list(dependencies), default_flow_style=True, width=1000).strip()
    write_files(directory / "web", {"Chart.yaml": chart_files(dependencies=text)["Chart.yaml"]})


def test_files_in_helmignore_are_omitted(charts: Charts, directory: Path) -> None:
    write_files(directory / "web", {".helmignore": b"notes/\n*.md\n", "notes/a": b"", "README.md": b"", "kept": b"k"})
    assert set(members(charts, directory)) == {
        "Chart.yaml",
        "values.yaml",
        "templates/values.yaml",
        "kept",
        ".helmignore",
    }


def test_the_git_directory_of_a_chart_is_omitted(charts: Charts, directory: Path) -> None:
    write_files(directory / "web", {".git/config": b"[remote]"})
    assert ".git/config" not in members(charts, directory)


def test_the_path_can_leave_the_directory_of_the_manifest_or_be_absolute(charts: Charts, directory: Path) -> None:
    (directory / "packages").mkdir()
    assert members(charts, directory / "packages", "../web")
    assert members(charts, directory / "packages", str(directory / "web"))


def test_symlinks_inside_the_directory_are_followed(charts: Charts, directory: Path) -> None:
    write_files(directory, {"shared/a.yaml": b"a: 1\n"})
    (directory / "web/templates/a.yaml").symlink_to("../../shared/a.yaml")
    (directory / "web/crds").symlink_to(directory / "shared")
    (directory / "alias").symlink_to("web")
    found = members(charts, directory, "alias")
    assert found["templates/a.yaml"] == found["crds/a.yaml"] == b"a: 1\n"


def test_symlinks_that_lead_out_are_refused(charts: Charts, directory: Path, tmp_path: Path) -> None:
    write_files(tmp_path, {"secret/key": b"s3cr3t", "secret/Chart.yaml": b"name: x\nversion: 1.0.0\n"})
    link = directory / "web/templates/x"
    for target in (tmp_path / "secret/key", tmp_path / "secret", Path("../../../secret/key")):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        # A path that is written differently is fetched again.
        path = "./" * len(target.parts) + "web"
        error = refusal(lambda path=path: members(charts, directory, path), "bad-chart")  # type: ignore[misc]
        assert "contains 'templates/x', a symlink to" in error.message
    (directory / "chart").symlink_to(tmp_path / "secret")
    error = refusal(lambda: members(charts, directory, "chart"), "bad-chart")
    assert "outside the manifest's directory" in error.message


@pytest.mark.parametrize(
    ("limits", "most", "option"),
    [
        ({"chart_members": 2}, "2 files", "chart-members=4"),
        ({"chart": 10}, "10 bytes", "chart=20"),
        ({"files": 3}, "3 entries", "files=6"),
    ],
)
def test_the_limits_of_the_run_apply_to_the_directory_of_a_chart(
    open_charts: Callable[..., Charts], directory: Path, limits: dict[str, int], most: str, option: str
) -> None:
    charts = open_charts(replace(LIMITS, **limits))
    error = refusal(lambda: members(charts, directory), "bad-chart")
    assert error.message == f"the chart web contains more than {most}"
    assert str(error.hint).endswith(f"raise the limit: --limit {option}")


def test_symlink_loops_and_special_files_are_refused(charts: Charts, directory: Path) -> None:
    (directory / "web/loop").symlink_to(".")
    assert "a symlink to its own parent" in refusal(lambda: members(charts, directory), "bad-chart").message
    (directory / "web/loop").unlink()
    os.mkfifo(directory / "web/pipe")
    assert "is not a regular file" in refusal(lambda: members(charts, directory, "./web"), "bad-chart").message


def test_a_full_disk_is_not_reported_as_a_missing_chart(
    charts: Charts, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    error = refusal(lambda: charts.fetch(LocalChart(directory, "web")), "bad-chart")
    assert "free disk space" in str(error.hint)


def test_a_directory_that_is_not_a_chart_is_refused(charts: Charts, directory: Path) -> None:
    assert refusal(lambda: members(charts, directory, "."), "missing-chart").message == "the chart . has no Chart.yaml"
    assert "is not a directory" in refusal(lambda: members(charts, directory, "none"), "missing-chart").message
    write_files(directory / "web", {"values.yaml": b"a: b: c"})
    error = refusal(lambda: members(charts, directory), "bad-chart")
    assert "helm cannot package the chart web" in error.message
    assert "/scratch/" not in error.message


def test_vendored_dependencies_are_used(charts: Charts, directory: Path) -> None:
    depend(directory, {"name": "db", "version": "^1", "repository": "https://nowhere.invalid"})
    write_files(directory / "web", {"charts/db-1.2.3.tgz": archive("db", "1.2.3")})
    assert "charts/db/Chart.yaml" in members(charts, directory)


def test_dependencies_are_fetched_into_a_copy(charts: Charts, directory: Path, tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "repository", {"db-1.2.3.tgz": archive("db", "1.2.3")})
    with serve(repository) as server:
        depend(directory, {"name": "db", "version": "1.x", "repository": server.url})
        before = files_below(directory)
        packed = charts.fetch(LocalChart(directory, "web"))
        again = charts.fetch(LocalChart(directory, "./web"))
    assert files_below(directory) == before
    assert packed.chart.archive == again.chart.archive  # without the time when helm wrote the lock
    assert packed.warnings == ("the chart web has no Chart.lock, so the newest matching version of 'db' is used",)
    names = [one.path for one in read_chart_archive(packed.chart.archive, describe="it")]
    assert "web/charts/db/Chart.yaml" in names


def test_dependencies_on_other_directories_are_packed(charts: Charts, directory: Path) -> None:
    write_files(
        directory / "lib/common",
        chart_files("common", dependencies="[{name: deep, version: 1.0.0, repository: 'file://../deep'}]"),
    )
    write_files(directory / "lib/deep", chart_files("deep"))
    depend(directory, {"name": "common", "version": "1.0.0", "repository": "file://../lib/common"})
    before = files_below(directory)
    assert "charts/common/charts/deep/Chart.yaml" in members(charts, directory)
    assert files_below(directory) == before


def test_dependencies_that_are_not_available_are_an_error(charts: Charts, directory: Path, tmp_path: Path) -> None:
    with serve(write_repository(tmp_path / "repository", {"db-1.2.3.tgz": archive("db", "1.2.3")})) as server:
        depend(directory, {"name": "db", "version": "2.x", "repository": server.url})
        error = refusal(lambda: members(charts, directory), "missing-chart")
    assert "the dependencies 'db' of the chart web" in error.message
    assert error.exit_code == 4


@pytest.mark.parametrize("url", ["file:///etc", "file://../../../../../../../../../../etc"])
def test_dependencies_on_directories_outside_the_source_are_refused(charts: Charts, directory: Path, url: str) -> None:
    write_files(directory / "web", {"charts/here-1.0.0.tgz": archive("here")})
    one = {"name": "here", "version": "1.0.0", "repository": url}
    depend(directory, one, {"name": "db", "version": "1.0.0", "repository": "http://127.0.0.1:1"})
    assert "which is outside its source" in refusal(lambda: members(charts, directory), "bad-chart").message
