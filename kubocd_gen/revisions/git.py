"""The git binary, asked about the repository that a project lies in. It never touches the working tree or the index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kubocd_gen.diagnostics import KcdError

_SECONDS = 120.0  # for one question; none of them needs more than the disk
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_PREFIX")
_IGNORED = re.compile(r"(.*?):(\d+):([^!\t][^\t]*)\t")  # a pattern with `!` takes in what others leave out
_UPSTREAM = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit. `name` is how messages call it: what the user gave, else the short form of its id."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A Git repository with a working tree, whose root is `top`. With `offline` nothing is fetched into it lazily."""

    top: Path
    offline: bool = False

    def revision(self, given: str) -> Revision:
        """What the user calls `given`: a commit, branch, tag, or whatever else git resolves to a commit.

        Raises KcdError `unknown-revision`.
        """
        commit = self._commit(given)
        if commit is None:
            raise self._unknown(given)
        return Revision(given, commit)

    def base(self) -> Revision:
        """Where the current branch left the upstream's default branch; HEAD itself where that is not known.

        Raises KcdError `unknown-revision` where there is no commit, or a shallow clone does not reach far enough.
        """
        head = self._commit("HEAD")
        if head is None:
            raise KcdError(
                "the repository has no commit yet", code="unknown-revision", hint="commit the sources before comparing"
            )
        commit: str | None = head
        for name in _UPSTREAM:
            if (upstream := self._commit(name)) is not None:
                commit = self._said("merge-base", "--end-of-options", upstream, head)
                if commit is None:
                    raise KcdError(
                        f"HEAD and {name} have no commit in common",
                        code="unknown-revision",
                        hint=_DEEPEN if self.is_shallow() else "name the revision to compare with: --ref REV",
                    )
                break
        else:
            if self.is_shallow():
                raise KcdError(
                    "the clone is shallow and has no branch to compare with",
                    code="unknown-revision",
                    hint=f"{_DEEPEN}, or name a commit that it has: --ref REV",
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
        said = self._said("check-ignore", "--verbose", "--", path)
        found = _IGNORED.match(said) if said else None
        return (found[1], int(found[2]), found[3]) if found else None

    def listing(self, commit: str) -> bytes:
        """Every file of a commit: `<mode> <type> <id> <size>`, a tab, its path and a NUL each."""
        arguments = ("ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", commit)
        done = _git(self.top, *arguments, offline=self.offline)
        if done.returncode:
            raise _failed("list the files of the revision", done)
        return done.stdout

    def untracked(self) -> frozenset[str]:
        """The files that Git neither knows nor ignores, relative to `top`; in a hook, what is not in the commit."""
        arguments = ("ls-files", "--others", "--exclude-standard", "-z")
        done = _git(self.top, *arguments, offline=self.offline, index=os.environ.get("GIT_INDEX_FILE"))
        if done.returncode:
            raise _failed("list what it does not know", done)
        return frozenset(_text(done.stdout).split("\0")) - {""}

    @contextmanager
    def contents(self, ids: Sequence[str]) -> Iterator[IO[bytes]]:
        """What `git cat-file --batch` says of the objects `ids`, in order, as a stream."""
        with tempfile.TemporaryFile() as asked:
            asked.write("".join(f"{one}\n" for one in ids).encode("ascii"))
            asked.seek(0)
            with subprocess.Popen(
                ["git", "cat-file", "--batch"],
                cwd=self.top,
                env=_environment(offline=self.offline),
                stdin=asked,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ) as process:
                assert process.stdout is not None
                try:
                    yield process.stdout
                finally:
                    process.kill()  # a no-op where it has ended

    def _commit(self, name: str) -> str | None:
        if not name.isprintable():
            return None
        return self._said("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    def _said(self, *arguments: str) -> str | None:
        done = _git(self.top, *arguments, offline=self.offline)
        # `rev-parse` repeats the mark that ends its options.
        said = [line for line in _text(done.stdout).splitlines() if line and line != "--end-of-options"]
        return said[0] if done.returncode == 0 and said else None

    def _unknown(self, given: str) -> KcdError:
        if self.is_shallow():
            hint = f"the clone is shallow: {_DEEPEN}"
        else:
            hint = "it is a commit, a branch such as origin/main, or a tag; 'git fetch' brings what the remote has"
        return KcdError(f"Git knows no commit '{given}' here", code="unknown-revision", hint=hint)


_DEEPEN = "run 'git fetch --unshallow', or 'git fetch --depth=N origin BRANCH' to the depth that is needed"


def find_repository(directory: Path, *, offline: bool = False) -> Repository:
    """The repository whose working tree `directory` lies in. Raises KcdError `git-missing` and `no-repository`."""
    if shutil.which("git") is None:
        hint = "install git: a revision is read with it"
        raise KcdError("git was not found, and a Git revision is to be read", code="git-missing", hint=hint)
    done = _git(directory, "rev-parse", "--show-toplevel", offline=offline)
    top = _text(done.stdout).rstrip("\n")
    if done.returncode or not top:
        said = _text(done.stderr)
        if "dubious ownership" in said:
            hint = "the folder belongs to another user; run: git config --global --add safe.directory DIR"
        else:
            hint = "run it in a Git checkout: what is compared with is a revision of it"
        raise KcdError(f"{directory} is in no Git working tree", code="no-repository", hint=hint)
    return Repository(Path(os.path.realpath(top)), offline)


def _git(
    directory: Path, *arguments: str, offline: bool, index: str | None = None
) -> subprocess.CompletedProcess[bytes]:
    variables = _environment(offline=offline)
    if index is not None:
        variables["GIT_INDEX_FILE"] = index
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise KcdError(f"git {arguments[0]} did not end in {_SECONDS:g} seconds", code="git-failed") from error


def _environment(*, offline: bool) -> dict[str, str]:
    """The user's, without what a hook of another repository would have set, and so that git asks nobody."""
    variables = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    variables |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    if offline:  # a partial clone fetches what it lacks when it is read
        variables |= {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}
    return variables


def _failed(what: str, done: subprocess.CompletedProcess[bytes]) -> KcdError:
    lines = [line.strip() for line in _text(done.stderr).splitlines() if line.strip()]
    said = (lines or [f"exit code {done.returncode}"])[0].removeprefix("fatal: ")
    return KcdError(f"git could not {what}: {said[:300]}", code="git-failed")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
