from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubocd_gen.archives.chart_members import read_chart_archive
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.packaging.charts import Charts
from kubocd_gen.packaging.manifest_file import GitChart, LocalChart, chart_source
from tests.support.charts import chart_files, commit_all, git, git_repository, write_files
from tests.support.git_traps import blob, commit_tree, tree, tree_bomb
from tests.support.problems import refusal

MORE = {"README.md": b"r", "ci/values.yaml": b"{}", "files/a": b"a", "files.txt": b"f", "notes.txt": b"n"}


def chart_in(directory: str, **more: str) -> dict[str, bytes]:
    return {f"{directory}/{name}": data for name, data in {**chart_files(**more), **MORE}.items()}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Create a repository with a chart in `charts/web`: branch `main`, tag `v1`."""
    directory = tmp_path / "checkout"
    directory.mkdir()
    git_repository(directory, chart_in("charts/web"))
    return directory


def wanted(checkout: Path, path: str = "charts/web", ref: str = "refs/heads/main", *extra: str) -> GitChart:
    return GitChart(f"file://{checkout}", ref, path, extra)


def names(charts: Charts, source: GitChart) -> list[str]:
    archive = charts.fetch(source).chart.archive
    return [one.path.removeprefix("web/") for one in read_chart_archive(archive, describe="it")]


def test_a_chart_contains_only_the_files_that_helm_documents(charts: Charts, checkout: Path) -> None:
    assert names(charts, wanted(checkout)) == ["Chart.yaml", "README.md", "templates/values.yaml", "values.yaml"]


def test_extra_files_are_selected_by_path_prefix(charts: Charts, checkout: Path) -> None:
    more = set(names(charts, wanted(checkout, "charts/web", "refs/heads/main", "/files", "/ci/")))
    assert more >= {"files/a", "files.txt", "ci/values.yaml"}
    assert "notes.txt" not in more


def test_a_branch_and_a_tag_of_the_same_name_are_distinguished(charts: Charts, checkout: Path) -> None:
    git(checkout, "tag", "main", "v1^{commit}")  # a tag with the name of the branch
    (checkout / "charts/web/Chart.yaml").write_bytes(chart_files(version="2.0.0")["Chart.yaml"])
    commit_all(checkout)
    assert charts.fetch(wanted(checkout)).chart.version == "2.0.0"
    assert charts.fetch(wanted(checkout, ref="refs/tags/main")).chart.version == "1.0.0"
    assert charts.fetch(wanted(checkout, ref="refs/tags/v1")).chart.version == "1.0.0"


def test_a_chart_can_be_at_the_root(charts: Charts, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    git_repository(tmp_path / "root", chart_files())
    assert "Chart.yaml" in names(charts, wanted(tmp_path / "root", ""))


def test_files_are_packed_without_git_filters(charts: Charts, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = charts.fetch(wanted(checkout)).chart.archive
    config = checkout.parent / "config"
    config.write_text('[core]\nautocrlf = true\nattributesFile = /dev/null\n[filter "x"]\nsmudge = tr a b\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    (checkout / ".gitattributes").write_text("* text eol=crlf filter=x export-ignore\n")
    commit_all(checkout)
    assert charts.fetch(wanted(checkout, "./charts/web")).chart.archive == first


def test_variables_of_a_calling_git_are_ignored(
    charts: Charts, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert charts.fetch(wanted(checkout))


def test_symlinks_inside_the_repository_are_followed(charts: Charts, checkout: Path) -> None:
    (checkout / "shared").mkdir()
    (checkout / "shared/one.yaml").write_bytes(b"one: 1\n")
    (checkout / "charts/web/templates/one.yaml").symlink_to("../../../shared/one.yaml")
    (checkout / "charts/web/crds").symlink_to("../../shared")
    (checkout / "charts/alias").symlink_to("web")
    commit_all(checkout)
    for path in ("charts/web", "charts/alias"):
        assert {"templates/one.yaml", "crds/one.yaml"} <= set(names(charts, wanted(checkout, path)))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../../etc/passwd", "../../../.."])
def test_symlinks_that_leave_the_repository_are_refused(charts: Charts, checkout: Path, target: str) -> None:
    (checkout / "charts/web/templates/x.yaml").symlink_to(target)
    commit_all(checkout)
    error = refusal(lambda: charts.fetch(wanted(checkout)), "bad-chart")
    assert error.message.endswith("contains 'templates/x.yaml', a symlink to a path outside the repository")


def test_symlink_loops_and_dangling_symlinks_are_refused(charts: Charts, checkout: Path) -> None:
    link = checkout / "charts/web/templates/x"
    for target, message in (("x", "outside the repository"), ("..", "its own parent"), ("nowhere", "broken")):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        commit_all(checkout)
        source = wanted(checkout, "charts/" + "./" * len(target) + "web")
        git(checkout, "branch", "--force", f"b{len(target)}")
        source = GitChart(source.url, f"refs/heads/b{len(target)}", "charts/web")
        assert message in refusal(lambda source=source: charts.fetch(source), "bad-chart").message  # type: ignore[misc]


def test_a_missing_branch_directory_or_chart_is_an_error(charts: Charts, checkout: Path) -> None:
    missing = refusal(lambda: charts.fetch(wanted(checkout, ref="refs/heads/nope")), "missing-chart")
    assert missing.message == f"the Git repository file://{checkout} has no branch 'nope'"
    missing = refusal(lambda: charts.fetch(wanted(checkout, "charts/nope")), "missing-chart")
    assert "has no directory 'charts/nope'" in missing.message
    missing = refusal(lambda: charts.fetch(wanted(checkout, "charts")), "bad-chart")
    assert "has no Chart.yaml" in missing.message


def test_a_missing_repository_is_an_error(charts: Charts, tmp_path: Path) -> None:
    error = refusal(lambda: charts.fetch(wanted(tmp_path / "nowhere")), "git-failed")
    assert error.exit_code == 4
    assert "does not appear to be a git repository" in error.message or "does not exist" in error.message


def test_git_is_required_only_for_git_sources(charts: Charts, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert refusal(lambda: charts.fetch(wanted(checkout)), "git-missing").hint is not None


def test_dependencies_on_directories_of_the_repository_are_packed(charts: Charts, tmp_path: Path) -> None:
    depends = "[{name: common, version: 0.1.0, repository: 'file://../common'}]"
    files = chart_in("charts/web", dependencies=depends) | chart_in("charts/common", name="common", version="0.1.0")
    (tmp_path / "with").mkdir()
    git_repository(tmp_path / "with", files)
    assert "charts/common/Chart.yaml" in names(charts, wanted(tmp_path / "with"))


def test_a_chart_that_expands_endlessly_is_refused(charts: Charts, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    metadata = blob(tmp_path, chart_files()["Chart.yaml"])
    for branch, name in (("kept", b"templates"), ("left-out", b"docs")):
        entries = [(b"Chart.yaml", "100644", metadata), (name, "40000", tree_bomb(tmp_path, 9))]
        commit_tree(tmp_path, tree(tmp_path, entries), branch)
        error = refusal(lambda ref=f"refs/heads/{branch}": charts.fetch(wanted(tmp_path, "", ref)), "bad-chart")  # type: ignore[misc]
        assert "contains more than" in error.message


def test_a_file_that_cannot_be_copied_is_an_error(charts: Charts, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    long = (b"n" * 256 + b".txt", "100644", blob(tmp_path, b""))
    metadata = (b"Chart.yaml", "100644", blob(tmp_path, chart_files()["Chart.yaml"]))
    commit_tree(tmp_path, tree(tmp_path, [metadata, (b"templates", "40000", tree(tmp_path, [long]))]), "main")
    assert "which cannot be copied: " in refusal(lambda: charts.fetch(wanted(tmp_path, "")), "bad-chart").message


def test_symlinks_that_repeat_a_directory_many_times_are_refused(charts: Charts, tmp_path: Path) -> None:
    directory = write_files(tmp_path / "linked", chart_files())
    for level in range(12):
        (directory / f"d{level}").mkdir()
        for number in range(10):
            (directory / f"d{level}/l{number}").symlink_to(f"../d{level + 1}")
    git(directory, "init", "--quiet", "--initial-branch=main")
    commit_all(directory)
    (directory / "d12").mkdir()
    for source in (wanted(directory, ""), LocalChart(directory, ".")):
        assert "contains more than" in refusal(lambda source=source: charts.fetch(source), "bad-chart").message  # type: ignore[misc]


@pytest.mark.parametrize(
    "given",
    [
        {"url": "--upload-pack=touch /tmp/x", "branch": "main", "path": "."},
        {"url": "ext::sh -c touch% /tmp/x", "branch": "main", "path": "."},
        {"url": "-oProxyCommand=x", "branch": "main", "path": "."},
        {"url": "ssh://-oProxyCommand=x/y", "branch": "main", "path": "."},
        {"url": "fd::17", "branch": "main", "path": "."},
        {"url": "/etc", "branch": "main", "path": "."},
        {"url": "https://x.io/y z", "branch": "main", "path": "."},
        {"url": "https://x.io/y", "branch": "--all", "path": "."},
        {"url": "https://x.io/y", "branch": "a:refs/heads/b", "path": "."},
        {"url": "https://x.io/y", "branch": "a..b", "path": "."},
        {"url": "https://x.io/y", "tag": "a b", "path": "."},
        {"url": "https://x.io/y", "tag": "v1", "path": "../x"},
        {"url": "https://x.io/y", "tag": "v1", "path": "a/.git/b"},
        {"url": "https://x.io/y", "tag": "v1", "path": ".", "extraFilePrefixes": ["ci"]},
        {"url": "https://user:secret@x.io/y", "tag": "v1", "path": "."},
        {"url": "https://token@x.io/y", "tag": "v1", "path": "."},
    ],
)
def test_an_invalid_git_source_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ProblemsError) as caught:
        chart_source({"git": given}, Path())
    assert caught.value.problem.code == "bad-package"
    assert "secret" not in caught.value.problem.message


@pytest.mark.parametrize(
    "url", ["git@github.com:org/repo.git", "ssh://git@x.io/y", "https://x.io:8443/y.git", "git://x.io/y", "file:///x"]
)
def test_a_valid_git_source_is_accepted(url: str) -> None:
    given = {"url": url, "branch": "feature/a-b_1.x", "path": "/charts/./web/"}
    source = chart_source({"git": given}, Path())
    assert source == GitChart(url, "refs/heads/feature/a-b_1.x", "charts/web")
    assert not os.environ.get("GIT_DIR")
