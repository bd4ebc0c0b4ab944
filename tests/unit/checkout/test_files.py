from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kubocd_gen.checkout import files as checkout_files
from kubocd_gen.checkout.files import CheckoutFiles, FileKind, NotRegularError, TooLargeError
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.files.paths import checkout_root

SMALL = FileKind("a test's file", 2048)
SECRET = "hunter2"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout, and a file with a secret next to it."""
    (tmp_path / "checkout/.git").mkdir(parents=True)
    (tmp_path / "checkout/.git/config").write_text(SECRET)
    (tmp_path / "checkout/apps/deep").mkdir(parents=True)
    (tmp_path / "checkout/apps/a.yaml").write_text("a: 1\n")
    (tmp_path / "secret").write_text(SECRET)
    return tmp_path / "checkout"


def refused(ask: Callable[[], object]) -> Problem:
    with pytest.raises(ProblemsError) as caught:
        ask()
    assert caught.value.problem.code == "outside-checkout"
    assert SECRET not in f"{caught.value.problem.message}{caught.value.problem.hint}"
    return caught.value.problem


def test_the_checkout_is_the_git_working_tree_or_the_directory_itself(checkout: Path, tmp_path: Path) -> None:
    assert checkout_root(checkout / "apps/deep") == checkout
    assert CheckoutFiles.around(checkout / "apps/deep").root == checkout
    assert CheckoutFiles.around(tmp_path).root == tmp_path
    (tmp_path / "worktree/apps").mkdir(parents=True)
    (tmp_path / "worktree/.git").write_text("gitdir: /elsewhere\n")  # as in worktrees and submodules
    assert checkout_root(tmp_path / "worktree/apps") == tmp_path / "worktree"


def test_a_symlink_that_stays_inside_is_followed(checkout: Path) -> None:
    (checkout / "apps/deep/link.yaml").symlink_to("../a.yaml")
    (checkout / "absolute.yaml").symlink_to(checkout / "apps/a.yaml")
    (checkout / "folder").symlink_to("apps/deep")
    files = CheckoutFiles.around(checkout)
    for name in ("apps/deep/link.yaml", "absolute.yaml", "folder/link.yaml", "apps/../apps/a.yaml"):
        assert files.read(checkout / name, name, SMALL) == b"a: 1\n"


@pytest.mark.parametrize("target", ["../secret", "apps/../../secret", "{top}/secret", "hop", ".git/config"])
def test_a_symlink_that_leads_out_is_refused(checkout: Path, target: str) -> None:
    (checkout / "hop").symlink_to("../secret")
    (checkout / "link").symlink_to(target.format(top=checkout.parent))
    error = refused(lambda: CheckoutFiles.around(checkout).read(checkout / "link", "link", SMALL))
    assert str(error.position) == "link"


def test_a_directory_symlink_that_leads_out_is_refused_even_if_the_path_comes_back(checkout: Path) -> None:
    (checkout / "up").symlink_to("..")
    files = CheckoutFiles.around(checkout)
    refused(lambda: files.read(checkout / "up/secret", "up/secret", SMALL))
    assert (
        files.read(checkout / "up/checkout/apps/a.yaml", "a", SMALL) == b"a: 1\n"
    )  # the path leads back into the checkout


def test_errors_of_files_outside_the_checkout_are_not_reported(checkout: Path) -> None:
    (checkout / "link").symlink_to("/nowhere/at/all")
    refused(lambda: CheckoutFiles.around(checkout).read(checkout / "link", "link", SMALL))


def test_the_user_can_allow_directories_and_files(checkout: Path, tmp_path: Path) -> None:
    (checkout / "link").symlink_to("../secret")
    (tmp_path / "alias").symlink_to(tmp_path)
    for allowed in (tmp_path, tmp_path / "secret", tmp_path / "alias"):
        assert CheckoutFiles.around(checkout, [allowed]).read(checkout / "link", "link", SMALL) == SECRET.encode()
    refused(lambda: CheckoutFiles.around(checkout, [tmp_path / "sec"]).read(checkout / "link", "link", SMALL))


def test_the_hint_is_the_flag_that_allows_the_path(checkout: Path, tmp_path: Path) -> None:
    (checkout / "link").symlink_to("../secret")
    error = refused(lambda: CheckoutFiles.around(checkout).read(checkout / "link", "link", SMALL))
    assert error.hint is not None
    assert error.hint.endswith(f"--allow-outside {tmp_path}")


@pytest.mark.parametrize("name", [".git/config", ".git", ".GIT/config", "apps/module/.git/config"])
def test_the_git_directory_is_not_part_of_the_checkout(checkout: Path, name: str) -> None:
    files = CheckoutFiles.around(checkout, [checkout, checkout.parent])
    assert not files.holds(checkout / name)
    assert files.holds(checkout / ".github/workflows")


def test_a_special_file_is_refused_without_blocking(checkout: Path) -> None:
    os.mkfifo(checkout / "fifo")
    (checkout / "zero").symlink_to("/dev/zero")
    (checkout / "terminal").symlink_to("/dev/tty")
    listening = socket.socket(socket.AF_UNIX)
    with listening:
        listening.bind(str(checkout / "socket"))
        for name in ("fifo", "zero", "socket"):
            with pytest.raises(NotRegularError, match="it is not a regular file"):
                CheckoutFiles.around(checkout).read(checkout / name, name, SMALL)
    with pytest.raises((NotRegularError, ProblemsError)):
        CheckoutFiles.around(checkout).read(checkout / "terminal", "terminal", SMALL)
    with pytest.raises(IsADirectoryError):
        CheckoutFiles.around(checkout).read(checkout / "apps", "apps", SMALL)


def test_a_file_over_the_limit_of_its_kind_is_refused(checkout: Path) -> None:
    (checkout / "big").write_bytes(b"x" * 2048)
    assert len(CheckoutFiles.around(checkout).read(checkout / "big", "big", SMALL)) == 2048
    (checkout / "big").write_bytes(b"x" * 2049)
    with pytest.raises(TooLargeError, match="it is larger than 2 KiB, the limit for a test's file"):
        CheckoutFiles.around(checkout).read(checkout / "big", "big", SMALL)


def test_a_file_of_unknown_size_is_read_up_to_the_limit() -> None:
    files = CheckoutFiles(Path("/"))
    with pytest.raises(TooLargeError):
        files.read(Path("/proc/self/environ"), "environ", FileKind("a test's file", 1))


def exchange_before_opening(monkeypatch: pytest.MonkeyPatch, path: Path, target: Path) -> None:
    """Replace `path` with a symlink to `target` after it was checked and before it is opened."""
    real = os.open

    def swap(opened: Path, flags: int) -> int:
        path.unlink()
        path.symlink_to(target)
        return real(opened, flags)

    monkeypatch.setattr(os, "open", swap)


def test_a_symlink_swapped_in_before_opening_is_refused(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange_before_opening(monkeypatch, checkout / "apps/a.yaml", tmp_path / "secret")
    refused(lambda: CheckoutFiles.around(checkout).read(checkout / "apps/a.yaml", "a", SMALL))


def test_a_symlink_swapped_in_before_opening_is_refused_without_proc(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.readlink

    def no_proc(path: str) -> str:
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return real(path)

    monkeypatch.setattr(os, "readlink", no_proc)
    files = CheckoutFiles.around(checkout)
    assert files.read(checkout / "apps/a.yaml", "a", SMALL) == b"a: 1\n"
    exchange_before_opening(monkeypatch, checkout / "apps/a.yaml", tmp_path / "secret")
    refused(lambda: files.read(checkout / "apps/a.yaml", "a", SMALL))


def test_the_descriptor_of_a_refused_file_is_closed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    real = os.close

    def close(descriptor: int) -> None:
        closed.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "close", close)
    (checkout / "link").symlink_to("../secret")
    refused(lambda: CheckoutFiles.around(checkout).read(checkout / "link", "link", SMALL))
    assert len(closed) == 1


def test_an_opened_file_is_not_inherited_and_never_becomes_the_terminal() -> None:
    for flag in (os.O_NONBLOCK, os.O_CLOEXEC, os.O_NOCTTY):
        assert checkout_files._FLAGS & flag


def test_a_path_on_the_command_line_is_read_wherever_it_is(checkout: Path, tmp_path: Path) -> None:
    files = CheckoutFiles.around(checkout).naming(tmp_path / "secret", checkout / "apps", checkout / ".." / "new")
    assert files.read(tmp_path / "secret", "secret", SMALL) == SECRET.encode()
    assert files.allowed == (tmp_path / "secret", tmp_path / "new")
    (tmp_path / "mine").symlink_to("secret")  # the user's own symlink
    assert CheckoutFiles.of_named(tmp_path / "mine").read(tmp_path / "mine", "mine", SMALL) == SECRET.encode()


@pytest.mark.parametrize("name", ["link", "apps/chain", "folder/secret", "apps/deep/../../link", "twice/link"])
def test_a_path_on_the_command_line_follows_no_symlink_of_the_checkout(checkout: Path, name: str) -> None:
    (checkout / "link").symlink_to("../secret")
    (checkout / "apps/chain").symlink_to("../link")
    (checkout / "folder").symlink_to("..")
    (checkout / "twice").symlink_to(f"/{checkout}")  # pathlib distinguishes the root // from /
    error = refused(lambda: CheckoutFiles.around(checkout).naming(checkout / name))
    assert "the symlink '" in error.message
    refused(lambda: CheckoutFiles.of_named(checkout / name))


def test_outside_a_checkout_symlinks_are_followed(tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "secret").write_text(SECRET)
    named = tmp_path / "downloads/link"
    named.symlink_to("../secret")
    assert CheckoutFiles.of_named(named).read(named, "link", SMALL) == SECRET.encode()
    other = tmp_path / "downloads/other"
    other.symlink_to(tmp_path)
    refused(lambda: CheckoutFiles.of_named(named).read(other / "downloads/../x", "x", SMALL))


def test_a_symlink_loop_is_an_error_of_the_system(checkout: Path) -> None:
    (checkout / "one").symlink_to("two")
    (checkout / "two").symlink_to("one")
    files = CheckoutFiles.around(checkout).naming(checkout / "one")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        files.read(checkout / "one", "one", SMALL)
