"""Which symlinks in a path are followed: those of the user, not those of a checkout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kubocd_gen.files.directory import make_directory, open_directory, write_whole
from kubocd_gen.files.walk import SymlinkError


@pytest.fixture(params=[".git", "kcd-gen.yaml", "the current directory"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a checkout, marked in one of three ways, and a directory `home` next to it."""
    root = tmp_path / "checkout"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    if request.param == "the current directory":
        monkeypatch.chdir(root)
    else:
        (root / request.param).touch()
    return root


WRITES: list[Callable[[Path], object]] = [
    lambda path: write_whole(path / "file", b"x"),
    lambda path: write_whole(path / "more/file", b"x", make=True),
    lambda path: make_directory(path / "more"),
    lambda path: make_directory(path),
    lambda path: make_directory(path, follow_last=True),
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("link", ["link", "sub/link"])
@pytest.mark.parametrize("outside", [True, False])
def test_a_symlink_in_a_checkout_is_refused_whatever_its_target(
    checkout: Path, write: Callable[[Path], object], link: str, outside: bool
) -> None:
    target = checkout.parent / "home" if outside else checkout / "target"
    target.mkdir(exist_ok=True)
    (checkout / link).symlink_to(target)
    with pytest.raises(SymlinkError) as caught:
        write(checkout / link)
    assert caught.value.filename == str(checkout / link)
    assert not list(target.iterdir())


@pytest.mark.parametrize("write", WRITES)
def test_a_symlink_back_out_of_a_checkout_is_refused(checkout: Path, write: Callable[[Path], object]) -> None:
    (checkout / "link").symlink_to(checkout.parent / "home")
    (checkout.parent / "mine").symlink_to(checkout)
    with pytest.raises(SymlinkError):
        write(checkout.parent / "mine/link")
    (checkout.parent / "twice").symlink_to(f"/{checkout}")  # pathlib distinguishes the root // from /
    for path in (checkout / "sub/../link/../home", checkout.parent / "twice/link", Path(f"/{checkout}/link")):
        with pytest.raises(SymlinkError):
            write(path)
    assert not list((checkout.parent / "home").iterdir())


@pytest.mark.parametrize("write", WRITES)
def test_a_symlink_outside_the_checkout_is_followed(checkout: Path, write: Callable[[Path], object]) -> None:
    (checkout.parent / "mine").symlink_to("home")
    (checkout.parent / "home/inner").mkdir()
    write(checkout.parent / "mine/inner")
    (checkout.parent / "again").symlink_to("checkout")
    write(checkout.parent / "again/sub")


def test_the_last_component_is_followed_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "mine").symlink_to("home")
    (tmp_path / "file").symlink_to("home/file")
    with pytest.raises(SymlinkError):
        open_directory(tmp_path / "mine")
    with open_directory(tmp_path / "mine", follow_last=True) as directory:
        assert directory.real == tmp_path / "home"
    with pytest.raises(SymlinkError):
        write_whole(tmp_path / "file", b"x")
    assert not (tmp_path / "home/file").exists()


def test_dot_components_are_resolved_as_in_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    write_whole(tmp_path / "link/../file", b"x")
    assert (tmp_path / "a/file").exists()


def test_a_symlink_loop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(tmp_path / "one/sub/file", b"x")


def test_the_git_directory_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / ".git/hooks").mkdir(parents=True)
    for path in (".git/hooks/pre-commit", ".git/x", ".git"):
        with pytest.raises(OSError, match="Git's own"):
            write_whole(tmp_path / path, b"x", make=True)
    assert list((tmp_path / ".git").rglob("*")) == [tmp_path / ".git/hooks"]


def test_directories_created_for_a_failed_write_are_removed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(OSError, match="Git's own"):
        write_whole(tmp_path / "there/a/b/.git", b"x", make=True)
    assert list((tmp_path / "there").iterdir()) == []


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "a/file", b"x")
