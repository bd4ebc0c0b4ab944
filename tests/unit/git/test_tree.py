"""Reading the files of a hostile commit or partial clone: bombs, broken objects, unsafe names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git import objects as module
from kubocd_gen.git.objects import Objects, UnreadableObjectError
from kubocd_gen.git.repository import find_repository
from kubocd_gen.git.setup import for_questions
from kubocd_gen.git.tree import CommitTree, OutsideRepositoryError, real_path
from tests.support.charts import commit_all, git, git_repository
from tests.support.git_traps import blob, commit_tree, instead_of_git, store, tree, tree_bomb

FILE, FOLDER, LINK = "100644", "40000", "120000"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    directory.mkdir()
    git(directory, "init", "--quiet", "--initial-branch=main")
    return directory


@pytest.fixture
def objects(repository: Path) -> Iterator[Objects]:
    with Objects(repository / ".git", for_questions()) as reader:
        yield reader


class Counter:
    """Count entries, up to a limit."""

    def __init__(self, most: int) -> None:
        self.most, self.seen = most, 0

    def __call__(self, entries: int) -> None:
        self.seen += entries
        if self.seen > self.most:
            raise OverflowError


def refusal(reader: Objects, root: str, path: str = "") -> str:
    with pytest.raises(UnreadableObjectError) as caught:
        list(CommitTree(reader, root).walk(path, Counter(10**6)))
    return str(caught.value)


def test_the_files_of_a_commit_are_read(tmp_path: Path) -> None:
    directory = tmp_path / "checkout"
    directory.mkdir()
    (directory / "a").mkdir()
    (directory / "a/link").symlink_to("../b/x")
    git_repository(
        directory, {"a/x.yaml": b"x\n", "b/ü": b"", ".hidden/y": b"y", ".gitattributes": b"* text eol=crlf\n"}
    )
    with Objects(directory / ".git", for_questions()) as reader:
        read = CommitTree(reader, "HEAD")
        assert [name for name, _ in read.walk("", Counter(99))] == [
            ".gitattributes",
            ".hidden/y",
            "a/link",
            "a/x.yaml",
            "b/ü",
        ]
        assert [name for name, _ in read.walk("", Counter(99), hidden=False)] == ["a/link", "a/x.yaml", "b/ü"]
        assert [name for name, _ in read.walk("b", Counter(99))] == ["b/ü"]
        assert [name for name, _ in read.walk("a/x.yaml", Counter(99))] == ["a/x.yaml"]
        assert list(read.walk("nowhere", Counter(99))) == []
        assert (read.target("a/link"), read.target("a"), read.names("a/x.yaml")) == ("../b/x", None, None)
        entry = read.entry("a/x.yaml")
        assert entry is not None
        found = reader.blob(entry.id, 100)
        assert found is not None
        assert found.whole() == b"x\n"
        assert reader.find("0" * 40) is None
        assert CommitTree(reader, "HEAD^{tree}").names("") == read.names("")


def test_ten_objects_that_expand_to_a_billion_files_are_read_once_each(repository: Path, objects: Objects) -> None:
    read = CommitTree(objects, commit_tree(repository, tree_bomb(repository, 9)))
    assert read.entry("/".join(["f0.yaml"] * 9)) is not None
    count = Counter(1_000)
    with pytest.raises(OverflowError):
        list(read.walk("", count))
    assert count.seen == 1_010
    assert objects._entries == 90  # the entries read from the store


def test_distinct_entries_have_a_limit(repository: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 85)
    bomb = commit_tree(repository, tree_bomb(repository, 9))
    assert refusal(objects, bomb).endswith("the limit of 85 entries for a revision")


def test_a_directory_has_a_size_limit(repository: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_TREE", 100)
    one = blob(repository, b"")
    large = tree(repository, [(b"f%d" % number, FILE, one) for number in range(10)])
    assert "entries" in refusal(objects, large)
    assert objects.find(one) is not None  # the reader can still be used


def test_endless_directories_and_invalid_names_are_refused(repository: Path, objects: Objects) -> None:
    one = blob(repository, b"")
    deep = tree(repository, [(b"f", FILE, one)])
    for _ in range(200):
        deep = tree(repository, [(b"d", FOLDER, deep)])
    assert "contains paths over the limit of 128 directories or 4000 bytes" in refusal(objects, deep)
    assert "over the limit" in refusal(objects, tree(repository, [(b"n" * 256, FILE, one)]))
    long = tree(repository, [(b"f", FILE, one)])
    for _ in range(20):
        long = tree(repository, [(b"d" * 250, FOLDER, long)])
    assert "over the limit" in refusal(objects, long)


def test_names_that_would_leave_the_directory_are_omitted(repository: Path, objects: Objects) -> None:
    one = blob(repository, b"")
    names = (b".", b"..", b".git", b".GIT", b"a/b", b"", b"fine", b"\xff")
    root = tree(repository, [(name, FILE, one) for name in names])
    assert [name for name, _ in CommitTree(objects, root).walk("", Counter(99))] == ["fine", "\udcff"]


def test_a_broken_object_is_reported(repository: Path, objects: Objects) -> None:
    one = blob(repository, b"x")
    directory = tree(repository, [(b"f", FILE, one)])
    assert "expected a directory" in refusal(objects, tree(repository, [(b"d", FOLDER, one)]), "d")
    assert "not a valid Git tree" in refusal(objects, tree(repository, [(b"d", "70000", one)]))
    assert "not a valid Git tree" in refusal(objects, tree(repository, [(b"d", FILE, one[:20])]))
    assert refusal(objects, one) == refusal(objects, "0" * 40) == "is not in the repository"
    for reference, message in ((directory, "expected a file"), ("1" * 40, "not in the repository")):
        root = tree(repository, [(b"l", LINK, reference)])
        with pytest.raises(UnreadableObjectError, match=message):
            CommitTree(objects, root).target("l")


@pytest.mark.parametrize("line", ["tree HEAD", "tree " + "z" * 40, "tree " + "0" * 39, "tree 0\n" + "0" * 40])
def test_a_commit_without_a_valid_tree_is_reported(repository: Path, objects: Objects, line: str) -> None:
    commit = store(repository, "commit", f"{line}\n{'author x' * 20}\n".encode())
    assert refusal(objects, commit) == "is corrupt: expected a commit"


def test_files_after_one_over_the_limit_are_read(repository: Path, objects: Objects) -> None:
    large, small = blob(repository, b"x" * 3_000_000), blob(repository, b"y")
    with pytest.raises(UnreadableObjectError, match="is larger than the limit of 1 MiB"):
        objects.blob(large, 1 << 20)
    link = tree(repository, [(b"l", LINK, large)])
    with pytest.raises(UnreadableObjectError, match="is too long"):
        CommitTree(objects, link).target("l")
    assert objects.find(large) is not None  # its content is not read
    found = objects.blob(small, 10)
    assert found is not None
    assert found.whole() == b"y"


def test_symlink_chains_are_limited(repository: Path) -> None:
    assert real_path("a/b", {"a": "c"}.get) == ("c/b", ["a"])
    for links in ({"a": "a"}, {"a": "/etc"}, {"a": "../x"}, {"a": "x/" * 2_000}):
        with pytest.raises(OutsideRepositoryError):
            real_path("a", links.get)


def test_missing_objects_of_a_damaged_store_are_reported(repository: Path, objects: Objects) -> None:
    one = blob(repository, b"x" * 100)
    path = repository / ".git/objects" / one[:2] / one[2:]
    path.chmod(0o644)
    path.write_bytes(b"nonsense")
    assert objects.find(one) is None


@pytest.mark.parametrize("answer", ["", "echo $id blob 100; echo short; ", "echo fatal: out of memory >&2; "])
def test_a_git_process_that_ends_early_is_an_error(tmp_path: Path, answer: str) -> None:
    setup = instead_of_git(tmp_path, f"read id; {answer}exit 128")
    with Objects(tmp_path, setup) as reader:
        for _ in range(2):
            with pytest.raises(ProblemsError) as caught:
                if found := reader.find("1" * 40):
                    found.whole()
            assert caught.value.problem.code == "git-failed"


def test_an_older_git_that_exits_on_a_missing_object_is_handled(tmp_path: Path) -> None:
    setup = instead_of_git(tmp_path, "read id; echo fatal: could not fetch $id from promisor remote >&2; exit 128")
    asked: list[str] = []
    with Objects(tmp_path, setup, asked.extend) as reader:
        assert reader.find("1" * 40) is None
        reader.fetch_missing(["2" * 40])
    assert asked == ["1" * 40, "2" * 40]


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """Create a clone without blobs, with an empty working tree; the server has 50 files."""
    server = tmp_path / "server"
    server.mkdir()
    git_repository(server, {f"sources/f{number}.yaml": b"%d" % number for number in range(50)})
    git(server, "rm", "-r", "--quiet", "sources")
    (server / "README").write_text("nothing\n")
    commit_all(server)
    for name in ("allowFilter", "allowAnySHA1InWant"):
        git(server, "config", f"uploadpack.{name}", "true")
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", f"file://{server}", str(tmp_path / "partial"))
    return tmp_path / "partial"


def test_missing_blobs_of_a_partial_clone_are_fetched_at_once(
    partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    with find_repository(partial).objects() as reader:
        read = CommitTree(reader, "HEAD~1")
        ids = [entry.id for _, entry in read.walk("sources", Counter(99))]
        assert len(ids) == 50
        reader.fetch_missing(ids)
        reader.fetch_missing(ids)  # nothing is left to fetch
        contents = [found.whole() for one in ids if (found := reader.blob(one, 10)) is not None]
    assert len(contents) == 50
    lines = [line for line in (tmp_path / "trace").read_text().splitlines() if "built-in: git fetch" in line]
    assert len(lines) == 1


def test_a_missing_blob_is_not_fetched_offline_and_otherwise_one_by_one(partial: Path) -> None:
    one = git(partial, "rev-parse", "HEAD~1:sources/f1.yaml").strip()
    with find_repository(partial, offline=True).objects() as reader:
        reader.fetch_missing([one])
        assert reader.blob(one, 10) is None
    with find_repository(partial).objects() as reader:
        found = reader.blob(one, 10)
        assert found is not None
        assert found.whole() == b"1"


def test_missing_trees_of_a_partial_clone_are_fetched_at_once(tmp_path: Path, partial: Path) -> None:
    clone = tmp_path / "treeless"
    git(tmp_path, "clone", "--quiet", "--bare", "--filter=tree:0", f"file://{tmp_path}/server", str(clone / ".git"))
    git(clone, "config", "core.bare", "false")
    with find_repository(clone).objects() as reader:
        assert len(list(CommitTree(reader, git(clone, "rev-parse", "HEAD~1").strip()).walk("", Counter(99)))) == 50


def test_a_server_that_refuses_is_an_error_with_its_reason(tmp_path: Path, partial: Path) -> None:
    (tmp_path / "server").rename(tmp_path / "gone")
    one = git(tmp_path / "gone", "rev-parse", "HEAD~1:sources/f1.yaml").strip()
    with find_repository(partial).objects() as reader, pytest.raises(ProblemsError) as caught:
        reader.find(one)
    assert caught.value.problem.code == "git-failed"
    assert "failed to fetch missing objects" in caught.value.problem.message
