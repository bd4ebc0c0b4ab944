"""Where the journal of a write is stored: never where a checkout could provide one."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.output.journal_store import make_store, stores
from tests.support.charts import commit_all, git


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Create a repository with a commit."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / "file").write_text("")
    commit_all(root)
    return root


def base_of(output: Path) -> Path:
    """Return the directory in which a store for `output` is created, and verify that it can be found and discarded."""
    store = make_store(output)
    store_path = store.directory.path
    assert store_path.parent.name == "kcd-gen"
    assert [one.directory.path for one in stores(output)] == [store_path]
    for path in (store_path, store_path.parent):
        assert path.stat().st_mode & 0o777 == 0o700
    store.discard()
    assert not store_path.parent.exists()
    assert stores(output) == []
    return store_path.parent.parent


def test_in_a_repository_the_journal_is_stored_in_the_git_directory(repository: Path) -> None:
    assert base_of(repository / "deploy") == repository / ".git"
    assert base_of(repository) == repository / ".git"


def test_in_a_worktree_the_journal_is_stored_in_its_git_directory(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert base_of(tmp_path / "tree/deploy") == repository / ".git/worktrees/tree"


def test_in_a_submodule_the_journal_is_stored_in_its_git_directory(repository: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository), "inner")
    assert base_of(outer / "inner/deploy") == outer / ".git/modules/inner"
    assert base_of(outer / "deploy") == outer / ".git"


def test_outside_a_repository_the_journal_is_stored_in_the_state_directory(state: Path, tmp_path: Path) -> None:
    assert base_of(tmp_path / "deploy") == state


def test_without_xdg_state_home_the_state_directory_is_in_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative/state"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert base_of(tmp_path / "deploy") == tmp_path / "home/.local/state"


@pytest.mark.parametrize("target", ["fake", "deploy/fake", "./fake/../fake"])
def test_a_git_file_that_points_into_the_working_tree_is_ignored(state: Path, tmp_path: Path, target: str) -> None:
    root = tmp_path / "repository"
    for name in ("fake/objects", "fake/refs", "deploy/fake"):
        (root / name).mkdir(parents=True)
    (root / "fake/HEAD").write_text("ref: refs/heads/main\n")
    (root / ".git").write_text(f"gitdir: {target}\n")
    assert base_of(root / "deploy") == state


def test_a_bare_repository_is_ignored(state: Path, tmp_path: Path) -> None:
    root = tmp_path / "repository/deploy"
    subprocess.run(["git", "init", "--quiet", "--bare", str(root)], check=True)
    assert base_of(root / "prod") == state


@pytest.mark.parametrize(
    "content", [b"", b"gitdir:", b"gitdir: gone\n", b"nonsense", b"gitdir: a\0b", b"\xff" * 10_000]
)
def test_with_a_damaged_git_file_the_state_directory_is_used(state: Path, tmp_path: Path, content: bytes) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / ".git").write_bytes(content)
    assert base_of(root / "deploy") == state


def test_the_git_directory_of_another_user_is_ignored_unless_running_as_root(
    repository: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = (repository / ".git").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert stores(repository / "deploy") == []
    with pytest.raises(ProblemsError, match="belongs to another user"):  # so does the state directory, for this user
        make_store(repository / "deploy")
    assert not (repository / ".git/kcd-gen").exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_with_a_read_only_git_directory_the_state_directory_is_used(
    repository: Path, state: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    deny(monkeypatch, repository / ".git", number)
    assert base_of(repository / "deploy") == state


def deny(monkeypatch: pytest.MonkeyPatch, parent: Path, number: int) -> None:
    """Make the creation of directories in `parent` fail."""
    real = os.mkdir
    inode = parent.stat().st_ino

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None and os.fstat(dir_fd).st_ino == inode:
            raise OSError(number, os.strerror(number), path)
        real(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", mkdir)


def test_a_full_disk_is_an_error(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deny(monkeypatch, repository / ".git", errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        make_store(repository / "deploy")


def test_a_directory_that_others_can_write_is_not_used(state: Path, tmp_path: Path) -> None:
    (state / "kcd-gen").mkdir(parents=True)
    (state / "kcd-gen").chmod(0o777)
    with pytest.raises(ProblemsError) as caught:
        make_store(tmp_path / "deploy")
    assert caught.value.problem.code == "unwritable-state"
    assert caught.value.problem.hint is not None
    assert "XDG_STATE_HOME" in caught.value.problem.hint


def test_a_directory_that_is_a_symlink_is_not_used(state: Path, tmp_path: Path) -> None:
    state.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (state / "kcd-gen").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProblemsError) as caught:
        make_store(tmp_path / "deploy")
    assert caught.value.problem.code == "unwritable-state"
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("mark", [".git", "kcd-gen.yaml"])
def test_a_state_directory_in_a_checkout_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    """If the HOME of a CI system is the checkout, a pull request could commit the journal."""
    home = tmp_path / "home"
    (home / "state").mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    if mark == ".git":
        (home / mark).mkdir()
        assert base_of(tmp_path / "deploy") == home / ".git"
    else:
        (home / mark).touch()
        with pytest.raises(ProblemsError) as caught:
            make_store(tmp_path / "deploy")
        assert caught.value.problem.code == "unwritable-state"


def test_a_user_without_a_home_directory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(ProblemsError) as caught:
        make_store(tmp_path / "deploy")
    assert caught.value.problem.code == "unwritable-state"


def test_outputs_of_one_repository_have_separate_stores(repository: Path) -> None:
    one, two = make_store(repository / "one"), make_store(repository / "two")
    assert one.directory.path != two.directory.path
    one.discard()
    assert len(stores(repository / "two")) == 1
