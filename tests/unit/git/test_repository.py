"""Finding the repository of a directory, whatever the checkout and the environment contain."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.git.repository import Uncommitted, find_repository
from tests.support.charts import commit_all, git, git_repository
from tests.support.git_traps import RecordingGit, look_like_a_repository


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GIT_CONFIG_COUNT", raising=False)
    directory = tmp_path / "checkout"
    directory.mkdir()
    git_repository(directory, {"a/b/x.yaml": b"x", ".gitignore": b"*.log\n"})
    return directory


def refusal(directory: Path, code: str = "git-failed") -> Problem:
    with pytest.raises(ProblemsError) as caught:
        find_repository(directory)
    assert caught.value.problem.code == code
    return caught.value.problem


def test_a_directory_that_looks_like_a_bare_repository_is_not_one(checkout: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for directory in ("a/b", "a", "."):
        look_like_a_repository(checkout / directory, mark)
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "hostile")
    (checkout / "a/b/new").write_text("")
    for start in (checkout / "a/b", checkout / "a", checkout, checkout / "a/b/objects"):
        found = find_repository(start)
        assert (found.top, found.store) == (checkout, checkout / ".git")
        assert found.base().commit == git(checkout, "rev-parse", "HEAD").strip()
        with pytest.raises(ProblemsError):
            found.revision("0123456789" * 4)
        assert found.uncommitted().untracked == {"a/b/new"}
        assert found.remote() is found.default_branch() is None
        assert found.ignored_by("a/x.log") == (".gitignore", 1, "*.log")
        with found.objects() as reader:
            assert reader.find("0123456789" * 4) is None
    assert not mark.exists()


def test_a_bare_repository_with_a_broken_git_directory_is_not_one(tmp_path: Path) -> None:
    directory = tmp_path / "folder"
    look_like_a_repository(directory, tmp_path / "mark")
    (directory / ".git").mkdir()
    refusal(directory)
    git(tmp_path, "init", "--quiet")
    assert find_repository(directory).top == tmp_path
    assert not (tmp_path / "mark").exists()


def test_a_git_file_with_a_missing_target_is_an_error(checkout: Path) -> None:
    (checkout / "a/.git").write_text("gitdir: ../.git/modules/gone\n")
    refusal(checkout / "a/b")


def test_git_variables_of_the_environment_are_ignored(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git_repository(other, {"y": b"y"})
    (checkout / "new").write_text("")
    for name, value in {
        "GIT_DIR": other / ".git",
        "GIT_WORK_TREE": other,
        "GIT_COMMON_DIR": other / ".git",
        "GIT_OBJECT_DIRECTORY": other / ".git/objects",
        "GIT_INDEX_FILE": other / ".git/index",
        "GIT_CEILING_DIRECTORIES": checkout,
        "GIT_NAMESPACE": "x",
        "GIT_CONFIG_PARAMETERS": "'core.worktree'='/'",
        "GIT_EXEC_PATH_": "x",
    }.items():
        monkeypatch.setenv(name, str(value))
    found = find_repository(checkout / "a")
    assert found.top == checkout
    assert found.revision("HEAD").commit == git(checkout, "rev-parse", "HEAD").strip()
    assert found.uncommitted().untracked == {"new"}


@pytest.mark.parametrize("form", ["relative", "absolute", "elsewhere"])
def test_in_a_hook_the_index_of_the_commit_is_used(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    (checkout / "new").write_text("")
    git(checkout, "add", "new")
    next_index = tmp_path / "next" if form == "elsewhere" else checkout / ".git/next-index-1.lock"
    next_index.write_bytes((checkout / ".git/index").read_bytes())
    git(checkout, "rm", "--quiet", "--cached", "new")
    assert find_repository(checkout).uncommitted().untracked == {"new"}
    monkeypatch.chdir(checkout)  # where Git runs a hook
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/next-index-1.lock" if form == "relative" else str(next_index))
    assert find_repository(checkout / "a").uncommitted().untracked == frozenset()


def test_the_index_of_a_hook_is_not_used_for_other_repositories(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = checkout / "other"
    other.mkdir()
    git_repository(other, {"y": b"y"})
    (tmp_path / "next").write_bytes((checkout / ".git/index").read_bytes())
    monkeypatch.chdir(checkout)
    for index in (".git/index", ".git/next-index-1.lock", str(checkout / ".git/index"), str(tmp_path / "next")):
        monkeypatch.setenv("GIT_INDEX_FILE", index)
        assert find_repository(other).uncommitted() == Uncommitted()


def test_changed_files_are_those_that_the_index_does_not_have(checkout: Path) -> None:
    for name in ("changed", "staged", "removed", "partly"):
        (checkout / name).write_text("one")
    commit_all(checkout)
    for name in ("changed", "staged", "added", "partly", "untracked"):
        (checkout / name).write_text("two")
    (checkout / "removed").unlink()
    git(checkout, "add", "staged", "partly")
    git(checkout, "add", "--intent-to-add", "added")
    (checkout / "partly").write_text("three")
    found = find_repository(checkout).uncommitted()
    assert found.changed == {"changed", "removed", "added", "partly"}
    assert found.untracked == {"untracked"}


def test_a_damaged_index_is_an_error(checkout: Path) -> None:
    (checkout / ".git/index").write_text("x")
    with pytest.raises(ProblemsError) as caught:
        find_repository(checkout).uncommitted()
    assert caught.value.problem.code == "git-failed"


@pytest.mark.parametrize("name", ["lfs", "a=b", "a.b"])
def test_filters_are_not_run_and_files_in_git_lfs_are_compared_with_their_pointers(
    checkout: Path, tmp_path: Path, name: str
) -> None:
    content = b"a large file"
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
    (checkout / "large").write_text(pointer.format(hashlib.sha256(content).hexdigest(), len(content)))
    (checkout / "other").write_text(pointer.format("0" * 64, len(content)))
    (checkout / ".gitattributes").write_text(f"* filter={name}\n")
    commit_all(checkout)
    for key in ("clean", "smudge", "process"):
        git(checkout, "config", f"filter.{name}.{key}", f": >{tmp_path}/mark")
    git(checkout, "config", f"filter.{name}.required", "true")
    for file in ("large", "other"):
        (checkout / file).write_bytes(content)
    (checkout / "a/b/x.yaml").write_text("y")
    assert find_repository(checkout).uncommitted().changed == {"other", "a/b/x.yaml"}
    assert not (tmp_path / "mark").exists()


def test_worktrees_and_submodules_are_repositories(checkout: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    git(checkout, "worktree", "add", "--quiet", str(tree))
    (tree / "c").write_text("")
    commit_all(tree)
    found = find_repository(tree / "a/b")
    assert (found.top, found.common_directory()) == (tree, checkout / ".git")
    assert found.revision("HEAD").commit != find_repository(checkout).revision("HEAD").commit
    git(checkout, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{tree}", "sub")
    found = find_repository(checkout / "sub/a")
    assert (found.top, found.store) == (checkout / "sub", checkout / ".git/modules/sub")


def test_programs_in_the_configuration_are_not_run(checkout: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n: >{tmp_path}/mark\n")
    script.chmod(0o755)
    for name in ("post-index-change", "reference-transaction"):
        (checkout / ".git/hooks").mkdir(exist_ok=True)
        (checkout / ".git/hooks" / name).symlink_to(script)
    for key in ("core.fsmonitor", "core.pager", "diff.external", "core.alternateRefsCommand"):
        git(checkout, "config", key, str(script))
    found = find_repository(checkout)
    assert found.uncommitted().untracked == frozenset()
    assert found.base().commit
    assert not (tmp_path / "mark").exists()


def test_a_repository_of_another_user_is_refused_unless_it_is_a_safe_directory(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = RecordingGit(tmp_path / "bin", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    monkeypatch.setenv("PATH", others.path)
    assert f"git config --global --add safe.directory {checkout}" in str(refusal(checkout / "a").hint)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(checkout))
    assert find_repository(checkout / "a").revision("HEAD").commit


def test_the_repository_location_is_passed_to_each_process(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = RecordingGit(tmp_path / "bin")
    monkeypatch.setenv("PATH", recording.path)
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    found = find_repository(checkout / "a/b")
    found.base()
    found.uncommitted()
    with found.objects() as reader:
        reader.find("HEAD")
    calls = recording.calls()
    assert len(calls) > 4
    for arguments, variables, directory in calls:
        assert "safe.bareRepository=explicit" in arguments
        assert f"--git-dir={checkout}/.git" in arguments or directory == str(checkout)
        assert "GITHUB_TOKEN" not in variables
        assert variables["GIT_ALLOW_PROTOCOL"] == ""


def test_no_repository_is_found_outside_of_one(tmp_path: Path) -> None:
    refusal(tmp_path, "no-repository")
    assert os.environ.get("GIT_DIR") is None
