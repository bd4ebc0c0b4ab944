"""`kcd-gen-ci`: the base commit in clones made by GitHub and GitLab, and failures to comment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kubocd_gen.comments.command import github_base, gitlab_base, run
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.repository import find_repository
from tests.support.charts import commit_all, git

MISSING = "1" * 40


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Create a repository in which `main` has commits after `change` was branched off, and `merge` merges both."""
    directory = tmp_path / "origin"
    directory.mkdir()
    git(directory, "init", "--quiet", "--initial-branch=main")
    for branch, name in (("main", "a"), ("change", "b"), ("main", "c")):
        git(directory, "checkout", "--quiet", "-B", branch)
        if name == "c":
            git(directory, "reset", "--quiet", "--hard", "fork")
        (directory / name).write_text(name)
        commit_all(directory)
        if name == "a":
            git(directory, "tag", "fork")
    git(directory, "checkout", "--quiet", "-b", "merge")
    git(directory, "merge", "--quiet", "--no-ff", "-m", "merge", "change")
    return directory


def clone(origin: Path, branch: str, *options: str) -> Path:
    directory = origin.with_name(f"clone-{branch}")
    git(origin.parent, "clone", "--quiet", f"--branch={branch}", *options, f"file://{origin}", str(directory))
    return directory


def commit(origin: Path, name: str) -> str:
    return git(origin, "rev-parse", name).strip()


@pytest.mark.parametrize("options", [(), ("--depth=1",)])
def test_for_a_github_merge_commit_the_base_is_the_first_parent(origin: Path, options: tuple[str, ...]) -> None:
    repository = find_repository(clone(origin, "merge", *options), offline=True)
    sides = {"BASE_SHA": commit(origin, "fork"), "HEAD_SHA": commit(origin, "change")}
    assert github_base(repository, sides) == commit(origin, "main")
    assert repository.has_commit(commit(origin, "main"))


def test_for_a_branch_the_base_is_the_merge_base_with_the_target(origin: Path) -> None:
    repository = find_repository(clone(origin, "change"), offline=True)
    sides = {"BASE_SHA": commit(origin, "main"), "HEAD_SHA": commit(origin, "change")}
    assert github_base(repository, sides) == commit(origin, "fork")


def test_on_gitlab_the_base_comes_from_a_variable(origin: Path) -> None:
    repository = find_repository(clone(origin, "change", "--depth=1"), offline=True)
    main, fork = commit(origin, "main"), commit(origin, "fork")
    assert gitlab_base(repository, {}) is None
    assert gitlab_base(repository, {"CI_MERGE_REQUEST_DIFF_BASE_SHA": fork}) == fork
    both = {"CI_MERGE_REQUEST_TARGET_BRANCH_SHA": main, "CI_MERGE_REQUEST_DIFF_BASE_SHA": fork}
    assert gitlab_base(repository, both) == main
    assert repository.has_commit(main)


@pytest.mark.parametrize("value", ["--upload-pack=touch x", "main", "", MISSING])
def test_an_invalid_commit_is_never_fetched(origin: Path, value: str) -> None:
    directory = clone(origin, "change")
    git(directory, "remote", "set-url", "origin", str(directory / "nowhere"))
    repository = find_repository(directory, offline=True)
    given = {"BASE_SHA": value, "CI_MERGE_REQUEST_DIFF_BASE_SHA": value}
    for base in (github_base, gitlab_base):
        if not value:
            assert base(repository, given) is None
            continue
        with pytest.raises(ProblemsError) as raised:
            base(repository, given)
        assert raised.value.problem.code == ("git-failed" if value == MISSING else "unknown-revision")


@pytest.mark.parametrize(
    "words", [[], ["comment", "bitbucket", "file"], ["comment", "github"], ["base", "github", "x"]]
)
def test_wrong_arguments_print_the_usage(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run(words) == 2
    assert "kcd-gen-ci comment github|gitlab FILE" in capsys.readouterr().err


def test_on_gitlab_a_warning_is_one_plain_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI_MERGE_REQUEST_IID", raising=False)
    assert run(["comment", "gitlab", "nowhere"]) == 0
    assert capsys.readouterr().err == "warning: could not comment: this is not a merge request pipeline\n"


def test_a_file_that_cannot_be_read_is_a_warning(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["comment", "github", str(tmp_path)]) == 0
    assert "could not comment: cannot read" in capsys.readouterr().out


def test_a_signal_ends_the_command_and_its_git(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / "running")
    stub = tmp_path / "git"
    stub.write_text(f"#!/bin/sh\nexec 3>'{tmp_path}/running'\necho started >&3\nexec sleep 60\n")
    stub.chmod(0o755)
    program = [sys.executable, "-c", "from kubocd_gen.comments.command import main; main()", "base", "github"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with (
        subprocess.Popen(program, cwd=tmp_path, env=environment) as process,
        (tmp_path / "running").open() as running,
    ):
        assert running.readline() == "started\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
        assert running.read() == ""  # ends when no process has it open
