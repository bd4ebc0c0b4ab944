"""Git, asked about the repository that a project is in. It never touches the working tree or the index.

Git would take a directory of the checkout that looks like a bare repository for one, and run what its configuration
says. So the root is looked for here, by its `.git`, which no commit can contain, and Git is told where it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.git.objects import Objects
from kubocd_gen.git.process import Done, run
from kubocd_gen.git.setup import for_fetch, for_questions, git_binary

FETCH_SECONDS = 300.0  # a shallow fetch of a large repository takes one minute
NETWORK = ("https", "http", "ssh", "git", "file")
_IGNORED = re.compile(r"(.*?):(\d+):([^!\t][^\t]*)\t")  # a pattern with `!` takes in what others leave out
_UPSTREAM = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
_OWNER = ("dubious ownership", "is owned by someone else")


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit. `name` is how messages call it: what the user gave, else the short form of its id."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A Git repository with a working tree, whose root is `top`. With `offline` nothing is fetched into it.

    `store` is the Git directory of the working tree: `top/.git`, or what that leads to.
    """

    top: Path
    store: Path
    offline: bool = False

    def revision(self, given: str) -> Revision:
        """What the user calls `given`: a commit, branch, tag, or whatever else git resolves to a commit.

        Raises ProblemsError `unknown-revision`.
        """
        commit = self._commit(given)
        if commit is None:
            raise ProblemsError(self._unknown(given))
        return Revision(given, commit)

    def base(self) -> Revision:
        """Where the current branch left the upstream's default branch; HEAD itself where that is not known.

        Raises ProblemsError `unknown-revision` where there is no commit, or a shallow clone does not reach far enough.
        """
        head = self._commit("HEAD")
        if head is None:
            raise ProblemsError(
                Problem("unknown-revision", "the repository has no commits", hint="commit the sources before comparing")
            )
        commit: str | None = head
        for name in _UPSTREAM:
            if (upstream := self._commit(name)) is not None:
                commit = self._said("merge-base", "--end-of-options", upstream, head)
                if commit is None:
                    raise ProblemsError(
                        Problem(
                            "unknown-revision",
                            f"HEAD and '{name}' have no common commit",
                            hint=_DEEPEN if self.is_shallow() else "pass the revision to compare with: --ref REV",
                        )
                    )
                break
        else:
            if self.is_shallow():
                raise ProblemsError(
                    Problem(
                        "unknown-revision",
                        "the clone is shallow and has no branch to compare with",
                        hint=f"{_DEEPEN}, or pass a commit that it has: --ref REV",
                    )
                )
        assert commit is not None
        return Revision(self._said("rev-parse", "--short", "--end-of-options", commit) or commit, commit)

    def is_shallow(self) -> bool:
        """Whether commits before some depth were never fetched."""
        return self._said("rev-parse", "--is-shallow-repository") == "true"

    def folder(self) -> Path:
        """The folder that all working trees of the repository share, usually `.git`."""
        return self.top / (self._said("rev-parse", "--git-common-dir") or ".git")

    def remote(self) -> str | None:
        """The URL from which `origin`, else the first remote, is fetched, as the user's configuration rewrites it."""
        for name in ("origin", self._said("remote")):
            if name and (url := self._said("remote", "get-url", "--", name)):
                return url
        return None

    def default_branch(self) -> str | None:
        """The branch that the clone took from `origin` as its default, None where it does not know."""
        name = self._said("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD")
        return name.removeprefix("refs/remotes/origin/") if name else None

    def ignored_by(self, path: str) -> tuple[str, int, str] | None:
        """The file, line and pattern by which Git leaves out a path from `top`, which need not exist."""
        said = self._said("check-ignore", "--verbose", "--", f"./{path}")  # no pattern, as `:(top)` is
        found = _IGNORED.match(said) if said else None
        if found is None:
            return None
        file = Path(found[1])
        return (str(file.relative_to(self.top) if file.is_relative_to(self.top) else file), int(found[2]), found[3])

    def untracked(self) -> frozenset[str]:
        """The files that Git neither knows nor ignores, relative to `top`; in a hook, what is not in the commit."""
        done = self._ask("ls-files", "--others", "--exclude-standard", "-z", index=self._index())
        if done.status:
            raise ProblemsError(Problem("git-failed", f"git failed to list untracked files: {done.said}"))
        return frozenset(_text(done.stdout).split("\0")) - {""}

    def has_commit(self, commit: str) -> bool:
        """Return whether the commit with this full id is in the repository."""
        return self._commit(commit) is not None

    def parents(self, commit: str) -> tuple[str, ...]:
        """Return the parents that the commit names, also those that a shallow clone lacks.

        Raises ProblemsError `git-failed`.
        """
        done = self._ask("cat-file", "commit", commit)
        if done.status:
            raise ProblemsError(Problem("git-failed", f"git failed to read the commit '{commit}': {done.said}"))
        head, _, _ = done.stdout.partition(b"\n\n")
        lines = _text(head).splitlines()
        return tuple(line.removeprefix("parent ") for line in lines if line.startswith("parent "))

    def merge_base(self, one: str, other: str) -> str | None:
        """Return the commit at which the histories of two commits part; None if the clone does not reach it."""
        return self._said("merge-base", "--end-of-options", one, other)

    def fetch_commit(self, commit: str) -> None:
        """Fetch one commit, without its history, from `origin`, also if `offline`.

        Raises ProblemsError `git-failed`.
        """
        done = self._fetch("origin", [commit], "--depth=1")
        if done.status:
            raise ProblemsError(Problem("git-failed", f"git failed to fetch the commit '{commit}': {done.said}"))

    def objects(self) -> Objects:
        """A reader of the repository's objects. In a partial clone it fetches what is missing, unless `offline`."""
        remote = None if self.offline else self._promisor()
        fetch = None if remote is None else lambda identities: self._bring(remote, identities)
        return Objects(self.store, for_questions(), fetch)

    def _index(self) -> str | None:
        """The index of the commit that a hook is run for; not that of another repository."""
        given = os.environ.get("GIT_INDEX_FILE")
        if not given:
            return None
        folder = Path(os.path.realpath(self.top / given)).parent
        ours = folder.samefile(self.store) if folder.is_dir() else False
        return given if ours or not (folder / "HEAD").exists() else None

    def _bring(self, remote: str, identities: Sequence[str]) -> None:
        """Fetch objects as Git itself would, one after the other, when it reads them.

        Raises ProblemsError `git-failed`.
        """
        done = self._fetch(remote, identities, "--no-write-fetch-head", "--filter=blob:none", negotiation="noop")
        if done.status:
            hint = "run 'git fetch --refetch': the partial clone lacks files of the revision"
            raise ProblemsError(Problem("git-failed", f"git failed to fetch missing objects: {done.said}", hint=hint))

    def _fetch(self, remote: str, identities: Sequence[str], *options: str, negotiation: str = "") -> Done:
        settings = {"fetch.negotiationAlgorithm": negotiation} if negotiation else {}
        carries = self._said("config", "--name-only", "--get-regexp", r"^http\.(.*\.)?extraheader$")
        if carries:  # an Authorization field, as CI systems leave it there
            settings["http.followRedirects"] = "false"
        return run(
            for_fetch(NETWORK, settings=settings),
            f"--git-dir={self.store}",
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", *options, "--stdin", "--", remote),
            name="fetch",
            folder=self.top,
            given="".join(f"{one}\n" for one in identities).encode("ascii"),
            seconds=FETCH_SECONDS,
        )

    def _promisor(self) -> str | None:
        """The remote that a partial clone fetches the rest from."""
        said = self._ask("config", "--null", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$")
        for entry in _text(said.stdout).split("\0"):
            key, _, value = entry.partition("\n")
            if key == "extensions.partialclone" and value:
                return value
            if key and value in ("", "true"):
                return key.removeprefix("remote.").removesuffix(".promisor")
        return None

    def _commit(self, name: str) -> str | None:
        if not name.isprintable():
            return None
        return self._said("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    def _said(self, *arguments: str) -> str | None:
        done = self._ask(*arguments)
        # `rev-parse` repeats the mark that ends its options.
        said = [line for line in _text(done.stdout).splitlines() if line and line != "--end-of-options"]
        return said[0] if done.status == 0 and said else None

    def _ask(self, *arguments: str, index: str | None = None) -> Done:
        place = (f"--git-dir={self.store}", f"--work-tree={self.top}")
        setup = for_questions() if index is None else for_questions(GIT_INDEX_FILE=index)
        return run(setup, *place, *arguments, name=arguments[0], folder=self.top)

    def _unknown(self, given: str) -> Problem:
        if self.is_shallow():
            hint = f"{_DEEPEN}: the clone is shallow"
        else:
            hint = "pass a commit, a tag, or a branch such as origin/main; run 'git fetch' to update the clone"
        return Problem("unknown-revision", f"the revision '{given}' does not exist in this repository", hint=hint)


_DEEPEN = "run 'git fetch --unshallow', or 'git fetch --depth=N origin BRANCH' with a sufficient depth"


def find_repository(directory: Path, *, offline: bool = False) -> Repository:
    """The repository whose working tree `directory` lies in. Raises ProblemsError `git-missing` and `no-repository`."""
    git_binary("a Git revision is read", "install git")
    real = Path(os.path.realpath(directory))
    hint = "run the command in a Git checkout: it reads a revision from the repository"
    for folder in (real, *real.parents):
        found = repository_at(folder, offline=offline)
        if isinstance(found, Repository):
            if real.is_relative_to(found.top):
                return found
            break
        if found is not None and any(said in found.stderr for said in _OWNER):
            hint = "run 'git config --global --add safe.directory DIR': the directory belongs to another user"
            break
        if found is not None and not (folder / ".git").is_dir():  # a worktree or submodule whose repository is gone
            break
    raise ProblemsError(Problem("no-repository", f"'{directory}' is not in a Git working tree", hint=hint))


def repository_at(folder: Path, *, offline: bool = False) -> Repository | Done | None:
    """The repository whose `.git` is in `folder`, a path without links; None without one, and what Git says against it.

    Git is asked with `folder` as its directory, and may not look above: only when it finds a repository by itself does
    it ask whose that is (`safe.directory`).
    """
    if not os.path.lexists(folder / ".git"):
        return None
    setup = for_questions(GIT_CEILING_DIRECTORIES=str(folder.parent))
    done = run(setup, "rev-parse", "--show-toplevel", "--absolute-git-dir", name="rev-parse", folder=folder)
    paths = _text(done.stdout).splitlines()
    if done.status or len(paths) != 2 or paths[1] == str(folder):  # Git before 2.38 takes it for a bare repository
        return done
    return Repository(Path(os.path.realpath(paths[0])), Path(paths[1]), offline)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
