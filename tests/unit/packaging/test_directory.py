from __future__ import annotations

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
def folder(tmp_path: Path) -> Path:
    """A folder for a manifest, with a chart in `web`."""
    write_files(tmp_path / "project/web", chart_files())
    return tmp_path / "project"


def members(charts: Charts, folder: Path, path: str = "web") -> dict[str, bytes]:
    fetched = charts.fetch(LocalChart(folder, path)).chart.archive
    return {one.path.removeprefix("web/"): one.data for one in read_chart_archive(fetched, describe="it")}


def depend(folder: Path, *dependencies: dict[str, str]) -> None:
    text = yaml.safe_dump(list(dependencies), default_flow_style=True, width=1000).strip()
    write_files(folder / "web", {"Chart.yaml": chart_files(dependencies=text)["Chart.yaml"]})


def test_what_helmignore_says_is_left_out(charts: Charts, folder: Path) -> None:
    write_files(folder / "web", {".helmignore": b"notes/\n*.md\n", "notes/a": b"", "README.md": b"", "kept": b"k"})
    assert set(members(charts, folder)) == {"Chart.yaml", "values.yaml", "templates/values.yaml", "kept", ".helmignore"}


def test_the_git_folder_of_a_chart_is_left_out(charts: Charts, folder: Path) -> None:
    write_files(folder / "web", {".git/config": b"[remote]"})
    assert ".git/config" not in members(charts, folder)


def test_the_path_may_leave_the_manifests_folder_or_be_absolute(charts: Charts, folder: Path) -> None:
    (folder / "packages").mkdir()
    assert members(charts, folder / "packages", "../web")
    assert members(charts, folder / "packages", str(folder / "web"))


def test_links_inside_are_followed(charts: Charts, folder: Path) -> None:
    write_files(folder, {"shared/a.yaml": b"a: 1\n"})
    (folder / "web/templates/a.yaml").symlink_to("../../shared/a.yaml")
    (folder / "web/crds").symlink_to(folder / "shared")
    (folder / "alias").symlink_to("web")
    found = members(charts, folder, "alias")
    assert found["templates/a.yaml"] == found["crds/a.yaml"] == b"a: 1\n"


def test_links_that_lead_out_are_refused(charts: Charts, folder: Path, tmp_path: Path) -> None:
    write_files(tmp_path, {"secret/key": b"s3cr3t", "secret/Chart.yaml": b"name: x\nversion: 1.0.0\n"})
    link = folder / "web/templates/x"
    for target in (tmp_path / "secret/key", tmp_path / "secret", Path("../../../secret/key")):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        # A path written otherwise is asked for anew.
        path = "./" * len(target.parts) + "web"
        error = refusal(lambda path=path: members(charts, folder, path), "bad-chart")  # type: ignore[misc]
        assert "contains 'templates/x', a symlink to" in error.message
    (folder / "chart").symlink_to(tmp_path / "secret")
    error = refusal(lambda: members(charts, folder, "chart"), "bad-chart")
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
    open_charts: Callable[..., Charts], folder: Path, limits: dict[str, int], most: str, option: str
) -> None:
    charts = open_charts(replace(LIMITS, **limits))
    error = refusal(lambda: members(charts, folder), "bad-chart")
    assert error.message == f"the chart web contains more than {most}"
    assert str(error.hint).endswith(f"raise the limit: --limit {option}")


def test_links_in_a_circle_and_files_of_other_kinds_are_refused(charts: Charts, folder: Path) -> None:
    (folder / "web/loop").symlink_to(".")
    assert "a symlink to its own parent" in refusal(lambda: members(charts, folder), "bad-chart").message
    (folder / "web/loop").unlink()
    os.mkfifo(folder / "web/pipe")
    assert "is not a regular file" in refusal(lambda: members(charts, folder, "./web"), "bad-chart").message


def test_a_folder_that_is_no_chart(charts: Charts, folder: Path) -> None:
    assert refusal(lambda: members(charts, folder, "."), "missing-chart").message == "the chart . has no Chart.yaml"
    assert "is not a directory" in refusal(lambda: members(charts, folder, "none"), "missing-chart").message
    write_files(folder / "web", {"values.yaml": b"a: b: c"})
    error = refusal(lambda: members(charts, folder), "bad-chart")
    assert "helm cannot package the chart web" in error.message
    assert "/scratch/" not in error.message


def test_dependencies_that_are_there_are_taken(charts: Charts, folder: Path) -> None:
    depend(folder, {"name": "db", "version": "^1", "repository": "https://nowhere.invalid"})
    write_files(folder / "web", {"charts/db-1.2.3.tgz": archive("db", "1.2.3")})
    assert "charts/db/Chart.yaml" in members(charts, folder)


def test_dependencies_are_fetched_into_a_copy(charts: Charts, folder: Path, tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "repository", {"db-1.2.3.tgz": archive("db", "1.2.3")})
    with serve(repository) as server:
        depend(folder, {"name": "db", "version": "1.x", "repository": server.url})
        before = files_below(folder)
        packed = charts.fetch(LocalChart(folder, "web"))
        again = charts.fetch(LocalChart(folder, "./web"))
    assert files_below(folder) == before
    assert packed.chart.archive == again.chart.archive  # without the time at which helm wrote the lock
    assert packed.warnings == ("the chart web has no Chart.lock, so the newest matching version of 'db' is used",)
    names = [one.path for one in read_chart_archive(packed.chart.archive, describe="it")]
    assert "web/charts/db/Chart.yaml" in names


def test_dependencies_on_other_folders(charts: Charts, folder: Path) -> None:
    write_files(
        folder / "lib/common",
        chart_files("common", dependencies="[{name: deep, version: 1.0.0, repository: 'file://../deep'}]"),
    )
    write_files(folder / "lib/deep", chart_files("deep"))
    depend(folder, {"name": "common", "version": "1.0.0", "repository": "file://../lib/common"})
    before = files_below(folder)
    assert "charts/common/charts/deep/Chart.yaml" in members(charts, folder)
    assert files_below(folder) == before


def test_dependencies_that_are_not_to_be_had(charts: Charts, folder: Path, tmp_path: Path) -> None:
    with serve(write_repository(tmp_path / "repository", {"db-1.2.3.tgz": archive("db", "1.2.3")})) as server:
        depend(folder, {"name": "db", "version": "2.x", "repository": server.url})
        error = refusal(lambda: members(charts, folder), "missing-chart")
    assert "the dependencies 'db' of the chart web" in error.message
    assert error.exit_code == 4


@pytest.mark.parametrize("place", ["file:///etc", "file://../../../../../../../../../../etc"])
def test_dependencies_on_folders_anywhere_are_refused(charts: Charts, folder: Path, place: str) -> None:
    write_files(folder / "web", {"charts/here-1.0.0.tgz": archive("here")})
    one = {"name": "here", "version": "1.0.0", "repository": place}
    depend(folder, one, {"name": "db", "version": "1.0.0", "repository": "http://127.0.0.1:1"})
    assert "which is outside its source" in refusal(lambda: members(charts, folder), "bad-chart").message
