"""Charts from Git: fetch one commit, and read its files from the object store.

There is no working tree, so the user's filters, hooks, attributes and line-ending settings have no effect, and no
symlink is created on disk.
"""

from __future__ import annotations

import base64
import os
import posixpath
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kubocd_gen.archives.chart_members import is_plain_path
from kubocd_gen.budget.limits import GIB, Limits
from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.git.fetch import COMMIT, FetchTooLargeError, fetch_commit, store_size
from kubocd_gen.git.objects import Entry, Objects, UnreadableObjectError
from kubocd_gen.git.process import LARGEST_FILE, Done
from kubocd_gen.git.repository import FETCH_SECONDS
from kubocd_gen.git.setup import for_own_store, git_binary
from kubocd_gen.git.tree import CommitTree, OutsideRepositoryError, real_path
from kubocd_gen.network.origins import origin
from kubocd_gen.network.settings import Network, NetworkError
from kubocd_gen.oci.credentials import variable
from kubocd_gen.packaging.directory import SYMLINK, DirectoryBudget, Keep, contains, writing
from kubocd_gen.packaging.helm_repository import Credentials
from kubocd_gen.packaging.manifest_file import GitChart


@dataclass(frozen=True, slots=True)
class GitTree:
    """The files of a commit in its own object store; safe to use from several threads."""

    describe: str
    store: Path

    def copy(self, path: str, target: Path, keep: Keep, limits: Limits) -> None:
        """Copy a directory and follow symlinks inside the repository.

        Raises ProblemsError: `missing-chart` or `bad-chart`.
        """
        budget = DirectoryBudget(f"{path or '.'} of {self.describe}", limits)
        try:
            with Objects(self.store, for_own_store()) as objects:
                _Copy(self.describe, CommitTree(objects, f"{COMMIT}^{{tree}}"), keep, budget).take(path, target)
        except UnreadableObjectError as error:
            raise contains(self.describe, path or ".", f"which {error}") from None


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy of one directory of a commit. Every entry that is read counts for the budget."""

    describe: str
    tree: CommitTree
    keep: Keep
    budget: DirectoryBudget
    wanted: list[tuple[Path, str, Entry]] = field(default_factory=list)

    def take(self, path: str, target: Path) -> None:
        real = self._real(path, path)
        if self.tree.names(real) is None:
            raise ProblemsError.of(
                "missing-chart",
                f"{self.describe} has no directory {shown(path)}",
                hint="set source.git.path to the chart's directory, relative to the root of the repository",
            )
        self._directory(real, target, "", ())
        for file, name, entry in self.wanted:
            self._file(entry, file, name)

    def _directory(self, directory: str, target: Path, prefix: str, above: tuple[str, ...]) -> None:
        if directory in above:
            raise contains(self.describe, directory, "a symlink to its own parent")
        names = self.tree.names(directory) or {}
        self.budget.look(len(names), len(above))
        for name in sorted(names):
            if not is_plain_path(name):
                raise ProblemsError.of("bad-chart", f"{self.describe} contains the invalid file name {shown(name)}")
            path, found = posixpath.join(directory, name), names.get(name)
            if found and found.kind == "symlink":
                self.budget.look(SYMLINK, len(above))
                path = self._real(path, prefix + name)
                found = self.tree.entry(path)
            if found and found.kind == "directory":
                self._directory(path, target / name, f"{prefix}{name}/", (*above, directory))
            elif self.keep(prefix + name):
                if found is None or found.kind != "file":
                    what = "a submodule, which is not supported" if found else "a broken symlink"
                    raise contains(self.describe, prefix + name, what)
                self.budget.take(0)
                self.wanted.append((target / name, prefix + name, found))

    def _file(self, found: Entry, target: Path, name: str) -> None:
        blob = self.tree.objects.blob(found.id, self.budget.limits.chart)
        if blob is None:
            raise UnreadableObjectError(f"lacks the content of {shown(name)}")
        self.budget.take(blob.size, files=0)
        with writing(self.describe, name):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.writelines(blob.pieces)

    def _real(self, path: str, name: str) -> str:
        """Return `path` with all symlinks resolved. Raises ProblemsError if it leaves the repository."""
        try:
            return real_path(path, self.tree.target)[0]
        except OutsideRepositoryError:
            what, hint = "a symlink to a path outside the repository", "replace the symlink with the file"
            raise contains(self.describe, name, what, hint) from None


@dataclass(slots=True)
class Git:
    """The Git repositories of a run, fetched within the run's limits."""

    network: Network
    credentials: Credentials
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    begun: float | None = None  # when the first fetch started, by time.monotonic()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fetch(self, source: GitChart, store: Path) -> GitTree:
        """Fetch the commit of a branch or tag into the new object store `store`. Raises ProblemsError."""
        git_binary("a chart comes from Git", "install git; only charts with source.git need it")
        describe = f"the Git repository {source.url}"
        if self.network.offline and urlsplit(source.url).scheme != "file":
            raise NetworkError(f"cannot fetch {describe} with --offline", code="offline")
        environment = dict(self.environment)
        if self.network.ca_file is not None:
            environment["GIT_SSL_CAINFO"] = str(self.network.ca_file)
        self.network.progress(f"fetching {source.url}")
        budget = self.network.budget
        try:
            done = fetch_commit(
                source.url,
                source.ref,
                store,
                environment,
                authorization=self._login(source.url),
                seconds=min(FETCH_SECONDS, self._left()),
                most=min(LARGEST_FILE, int(budget.left("fetched"))),
            )
        except FetchTooLargeError as error:
            budget.spend("fetched", error.size)  # raises if the run's limit was reached
            what = f"it is larger than the limit of {LARGEST_FILE // GIB} GiB"
            raise NetworkError(f"cannot fetch {describe}: {what}", code="git-failed") from None
        except ProblemsError as error:
            self._left()
            raise NetworkError(f"cannot fetch {describe}: {error.problem.message}", code=error.problem.code) from None
        budget.spend("fetched", store_size(store))
        if done.status:
            raise _fetch_error(source, describe, done, allowed=self.network.may_send_credentials(source.url))
        return GitTree(f"{source.ref.split('/', 2)[2]} of {describe}", store)

    def _left(self) -> float:
        """Return the seconds that the run has left for transfers. Raises BudgetExceededError if there are none."""
        with self._lock:
            now = time.monotonic()
            if self.begun is None:
                self.begun = now
            begun = self.begun
        limit = self.network.budget.limits.of("network-time")
        if now - begun > limit:
            raise BudgetExceededError("network-time", limit)
        return max(1.0, limit - (now - begun))

    def _login(self, url: str) -> str | None:
        """Return the Authorization header for a URL, or None if no credentials can be sent."""
        if not self.network.may_send_credentials(url):
            return None
        parts = urlsplit(url)
        found = self.credentials(parts)
        token = self.environment.get("GITHUB_TOKEN")  # like KuboCD's packager, but only for github.com
        if origin(parts) == ("https", "github.com") and token:
            found = "git", token
        return f"Basic {base64.b64encode(':'.join(found).encode()).decode()}" if found else None


def _fetch_error(source: GitChart, describe: str, done: Done, *, allowed: bool) -> ProblemsError:
    output, url = done.stderr, urlsplit(source.url)
    kind, name = ("branch" if source.ref.startswith("refs/heads/") else "tag"), source.ref.split("/", 2)[2]
    if "couldn't find remote ref" in output:
        return ProblemsError.of("missing-chart", f"{describe} has no {kind} {shown(name)}")
    hint = None
    if any(denied in output for denied in ("could not read Username", "Authentication failed", "Permission denied")):
        login = variable(url.netloc)
        hint = "configure a credential helper for git, or an SSH key"
        if allowed:
            hint = f"set {login}_USER and {login}_SECRET, or configure a credential helper for git"
        elif url.scheme == "http":
            hint = "use https:// in source.git.url: credentials are not sent over plain HTTP"
    elif re.search(r"returned error: 30\d", output):
        hint = "set source.git.url to the target of the redirect: redirects are not followed, to protect credentials"
    return NetworkError(f"cannot fetch {describe}: {done.reason}", code="git-failed", hint=hint)
