from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kubocd_gen.checkout.discovery import MAX_SOURCE_BYTES, find_files, read_source
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.files.paths import display_path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        *("a/one.yaml", "a/two.yml", "a/three.json", "a/README.md", "a/deep/er/four.yaml", "a/.hidden/five.yaml"),
        *("a/.six.yaml", "a/dir.yaml/seven.yaml", "b/[x]/eight.yaml", "b/nine.txt"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a: 1\n")
    return tmp_path


def found(root: Path, *sources: str, ignore: tuple[str, ...] = ()) -> list[str]:
    files, errors, *_ = find_files(sources, root, [root / path for path in ignore])
    assert errors == []
    return [display_path(file, root) for file in files]


A = ["a/deep/er/four.yaml", "a/dir.yaml/seven.yaml", "a/one.yaml", "a/three.json", "a/two.yml"]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["a"], A),
        (["a/"], A),
        (["a/one.yaml"], ["a/one.yaml"]),
        (["b/nine.txt"], ["b/nine.txt"]),
        (["a/.hidden/five.yaml"], ["a/.hidden/five.yaml"]),
        (["a/.hidden"], ["a/.hidden/five.yaml"]),
        (["a/*.yaml"], ["a/dir.yaml/seven.yaml", "a/one.yaml"]),
        (["a/*"], A),
        (["**/*.yml"], ["a/two.yml"]),
        (["a/**"], A),
        (["b/[x]"], ["b/[x]/eight.yaml"]),
        (["b/[[]x]/*"], ["b/[x]/eight.yaml"]),
        (["a", "a/one.yaml", "a/deep", "a/*"], A),
        (["b", "a/two.yml"], ["a/two.yml", "b/[x]/eight.yaml"]),
    ],
)
def test_a_source_is_a_file_a_directory_or_a_glob_and_each_file_is_read_once(
    tree: Path, sources: list[str], expected: list[str]
) -> None:
    assert found(tree, *sources) == expected


def test_the_root_can_contain_glob_characters(tree: Path) -> None:
    assert found(tree / "b" / "[x]", "*.yaml") == ["eight.yaml"]


def test_an_absolute_source_is_used_as_is(tree: Path) -> None:
    sources = [str(tree / "a" / "one.yaml"), str(tree / "a" / "*.json")]
    files, errors, *_ = find_files(sources, Path("/nowhere"), [], files=CheckoutFiles(tree))
    assert [file.name for file in files] == ["one.yaml", "three.json"]
    assert errors == []


def test_a_source_that_matches_nothing_is_an_error_and_the_others_are_read(tree: Path) -> None:
    files, errors, *_ = find_files(["a/deep", "clusters", "c/*"], tree, [])
    assert len(files) == 1
    assert [(error.code, error.message) for error in errors] == [
        ("missing-source", "the source 'clusters' does not exist"),
        ("missing-source", "the source 'c/*' matches no file"),
    ]
    assert "glob" in (errors[0].hint or "")


def test_output_of_kcd_gen_is_not_a_source(tree: Path) -> None:
    assert found(tree, "a", ignore=("a/deep/er", "a/dir.yaml")) == ["a/one.yaml", "a/three.json", "a/two.yml"]
    (tree / "link").symlink_to(tree / "a" / "deep")
    assert found(tree, "link", ignore=("a/deep",)) == []


def test_a_symlink_to_a_parent_directory_is_followed_once(tree: Path) -> None:
    (tree / "a" / "deep" / "up").symlink_to(tree / "a")
    assert found(tree, "a") == A


def test_a_file_that_a_symlink_points_to_is_read_once(tree: Path) -> None:
    (tree / "a" / "zero.yaml").symlink_to(tree / "a" / "one.yaml")
    (tree / "a" / "zeros").symlink_to(tree / "a" / "deep")
    assert found(tree, "a") == A


def test_a_symlink_out_of_the_source_is_followed(tree: Path) -> None:
    (tree / "b" / "out").symlink_to(tree / "a" / "deep")
    assert found(tree, "b") == ["b/[x]/eight.yaml", "b/out/er/four.yaml"]


@pytest.mark.parametrize("target", ["nowhere.yaml", "self.yaml"])
def test_a_dangling_symlink_is_an_error_when_it_is_read(tree: Path, target: str) -> None:
    (tree / "a" / "self.yaml").symlink_to(tree / "a" / target)
    assert "a/self.yaml" in found(tree, "a")
    assert "a/self.yaml" in found(tree, "a/self.yaml")
    with pytest.raises(ProblemsError) as caught:
        read_source(tree / "a" / "self.yaml", "a/self.yaml", [b"x"])
    assert target in caught.value.problem.message
    assert caught.value.problem.code == "unreadable-source"
    assert caught.value.problem.position == Position("a/self.yaml")


def test_a_directory_that_cant_be_read_is_an_error_and_the_others_are_read(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    files, errors, *_ = find_files(["a"], tree, [])
    assert len(files) == 4
    (error,) = errors
    assert (error.code, error.message) == ("unreadable-source", "cannot read the directory: Permission denied")
    assert error.position == Position("a/deep")
    assert error.hint is not None


def test_a_path_is_shown_relative_to_the_root_or_the_current_directory(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "b")
    assert display_path(tree / "a" / "x.yaml", tree / "a") == "x.yaml"
    assert display_path(Path("x.yaml"), tree) == "b/x.yaml"
    assert display_path(tree / "b" / "x.yaml", tree / "a") == "x.yaml"
    assert display_path(Path("/nowhere/x.yaml"), tree) == "/nowhere/x.yaml"


def test_a_name_that_is_not_utf_8_can_be_shown(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.yaml")
    assert display_path(tmp_path / name, tmp_path) == "caf\N{REPLACEMENT CHARACTER}.yaml"


MENTIONS = [b"kubocd.kubotal.io"]
TEXT = "é: kubocd.kubotal.io\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
    ],
)
def test_a_source_is_utf_8_or_utf_16_with_a_byte_order_mark(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f.yaml").write_bytes(data)
    source = read_source(tmp_path / "f.yaml", "f.yaml", MENTIONS)
    assert source is not None
    assert source.text == TEXT


def test_a_file_that_does_not_mention_kubocd_is_not_decoded(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"caf\xe9: 1")
    assert read_source(tmp_path / "f.yaml", "f.yaml", MENTIONS) is None


@pytest.mark.parametrize(
    ("data", "message", "position"),
    [
        (b"# kubocd.kubotal.io\nname: caf\xe9\n", "the file is not valid UTF-8", (2, 10)),
        ("# é kubocd.kubotal.io".encode() + b"\xff", "the file is not valid UTF-8", (1, 22)),
        (b"\xff\xfea\x00\n\x00b", "the file is not valid UTF-16-LE", (2, 1)),
    ],
)
def test_a_file_in_another_encoding_is_an_error_at_its_first_invalid_byte(
    tmp_path: Path, data: bytes, message: str, position: tuple[int, int]
) -> None:
    (tmp_path / "f.yaml").write_bytes(data)
    with pytest.raises(ProblemsError) as caught:
        read_source(tmp_path / "f.yaml", "f.yaml", MENTIONS)
    error = caught.value
    assert (error.problem.code, error.problem.hint) == ("unreadable-source", "save it as UTF-8")
    assert error.problem.message.startswith(message[:22])
    assert error.problem.position == Position("f.yaml", *position)


def test_a_file_over_the_limit_is_an_error_only_if_it_mentions_kubocd(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b" " * (MAX_SOURCE_BYTES + 1))
    assert read_source(path, "f.yaml", MENTIONS) is None
    with path.open("r+b") as file:
        file.seek(MAX_SOURCE_BYTES // 2)
        file.write(MENTIONS[0])
    with pytest.raises(ProblemsError, match="larger than 16 MiB") as caught:
        read_source(path, "f.yaml", MENTIONS)
    assert caught.value.problem.hint == "split it, or exclude it from the cluster's sources"


@pytest.mark.parametrize("size", [300, MAX_SOURCE_BYTES + 1])
def test_binary_content_is_an_error_in_every_file(tmp_path: Path, size: int) -> None:
    with (tmp_path / "f.yaml").open("wb") as file:
        file.truncate(size)  # to NUL bytes
    with pytest.raises(ProblemsError) as caught:
        read_source(tmp_path / "f.yaml", "f.yaml", MENTIONS)
    assert (caught.value.problem.code, caught.value.problem.position) == ("unreadable-source", Position("f.yaml"))


def test_a_pattern_is_searched_in_large_files(tmp_path: Path) -> None:
    data = b" " * MAX_SOURCE_BYTES + b"kind: Release"
    (tmp_path / "f.yaml").write_bytes(data)
    mentions = [re.compile(rb"kind: (Release|Context)")]
    with pytest.raises(ProblemsError, match="larger than 16 MiB"):
        read_source(tmp_path / "f.yaml", "f.yaml", mentions)
    assert read_source(tmp_path / "f.yaml", "f.yaml", [re.compile(rb"kind: Config")]) is None


def test_reading_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.yaml")
    with pytest.raises(ProblemsError, match="not a regular file"):
        read_source(tmp_path / "f.yaml", "f.yaml", MENTIONS)


def test_a_file_that_cant_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f.yaml").write_text(TEXT)

    def refuse(_path: Path, _flags: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ProblemsError) as caught:
        read_source(tmp_path / "f.yaml", "f.yaml", MENTIONS)
    assert caught.value.problem.message == "cannot read the file: Permission denied"
    assert "to read it" in (caught.value.problem.hint or "")
