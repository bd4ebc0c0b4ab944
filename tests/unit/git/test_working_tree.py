"""Sources in Git that are missing in the working tree are errors; their Releases don't count as removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kubocd_gen.git.working_tree import missing_sources
from tests.support.charts import commit_all, git, git_repository

FILES = {
    "clusters/prod/web.yaml": b"a: 1\n",
    "clusters/prod/notes.md": b"notes\n",
    "clusters/prod/.hidden/x.yaml": b"a: 1\n",
    "clusters/test/web.yaml": b"a: 1\n",
    "other/x.yaml": b"a: 1\n",
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    directory = tmp_path / "checkout"
    directory.mkdir()
    git_repository(directory, FILES)
    return directory


def missing(sources: list[str], root: Path, *, empty_directories: bool = False) -> list[str]:
    problems = missing_sources(sources, root, empty_directories=empty_directories)
    assert {problem.code for problem in problems} <= {"unreadable-source"}
    return [problem.position.path if problem.position else "" for problem in problems]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["clusters"], ["clusters/prod/web.yaml", "clusters/test/web.yaml"]),
        (["clusters/prod"], ["clusters/prod/web.yaml"]),
        (["clusters/prod/web.yaml"], ["clusters/prod/web.yaml"]),
        (["clusters/prod/notes.md"], ["clusters/prod/notes.md"]),
        (["clusters/*/web.yaml"], ["clusters/prod/web.yaml", "clusters/test/web.yaml"]),
        (["clusters/t*"], ["clusters/test/web.yaml"]),
        (["**/prod"], ["clusters/prod/web.yaml"]),
        (["other", "."], ["clusters/prod/web.yaml", "clusters/test/web.yaml"]),
        (["other"], []),
        (["*/x.yaml"], []),
        (["clusters/prod/.hidden"], ["clusters/prod/.hidden/x.yaml"]),
        (["clusters/*/.hidden/*"], ["clusters/prod/.hidden/x.yaml"]),
        (["clusters/*/*/x.yaml"], []),
        (["**/x.yaml"], []),
        (["**/**/**/**/web.yaml"], ["clusters/prod/web.yaml", "clusters/test/web.yaml"]),
    ],
)
def test_files_outside_the_sparse_checkout_are_missing(sources: list[str], expected: list[str], checkout: Path) -> None:
    git(checkout, "sparse-checkout", "set", "--no-cone", "/*", "!/clusters")
    assert missing(sources, checkout) == expected


def test_a_file_that_was_deleted_is_not_missing(checkout: Path) -> None:
    git(checkout, "sparse-checkout", "set", "--no-cone", "/*", "!/other")
    (checkout / "clusters/prod/web.yaml").unlink()
    assert missing(["clusters"], checkout) == []


def test_the_project_can_be_below_the_top_of_the_repository(checkout: Path) -> None:
    git(checkout, "sparse-checkout", "set", "--no-cone", "/*", "!/clusters/prod/web.yaml")
    assert missing(["prod", "../other"], checkout / "clusters") == ["prod/web.yaml"]


def test_a_worktree_has_its_own_sparse_checkout(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "worktree", "add", "--quiet", str(tmp_path / "worktree"))
    git(tmp_path / "worktree", "sparse-checkout", "set", "--no-cone", "/*", "!/clusters/prod")
    assert missing(["clusters"], tmp_path / "worktree") == ["clusters/prod/web.yaml"]
    assert missing(["clusters"], checkout) == []


def test_a_submodule_that_is_not_checked_out_is_missing(checkout: Path, tmp_path: Path) -> None:
    team = tmp_path / "team"
    team.mkdir()
    git_repository(team, {"shop.yaml": b"a: 1\n"})
    git(checkout, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(team), "clusters/team")
    commit_all(checkout)
    assert missing(["clusters"], checkout) == []
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(checkout), str(clone))
    for sources in (["clusters"], ["clusters/*"], ["**/*.yaml"], ["clusters/team/shop.yaml"], ["clusters/*/shop.yaml"]):
        assert missing(sources, clone) == ["clusters/team"], sources
    assert missing(["clusters/prod", "other"], clone) == []
    (clone / "clusters/team").rmdir()
    assert missing(["clusters"], clone) == ["clusters/team"]
    (clone / ".gitmodules").unlink()  # the submodule is still in Git, and clones contain its empty directory
    assert missing(["clusters"], clone) == []
    assert missing(["clusters"], clone, empty_directories=True) == ["clusters/team"]


def test_a_symlink_that_was_checked_out_as_a_file_is_missing(checkout: Path) -> None:
    links = {"link.yaml": "prod/web.yaml", "apps": "../other", "README.md": "prod/notes.md"}
    for name, target in links.items():
        (checkout / "clusters" / name).symlink_to(target)
    commit_all(checkout)
    assert missing(["clusters"], checkout) == []
    git(checkout, "config", "core.symlinks", "false")
    for name in links:
        (checkout / "clusters" / name).unlink()
    git(checkout, "checkout", "--quiet", "--", "clusters")
    assert missing(["clusters"], checkout) == ["clusters/apps", "clusters/link.yaml"]
    assert missing(["clusters/*/x.yaml"], checkout) == []


def test_a_failure_of_git_is_an_error_only_if_files_can_be_missing(checkout: Path) -> None:
    (checkout / ".git/index").write_bytes(b"damaged")
    assert missing_sources(["clusters"], checkout, empty_directories=False) == []
    (checkout / ".gitmodules").write_text('[submodule "docs"]\n\tpath = docs/theme\n')
    assert missing_sources(["clusters"], checkout, empty_directories=False) == []
    (checkout / ".gitmodules").write_text('[submodule "team"]\n\tpath = clusters/team\n')
    (problem,) = missing_sources(["clusters"], checkout, empty_directories=False)
    assert problem.code == "git-failed"


def test_without_a_repository_nothing_is_missing(tmp_path: Path, checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    assert missing_sources(["clusters"], checkout, empty_directories=True) == []


def test_thousands_of_files_are_not_all_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    directory = tmp_path / "checkout"
    directory.mkdir()
    git_repository(directory, {f"{'d/' * 40}{number}.yaml": b"a: 1\n" for number in range(1000)})
    git(directory, "sparse-checkout", "set", "--no-cone", "/*", "!/d")
    problems = missing_sources(["**/**/**/**/*.yaml"], directory, empty_directories=False)
    assert len(problems) == 21
    assert problems[-1].message == "980 more files and submodules are not checked out"
