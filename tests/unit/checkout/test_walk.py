from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubocd_gen.budget.limits import Limits
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import find_files
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.checkout.walk import MAX_DEPTH, MAX_PATTERN, DirectoryWalk, PatternError
from kubocd_gen.files.paths import display_path, fixed_part
from tests.support.thorough import count

MAZE = 12  # directories that each link to all others: more than 10⁸ paths


def walk_of(root: Path, files: int = 10_000) -> DirectoryWalk:
    return DirectoryWalk(CheckoutFiles(root), Budget(Limits(files=files)), (".yaml",), root)


def found(root: Path, *sources: str) -> tuple[list[str], list[str]]:
    files, errors, *_ = find_files(sources, root, [], budget=Budget(Limits(files=10_000)))
    return [display_path(file, root) for file in files], [
        f"{one.position.path if one.position else None} {one.code}" for one in errors
    ]


@pytest.fixture
def maze(tmp_path: Path) -> Path:
    for one in range(MAZE):
        (tmp_path / f"src/d{one}").mkdir(parents=True)
        (tmp_path / f"src/d{one}/r{one}.yaml").write_text("a: 1\n")
    for one in range(MAZE):
        for other in range(MAZE):
            if one != other:
                (tmp_path / f"src/d{one}/l{other}").symlink_to(f"../d{other}")
    return tmp_path


@pytest.mark.parametrize(
    "source", ["src", "src/**", "src/**/r*.yaml", "**/*.yaml", "src/*/*/*/*.yaml", "src/**/l3/**/l4/**/*.yaml", "src/*"]
)
def test_directories_that_link_to_each_other_are_each_read_once(maze: Path, source: str) -> None:
    files, errors = found(maze, source)
    assert errors == []
    names = sorted(os.path.realpath(maze / file) for file in files)
    assert names == sorted(str(maze / f"src/d{one}/r{one}.yaml") for one in range(MAZE))


def test_a_directory_that_links_to_itself_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/r.yaml").touch()
    for name in ("a", "b", "c"):
        (tmp_path / "src" / name).symlink_to(".")
    for source in ("src", "src/**/r*.yaml", "src/**", "**/r.yaml"):
        assert found(tmp_path, source)[0] == ["src/r.yaml"]


def test_a_long_chain_of_symlinks_is_followed(tmp_path: Path) -> None:
    for one in range(60):  # more than the 40 that Linux follows on one path
        (tmp_path / f"src/d{one:02}").mkdir(parents=True)
        (tmp_path / f"src/d{one:02}/r.yaml").touch()
        (tmp_path / f"src/d{one:02}/next").symlink_to(f"../d{one + 1:02}")
    (tmp_path / "src/d60").mkdir()
    walk = walk_of(tmp_path)
    assert len({real for real, _ in walk.below(tmp_path / "src")}) == 60
    assert walk.errors == []


@pytest.mark.parametrize("source", ["src", "src/*", "src/**/*.yaml", "src/*/*.yaml", "src/apps/*.yaml", "src/apps"])
@pytest.mark.parametrize("target", ["../missing", "apps", "r.yaml/below"])
def test_a_broken_symlink_that_can_lead_to_a_directory_is_an_error(tmp_path: Path, source: str, target: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/r.yaml").touch()
    for name in ("README.md", "notes.TXT", ".#r.yaml"):
        (tmp_path / "src" / name).symlink_to("../missing")
    (tmp_path / "src/apps").symlink_to(target)
    assert found(tmp_path, source)[1] == ["src/apps unreadable-source"]


NAMES = st.lists(st.sampled_from(["a", "b", "ab", ".h", "x.yaml", "y.yaml", "[z]", "a-b"]), min_size=1, max_size=4)
PATTERNS = st.lists(
    st.sampled_from(["a", "b", "*", "**", "a*", "*.yaml", "?", "[ab]", ".*", "x.yaml", "..", "[[]z]", "a**"]),
    min_size=1,
    max_size=4,
).map("/".join)


@settings(max_examples=count(10, 40))  # each example creates its own tree
@given(paths=st.lists(NAMES, max_size=12), patterns=st.lists(PATTERNS, min_size=10, max_size=20))
def test_a_glob_matches_the_same_files_as_python_s_glob(paths: list[list[str]], patterns: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(os.path.realpath(directory))
        root = top / "1/2/3/root"  # deep enough that the '..' of a pattern stay inside
        root.mkdir(parents=True)
        for path in paths:
            try:
                root.joinpath(*path[:-1]).mkdir(parents=True, exist_ok=True)
                root.joinpath(*path).touch()
            except OSError:
                continue  # a file in place of a directory
        for pattern in patterns:
            walk = walk_of(top)
            # For `file/**`, glob returns `file/`, which does not exist.
            names = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
            wanted = _files(root / name for name in names if os.path.lexists(f"{root}/{name}"))
            assert _files(walk.matches(pattern, root)) == wanted, pattern
            assert walk.errors == []


def _files(matches: Iterable[Path]) -> set[str]:
    found = {real for match in matches for real, _ in walk_of(Path("/")).below(match)}
    return {path for path in found if path.endswith(".yaml")}


@pytest.mark.parametrize("source", ["src", "src/*", "src/**/*.yaml"])
def test_a_symlink_that_leads_out_is_an_error_at_its_path(tmp_path: Path, source: str) -> None:
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "outside/deep/secret.yaml").touch()
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "src/r.yaml").touch()
    (root / "src/out").symlink_to("../../outside")
    files, errors = found(root, source)
    assert files == ["src/r.yaml"]
    assert errors == ["src/out outside-checkout"]
    allowed = CheckoutFiles.around(root, [tmp_path / "outside"])
    named, problems, *_ = find_files([source], root, [], files=allowed)
    assert ([file.name for file in named], problems) == (["secret.yaml", "r.yaml"], [])


@pytest.mark.parametrize("source", ["../*/secret.yaml", "../**/secret.yaml", "sub/../../outside/*.yaml"])
def test_a_glob_that_leaves_the_checkout_finds_nothing_there(tmp_path: Path, source: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.yaml").touch()
    (tmp_path / "project/sub").mkdir(parents=True)
    files, errors = found(tmp_path / "project", source)
    assert files == []
    assert errors
    assert all(one.endswith("outside-checkout") for one in errors)


def test_too_many_entries_end_the_walk(tmp_path: Path) -> None:
    for one in range(50):
        (tmp_path / f"d{one}").mkdir()  # an empty directory takes time as well
    assert list(walk_of(tmp_path, files=101).below(tmp_path)) == []
    with pytest.raises(BudgetExceededError, match="the sources have more files and directories than this run's limit"):
        list(walk_of(tmp_path, files=100).below(tmp_path))
    with pytest.raises(BudgetExceededError):
        walk_of(tmp_path, files=10).matches("*/x", tmp_path)


def test_a_large_directory_is_counted_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in range(2500):
        (tmp_path / f"f{one}").touch()
    spent = []
    budget = Budget()
    monkeypatch.setattr(Budget, "spend", lambda _self, _name, amount: spent.append(amount))
    list(DirectoryWalk(CheckoutFiles(tmp_path), budget, (".yaml",), tmp_path).below(tmp_path))
    assert (max(spent), sum(spent)) == (1000, 2501)


def test_directories_that_are_too_deep_are_an_error(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * (MAX_DEPTH + 1))
    deep.mkdir(parents=True)
    (deep / "r.yaml").touch()
    (deep.parent / "s.yaml").touch()
    for source in (".", "**/*.yaml"):
        files, errors = found(tmp_path, source)
        assert [Path(file).name for file in files] == ["s.yaml"]
        assert [one.rpartition(" ")[2] for one in errors] == ["unreadable-source"]


@pytest.mark.parametrize("pattern", ["**/a/" * 5 + "*", "*" * (MAX_PATTERN + 1)])
def test_a_glob_beyond_the_limits_is_an_error(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(PatternError):
        walk_of(tmp_path).matches(pattern, tmp_path)
    assert found(tmp_path, pattern)[1] == ["None invalid-value"]


@pytest.mark.parametrize(
    ("source", "fixed"),
    [("a/b", "a/b"), ("a/*/b", "a"), ("*", ""), ("../**", ".."), ("/a/b[c]", "/a"), ("/*", "/"), ("", "")],
)
def test_the_fixed_part_of_a_glob_ends_before_its_first_wildcard(source: str, fixed: str) -> None:
    assert fixed_part(source) == fixed
