"""Queries about the repository that a project is in. They never change the working tree or the index.

Git would accept a directory of the checkout that looks like a bare repository, and run programs that its configuration
names. So the root is found here by its `.git`, which no commit can contain, and passed to Git explicitly.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.checkout.content import HEAD
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.paths import checkout_root, shown_path
from kubocd_gen.git.lfs import parse_pointer
from kubocd_gen.git.objects import Objects, UnreadableObjectError
from kubocd_gen.git.process import Done, run
from kubocd_gen.git.setup import for_fetch, for_questions, git_binary

FETCH_SECONDS = 300.0  # a shallow fetch of a large repository takes one minute
NETWORK = ("https", "http", "ssh", "git", "file")
_IGNORED = re.compile(r"(.*?):(\d+):([^!\t][^\t]*)\t")  # not patterns with `!`, which include files again
_UPSTREAM = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_DEEPEN = "run 'git fetch --unshallow', or 'git fetch --depth=N origin BRANCH' with a sufficient depth"
_OWNER = ("dubious ownership", "is owned by someone else")


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit. `name` is its name in messages: the user's name for it, or its abbreviated id."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class Uncommitted:
    """Files that differ from the index, by their paths from the root of the working tree.

    `untracked` files are neither in the index nor ignored. `changed` files are in the index with other content, or only
    with the intent to add them, or are missing in the working tree.
    """

    untracked: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Repository:
    """A Git repository with a working tree whose root is `top`. If `offline`, nothing is fetched into it.

    `store` is the Git directory of the working tree: `top/.git`, or the directory that it refers to.
    """

    top: Path
    store: Path
    offline: bool = False

    def revision(self, given: str) -> Revision:
        """Resolve `given`: a commit, branch, tag, or any other name that Git resolves to a commit.

        Raises ProblemsError `unknown-revision`.
        """
        commit = self._commit(given)
        if commit is None:
            hint = "pass a commit, a tag, or a branch such as origin/main; run 'git fetch' to update the clone"
            if self.is_shallow():
                hint = f"{_DEEPEN}: the clone is shallow"
            message = f"the revision '{given}' does not exist in this repository"
            raise ProblemsError.of("unknown-revision", message, hint=hint)
        return Revision(given, commit)

    def base(self) -> Revision:
        """Return the commit at which the current branch forked from the upstream's default branch; HEAD if unknown.

        Raises ProblemsError `unknown-revision` if there is no commit, or if a shallow clone does not reach far enough.
        """
        head = self._commit("HEAD")
        if head is None:
            hint = "commit the sources before comparing"
            raise ProblemsError.of("unknown-revision", "the repository has no commits", hint=hint)
        commit = head
        upstream = next((name for name in _UPSTREAM if self._commit(name)), None)
        if upstream is not None:
            fork = self.merge_base(upstream, head)
            if fork is None:
                hint = _DEEPEN if self.is_shallow() else "pass the revision to compare with: --ref REV"
                raise ProblemsError.of("unknown-revision", f"HEAD and '{upstream}' have no common commit", hint=hint)
            commit = fork
        elif self.is_shallow():
            hint = f"{_DEEPEN}, or pass a commit that it has: --ref REV"
            message = "the clone is shallow and has no branch to compare with"
            raise ProblemsError.of("unknown-revision", message, hint=hint)
        return Revision(self._first_line("rev-parse", "--short", "--end-of-options", commit) or commit, commit)

    def is_shallow(self) -> bool:
        """Return whether the history of the clone is incomplete."""
        return self._first_line("rev-parse", "--is-shallow-repository") == "true"

    def common_directory(self) -> Path:
        """Return the directory that all working trees of the repository share, usually `.git`."""
        return self.top / (self._first_line("rev-parse", "--git-common-dir") or ".git")

    def remote(self) -> str | None:
        """Return the URL of `origin`, or else of the first remote, as the user's configuration rewrites it."""
        for name in ("origin", self._first_line("remote")):
            if name and (url := self._first_line("remote", "get-url", "--", name)):
                return url
        return None

    def default_branch(self) -> str | None:
        """Return the default branch of `origin`, as recorded in the clone; None if unknown."""
        name = self._first_line("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD")
        return name.removeprefix("refs/remotes/origin/") if name else None

    def ignored_by(self, path: str) -> tuple[str, int, str] | None:
        """Return the file, line and pattern by which Git ignores a path below `top`; None if it does not."""
        # `./` because `:(top)` would be a pathspec.
        line = self._first_line("check-ignore", "--verbose", "--", f"./{path}")
        found = _IGNORED.match(line) if line else None
        if found is None:
            return None
        file = Path(found[1])
        return (str(file.relative_to(self.top) if file.is_relative_to(self.top) else file), int(found[2]), found[3])

    def is_tracked(self, path: str) -> bool:
        """Return whether a path below `top` is in the index. Raises ProblemsError `git-failed`."""
        return bool(self._listed("--", f"./{path}"))

    def uncommitted(self) -> Uncommitted:
        """Return the files of the working tree that differ from the index; in a hook, from the commit.

        Raises ProblemsError `git-failed`.
        """
        untracked = self._listed("--others", "--exclude-standard")
        filters_off = self._without_filters()
        changed = self._listed("--modified", settings=filters_off)
        return Uncommitted(untracked, changed - self._in_lfs(changed) if filters_off else changed)

    def _listed(self, *options: str, settings: Sequence[tuple[str, str]] = ()) -> frozenset[str]:
        done = self._ask("ls-files", "-z", *options, index=self._index(), settings=settings)
        if done.status:
            raise ProblemsError.of("git-failed", f"git failed to list the files of the repository: {done.reason}")
        return frozenset(_text(done.stdout).split("\0")) - {""}

    def _without_filters(self) -> list[tuple[str, str]]:
        """Return settings that disable all configured filters. Git runs them to compare a file with the index."""
        done = self._ask("config", "--null", "--name-only", "--get-regexp", r"^filter\.")
        if done.status not in (0, 1):  # 1: there are none
            raise ProblemsError.of("git-failed", f"git failed to read its configuration: {done.reason}")
        names = {key.rpartition(".")[0] for key in _text(done.stdout).split("\0") if key}
        values = {"clean": "", "smudge": "", "process": "", "required": "false"}
        return [(f"{name}.{key}", value) for name in sorted(names) for key, value in values.items()]

    def _in_lfs(self, paths: frozenset[str]) -> frozenset[str]:
        """Return those of `paths` that have the content to which a Git LFS pointer in the index refers."""
        found = set()
        with Objects(self.store, for_questions()) as objects:
            for line in self._listed("--stage") if paths else ():
                head, _, path = line.partition("\t")
                if path in paths:
                    with suppress(UnreadableObjectError):
                        blob = objects.blob(head.split()[1], HEAD)
                        pointer = parse_pointer(blob.whole()) if blob else None
                        if pointer and pointer.content(self.top / path) is not None:
                            found.add(path)
        return frozenset(found)

    def index_entries(self) -> list[tuple[str, str, str]]:
        """Return the tag, mode and path of each entry of the index: `H`, `100644` and `a/b.yaml`, for example.

        Raises ProblemsError `git-failed`.
        """
        done = self._ask("ls-files", "-t", "--stage", "-z", index=self._index())
        if done.status:
            raise ProblemsError.of("git-failed", f"git failed to list the index: {done.reason}")
        heads = (line.partition("\t") for line in _text(done.stdout).split("\0") if line)
        return [(head[:1], head[2:8], path) for head, _, path in heads]

    def has_commit(self, commit: str) -> bool:
        """Return whether the commit with this full id is in the repository."""
        return self._commit(commit) is not None

    def parents(self, commit: str) -> tuple[str, ...]:
        """Return the parents that the commit names, including those that a shallow clone lacks.

        Raises ProblemsError `git-failed`.
        """
        done = self._ask("cat-file", "commit", commit)
        if done.status:
            raise ProblemsError.of("git-failed", f"git failed to read the commit '{commit}': {done.reason}")
        head, _, _ = done.stdout.partition(b"\n\n")
        lines = _text(head).splitlines()
        return tuple(line.removeprefix("parent ") for line in lines if line.startswith("parent "))

    def merge_base(self, one: str, other: str) -> str | None:
        """Return the merge base of two commits; None if the clone does not contain it."""
        return self._first_line("merge-base", "--end-of-options", one, other)

    def fetch_commit(self, commit: str) -> None:
        """Fetch one commit, without its history, from `origin`, even if `offline`.

        Raises ProblemsError `git-failed`.
        """
        done = self._fetch("origin", [commit], "--depth=1")
        if done.status:
            raise ProblemsError.of("git-failed", f"git failed to fetch the commit '{commit}': {done.reason}")

    def objects(self) -> Objects:
        """Return a reader of the repository's objects. Unless `offline`, it fetches what a partial clone lacks."""
        remote = self._promisor()
        if remote is None or self.offline:
            completing = None if remote is None else self._completing(remote)
            return Objects(self.store, for_questions(), completing=completing)
        return Objects(self.store, for_questions(), lambda identities: self._fetch_missing(remote, identities))

    def _index(self) -> str | None:
        """Return GIT_INDEX_FILE, the index of the commit that a hook runs for, unless it is another repository's.

        A hook runs in the repository that contains the current directory.
        """
        given = os.environ.get("GIT_INDEX_FILE")
        if not given:
            return None
        current = checkout_root(Path.cwd()) or Path.cwd()
        index = Path(os.path.realpath(current / given))
        if index.parent.is_dir() and index.parent.samefile(self.store):
            return str(index)
        return None if current != self.top or (index.parent / "HEAD").exists() else str(index)

    def _fetch_missing(self, remote: str, identities: Sequence[str]) -> None:
        """Fetch missing objects at once. Git itself would fetch them one by one when it reads them.

        Raises ProblemsError `git-failed`.
        """
        done = self._fetch(remote, identities, "--no-write-fetch-head", "--filter=blob:none", negotiation="noop")
        if done.status:
            message = f"git failed to fetch missing objects of this partial clone: {done.reason}"
            hint = f"check the access to the remote, or get all objects: {self._completing(remote)}"
            raise ProblemsError.of("git-failed", message, hint=hint)

    def _completing(self, remote: str) -> str:
        """Return the command that fetches everything that the partial clone lacks."""
        return git_command(self.top, "fetch", "--refetch", "--no-filter", remote)

    def _fetch(self, remote: str, identities: Sequence[str], *options: str, negotiation: str = "") -> Done:
        settings = {"fetch.negotiationAlgorithm": negotiation} if negotiation else {}
        carries = self._first_line("config", "--name-only", "--get-regexp", r"^http\.(.*\.)?extraheader$")
        if carries:  # for example an Authorization field configured by a CI system
            settings["http.followRedirects"] = "false"
        return run(
            for_fetch(NETWORK, settings=settings),
            f"--git-dir={self.store}",
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", *options, "--stdin", "--", remote),
            name="fetch",
            directory=self.top,
            given="".join(f"{one}\n" for one in identities).encode("ascii"),
            seconds=FETCH_SECONDS,
        )

    def _promisor(self) -> str | None:
        """Return the remote from which a partial clone fetches missing objects; None if the clone is not partial."""
        done = self._ask("config", "--null", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$")
        for entry in _text(done.stdout).split("\0"):
            key, _, value = entry.partition("\n")
            if key == "extensions.partialclone" and value:
                return value
            if key and value in ("", "true"):
                return key.removeprefix("remote.").removesuffix(".promisor")
        return None

    def _commit(self, name: str) -> str | None:
        if not name.isprintable():
            return None
        return self._first_line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    def _first_line(self, *arguments: str) -> str | None:
        done = self._ask(*arguments)
        # `rev-parse` prints `--end-of-options`, too.
        lines = [line for line in _text(done.stdout).splitlines() if line and line != "--end-of-options"]
        return lines[0] if done.status == 0 and lines else None

    def _ask(self, *arguments: str, index: str | None = None, settings: Sequence[tuple[str, str]] = ()) -> Done:
        location = (f"--git-dir={self.store}", f"--work-tree={self.top}")
        variables = {} if index is None else {"GIT_INDEX_FILE": index}
        setup = for_questions(settings=settings, variables=variables)
        return run(setup, *location, *arguments, name=arguments[0], directory=self.top)


def find_repository(directory: Path, *, offline: bool = False) -> Repository:
    """Return the repository that `directory` is in.

    Raises ProblemsError `no-repository` if no parent has a `.git`, `git-failed` if Git cannot use the one found, and
    `git-missing`.
    """
    git_binary("a Git revision is read", "install git")
    real = Path(os.path.realpath(directory))
    failed: ProblemsError | None = None
    for parent in (real, *real.parents):
        found = repository_at(parent, offline=offline)
        if isinstance(found, Repository):
            if real.is_relative_to(found.top):
                return found
            break
        if found is None:
            continue
        failed = failed or refusal(parent, found)
        # Git continues with the parents of a directory `.git` that is not a repository, but not of other failures.
        if _is_owned_by_another(found) or not (parent / ".git").is_dir():
            break
    hint = "run the command in a Git checkout: it reads a revision from the repository"
    raise failed or ProblemsError.of("no-repository", f"'{directory}' is not in a Git working tree", hint=hint)


def git_command(top: Path, *words: str) -> str:
    """Return the command line of git for the working tree `top`, whose paths are relative to it."""
    elsewhere = () if Path.cwd() == top else ("-C", shown_path(top))
    return shlex.join(("git", *elsewhere, *words))


def refusal(directory: Path, done: Done) -> ProblemsError:
    """Return the error for the repository in `directory`, which Git cannot use, with Git's result."""
    hint = "check the repository with 'git status'"
    if _is_owned_by_another(done):
        hint = f"if you trust it, run: git config --global --add safe.directory {shlex.quote(str(directory))}"
    message = f"git cannot use the repository in '{shown_path(directory)}': {done.reason}"
    return ProblemsError.of("git-failed", message, hint=hint)


def _is_owned_by_another(done: Done) -> bool:
    return any(message in done.stderr for message in _OWNER)


def repository_at(directory: Path, *, offline: bool = False) -> Repository | Done | None:
    """Return the repository whose `.git` is in `directory`, a path without symlinks; None if it has no `.git`.

    If Git refuses the repository, its result is returned. Git runs in `directory` and must not search its parents. It
    has to find the repository by itself, because only then does it check the owner (`safe.directory`).
    """
    if not os.path.lexists(directory / ".git"):
        return None
    setup = for_questions(variables={"GIT_CEILING_DIRECTORIES": str(directory.parent)})
    done = run(setup, "rev-parse", "--show-toplevel", "--absolute-git-dir", name="rev-parse", directory=directory)
    paths = _text(done.stdout).splitlines()
    if done.status or len(paths) != 2 or paths[1] == str(directory):  # Git before 2.38 accepts it as a bare repository
        return done
    return Repository(Path(os.path.realpath(paths[0])), Path(paths[1]), offline)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
