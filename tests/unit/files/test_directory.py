"""An operation stays in its directory or fails, whatever an attacker puts into the path and whenever."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kubocd_gen.files.directory import Directory, check_replaceable, open_directory, write_whole
from kubocd_gen.files.paths import hint_of
from kubocd_gen.files.walk import SymlinkError
from tests.support.attackers import Attacker, state

OPERATIONS: dict[str, Callable[[Directory], object]] = {
    "status": lambda root: root.status("a/b/file"),
    "entries": lambda root: root.entries("a/b"),
    "read": lambda root: root.read("a/b/file", 100),
    "create": lambda root: root.create("a/b/new", b"new"),
    "write": lambda root: root.write("a/b/file", b"new"),
    "write a new file": lambda root: root.write("a/b/new", b"new"),
    "make": lambda root: root.make("a/b/c/d"),
    "make one": lambda root: root.make_one("a/b/c"),
    "rename here": lambda root: root.rename("other/file", "a/b/file"),
    "rename away": lambda root: root.rename("a/b/file", "other/new"),
    "rename a directory": lambda root: root.rename("a/b", "other/new"),
    "exchange": lambda root: root.exchange("other/tree", "a/b/tree"),
    "link here": lambda root: root.link_or_copy("other/file", "a/b/new"),
    "link away": lambda root: root.link_or_copy("a/b/file", "other/new"),
    "copy a tree here": lambda root: root.copy_tree("other/tree", "a/b/new"),
    "copy a tree away": lambda root: root.copy_tree("a/b/tree", "other/new"),
    "touch": lambda root: root.touch("a/b/file"),
    "remove a file": lambda root: root.remove_file("a/b/file"),
    "remove a directory": lambda root: root.remove_directory("a/b/empty"),
    "remove a tree": lambda root: root.remove("a/b/tree"),
    "remove what is empty": lambda root: root.remove_empty("a/b/empty"),
    "sync": lambda root: root.sync("a/b"),
    "open a subdirectory": lambda root: root.subdirectory("a/b").entries(),
}


def fill(root: Path) -> None:
    for name in ("tree", "empty"):
        (root / name).mkdir(parents=True)
    for name in ("file", "tree/file"):
        (root / name).write_text(root.name)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    fill(tmp_path / "root/a/b")
    fill(tmp_path / "root/other")
    fill(tmp_path / "home/b")  # the target of a symlink that replaces `a`
    fill(tmp_path / "home")
    return tmp_path / "root"


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("victim", ["a", "a/b"])
def test_an_existing_symlink_is_refused(tree: Path, operation: Callable[[Directory], object], victim: str) -> None:
    (tree / victim).rename(tree / "aside")
    (tree / victim).symlink_to(tree.parent / "home")
    before = state(tree.parent / "home")
    with open_directory(tree) as root:
        try:
            operation(root)
        except SymlinkError as error:
            assert error.filename == str(tree / victim)
        else:
            # A symlink itself is moved, never its target; and empty directories that can't be removed are left.
            assert operation in (OPERATIONS["rename a directory"], OPERATIONS["remove what is empty"])
    assert state(tree.parent / "home") == before


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("victim", ["a", "a/b"])
def test_a_directory_replaced_by_a_symlink_at_any_step_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: Callable[[Directory], object], victim: str
) -> None:
    for number in range(1, 200):
        base = tmp_path / str(number)
        fill(base / "root/a/b")
        fill(base / "root/other")
        fill(base / "home/b")
        fill(base / "home")
        before = state(base / "home")
        with monkeypatch.context() as patch, open_directory(base / "root") as root:
            attacker = Attacker(patch, base / "root" / victim, base / "home", number)
            attacker.active = True
            try:
                operation(root)
            except OSError:
                pass
            finally:
                attacker.active = False
        assert state(base / "home") == before, number
        if attacker.calls < number:
            return
    raise AssertionError


def test_a_root_replaced_by_a_symlink_is_still_the_opened_directory(tree: Path) -> None:
    with open_directory(tree) as root:
        tree.rename(tree.with_name("aside"))
        tree.symlink_to(tree.parent / "home")
        before = state(tree.parent / "home")
        root.write("a/b/file", b"new")
        assert state(tree.parent / "home") == before
    assert (tree.with_name("aside") / "a/b/file").read_bytes() == b"new"


@pytest.mark.parametrize(
    "path", ["..", "a/../../home/file", "/etc/passwd", "a//b/file", "a/./b", "a/b/", "", "a\0b", ".git/x", "a/.GIT/x"]
)
def test_a_path_that_could_leave_the_directory_is_refused(tree: Path, path: str) -> None:
    before = state(tree.parent)
    with open_directory(tree) as root:
        for operation in (root.remove_file, root.remove_directory, lambda path: root.write(path, b"x")):
            with pytest.raises(OSError, match=r"not a path below|Git's own"):
                operation(path)
    assert state(tree.parent) == before


@pytest.mark.parametrize("what", ["symlink", "fifo", "directory", "socket"])
def test_only_a_regular_file_is_read_or_replaced_without_blocking(tree: Path, what: str) -> None:
    path = tree / "a/b/file"
    path.unlink()
    match what:
        case "symlink":
            path.symlink_to(tree.parent / "home/file")
        case "fifo":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case _:
            path.mkdir()
    before = state(tree.parent)
    with open_directory(tree) as root:
        for operation in (lambda: root.read("a/b/file", 100), lambda: root.write("a/b/file", b"new")):
            with pytest.raises(OSError, match=r".") as caught:
                operation()
            assert caught.value.filename == str(path)
            assert isinstance(caught.value, SymlinkError) == (what == "symlink")
    assert state(tree.parent) == before


def test_a_symlink_itself_can_be_replaced(tree: Path) -> None:
    (tree / "a/b/file").unlink()
    (tree / "a/b/file").symlink_to(tree.parent / "home/file")
    with open_directory(tree) as root:
        root.write("a/b/file", b"new", replace_symlink=True)
    assert not (tree / "a/b/file").is_symlink()
    assert (tree.parent / "home/file").read_text() == "home"


def test_a_file_that_is_too_large_is_not_read(tree: Path) -> None:
    with open_directory(tree) as root:
        assert root.read("a/b/file", 1) == b"b"
        with pytest.raises(OSError, match="larger than 0 bytes") as caught:
            root.read("a/b/file", 0)
        assert caught.value.errno == errno.EFBIG


def test_a_tree_is_removed_without_following_the_symlinks_in_it(tree: Path) -> None:
    (tree / "a/b/tree/link").symlink_to(tree.parent / "home")
    (tree / "a/b/tree/file-link").symlink_to(tree.parent / "home/file")
    before = state(tree.parent / "home")
    with open_directory(tree) as root:
        root.remove("a")
        root.remove("a")
    assert not (tree / "a").exists()
    assert state(tree.parent / "home") == before


def test_a_copied_tree_keeps_symlinks_and_hard_links_its_files(tree: Path) -> None:
    (tree / "a/b/tree/link").symlink_to(tree.parent / "home")
    with open_directory(tree) as root:
        root.copy_tree("a/b", "copy", without=("file",))
    assert (tree / "copy/tree/link").readlink() == tree.parent / "home"
    assert (tree / "copy/tree/file").samefile(tree / "a/b/tree/file")
    assert not (tree / "copy/file").exists()


def test_a_tree_that_is_too_deep_is_an_error(tree: Path) -> None:
    with open_directory(tree) as root:
        root.make("/".join(["deep"] * 60))
        with pytest.raises(OSError, match="nested too deeply"):
            root.copy_tree("deep", "copy")
        root.remove("copy")
    assert not (tree / "copy").exists()


def test_parent_directories_are_created_and_empty_ones_removed(tree: Path) -> None:
    with open_directory(tree) as root:
        assert root.make("a/x/y") == ["a/x", "a/x/y"]
        assert root.make("a/x/y") == []
        root.remove_empty("a/x/y")
        assert not (tree / "a/x").exists()
        assert (tree / "a").exists()


def test_a_directory_is_locked_by_one_holder_at_a_time(tree: Path) -> None:
    entered, waited = threading.Event(), threading.Event()

    def other() -> None:
        with open_directory(tree) as again, again.locked(waited.set):
            entered.set()

    thread = threading.Thread(target=other)
    with open_directory(tree) as root:
        assert not root.is_locked()
        with root.locked():
            assert root.is_locked()
            thread.start()
            waited.wait()
            assert not entered.is_set()
        thread.join()
    assert entered.is_set()


def test_no_descriptor_stays_open(tree: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    with open_directory(tree) as root:
        for operation in OPERATIONS.values():
            try:
                operation(root)
            except OSError:
                continue
        for path in ("missing/x", "a/b/file/x"):
            with pytest.raises(OSError, match=r"."):
                root.read(path, 1)
    assert len(list(Path("/dev/fd").iterdir())) == before


def irregular(directory: Path) -> dict[str, Path]:
    paths = {name: directory / name for name in ("a FIFO", "a socket", "a directory", "a symlink")}
    os.mkfifo(paths["a FIFO"])
    paths["a directory"].mkdir()
    paths["a symlink"].symlink_to("target")
    with contextlib.chdir(directory), socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a socket")
    return paths


def test_only_a_regular_file_is_replaced(tmp_path: Path) -> None:
    for kind, path in irregular(tmp_path).items():
        before = path.lstat()
        for operation in (lambda path: write_whole(path, b"x", make=True), check_replaceable):
            with pytest.raises(OSError, match="follow a symlink" if kind == "a symlink" else f"it is {kind}") as caught:
                operation(path)
            assert caught.value.filename == str(path)
            assert hint_of(caught.value)
        assert path.lstat() == before
    assert not (tmp_path / "target").exists()
    with pytest.raises(OSError, match="it is a device"):
        check_replaceable(Path("/dev/full"))


def test_a_new_file_and_a_regular_file_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    check_replaceable(tmp_path / "file")
    check_replaceable(tmp_path / "new/directory/file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(NotADirectoryError):
        check_replaceable(tmp_path / "file/below")
