"""Charts in Git: one commit is fetched, and its files are taken from the object store.

There is no working tree: no filter, hook, attribute or line-ending setting of the user changes a byte, and no link is
ever made on disk.
"""

from __future__ import annotations

import base64
import os
import posixpath
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kubocd_gen.archives.chart_members import is_plain_path
from kubocd_gen.budget.limits import GIB, LIMITS
from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.git.fetch import COMMIT, FetchTooLargeError, fetch_commit, store_size
from kubocd_gen.git.objects import Entry, Objects, UnreadableObjectError
from kubocd_gen.git.process import LARGEST_FILE, Done
from kubocd_gen.git.repository import FETCH_SECONDS
from kubocd_gen.git.setup import for_own_store, git_binary
from kubocd_gen.git.tree import CommitTree, OutsideRepositoryError, real_path
from kubocd_gen.network.settings import Network, NetworkError
from kubocd_gen.oci.credentials import variable
from kubocd_gen.packaging.charts.downloads import Credentials
from kubocd_gen.packaging.charts.sources import GitChart
from kubocd_gen.packaging.charts.trees import LINK, Budget, Keep


@dataclass(frozen=True, slots=True)
class GitTree:
    """The files of a commit, in a store of its own; safe to use from several threads."""

    describe: str
    store: Path

    def copy(self, path: str, target: Path, keep: Keep) -> None:
        """Copy a folder, links followed inside the repository. Raises ProblemsError `missing-chart` or `bad-chart`."""
        with self._readable(path), Objects(self.store, for_own_store()) as objects:
            tree = CommitTree(objects, f"{COMMIT}^{{tree}}")
            _Copy(self.describe, tree, keep, Budget(f"{path or '.'} of {self.describe}")).take(path, target)

    @contextmanager
    def _readable(self, path: str) -> Iterator[None]:
        try:
            yield
        except UnreadableObjectError as error:
            what = f"{self.describe} holds {shown(path or '.')}, which {error}"
            raise ProblemsError(Problem("bad-chart", what)) from None


@dataclass(frozen=True, slots=True)
class _Copy:
    """One folder of a commit on its way to the disk. Everything that is looked at is taken off the budget."""

    describe: str
    tree: CommitTree
    keep: Keep
    budget: Budget
    wanted: list[tuple[Path, str, Entry]] = field(default_factory=list)

    def take(self, path: str, target: Path) -> None:
        real = self._real(path, path)
        if self.tree.names(real) is None:
            raise ProblemsError(
                Problem(
                    "missing-chart",
                    f"{self.describe} has no folder {shown(path)}",
                    hint="source.git.path leads from the repository's root to the folder with Chart.yaml",
                )
            )
        self._folder(real, target, "", ())
        for file, name, entry in self.wanted:
            self._file(entry, file, name)

    def _folder(self, folder: str, target: Path, prefix: str, above: tuple[str, ...]) -> None:
        if folder in above:
            raise ProblemsError(Problem("bad-chart", f"{self.describe} holds {shown(folder)}, a link into itself"))
        names = self.tree.names(folder) or {}
        self.budget.look(len(names), len(above))
        for name in sorted(names):
            if not is_plain_path(name):
                raise ProblemsError(
                    Problem("bad-chart", f"{self.describe} holds {shown(name)}, a name that no chart has")
                )
            path, found = posixpath.join(folder, name), names.get(name)
            if found and found.kind == "link":
                self.budget.look(LINK, len(above))
                path = self._real(path, prefix + name)
                found = self.tree.entry(path)
            if found and found.kind == "folder":
                self._folder(path, target / name, f"{prefix}{name}/", (*above, folder))
            elif self.keep(prefix + name):
                if found is None or found.kind != "file":
                    what = "a submodule, which is not fetched" if found else "a link that leads nowhere"
                    raise ProblemsError(Problem("bad-chart", f"{self.describe} holds {shown(prefix + name)}, {what}"))
                self.budget.take(0)
                self.wanted.append((target / name, prefix + name, found))

    def _file(self, found: Entry, target: Path, name: str) -> None:
        blob = self.tree.objects.blob(found.id, LIMITS.chart)
        if blob is None:
            raise UnreadableObjectError(f"lacks the content of {shown(name)}")
        self.budget.take(blob.size, files=0)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.writelines(blob.pieces)

    def _real(self, path: str, name: str) -> str:
        """`path` with every link on it resolved. Raises ProblemsError where it leaves the repository."""
        try:
            return real_path(path, self.tree.target)[0]
        except OutsideRepositoryError:
            what = f"{self.describe} holds {shown(name)}, a link that leaves the repository"
            raise ProblemsError(Problem("bad-chart", what, hint="put the file itself into the chart")) from None


@dataclass(slots=True)
class Git:
    """Git repositories that charts come from, within the time that the run can take for the network."""

    network: Network
    credentials: Credentials
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    begun: float | None = None  # when the first was fetched

    def fetch(self, source: GitChart, store: Path) -> GitTree:
        """The commit at a branch or tag, in the new object store `store`. Raises ProblemsError."""
        git_binary("a chart comes from Git", "install git; only charts with source.git need it")
        describe = f"the Git repository {source.url}"
        if self.network.offline and urlsplit(source.url).scheme != "file":
            raise NetworkError(f"{describe} would be fetched, but --offline forbids it", code="offline")
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
            budget.spend("fetched", error.size)  # this is the error where the limit is the run's
            what = f"it is larger than the limit of {LARGEST_FILE // GIB} GiB"
            raise NetworkError(f"{describe} cannot be fetched: {what}", code="git-failed") from None
        except ProblemsError as error:
            self._left()
            raise NetworkError(
                f"{describe} cannot be fetched: {error.problem.message}", code=error.problem.code
            ) from None
        budget.spend("fetched", store_size(store))
        if done.status:
            raise _fetch_error(source, describe, done, allowed=self.network.may_send_credentials(source.url))
        return GitTree(f"{source.ref.split('/', 2)[2]} of {describe}", store)

    def _left(self) -> float:
        """The seconds until the last transfer of the run must have ended.

        Raises BudgetExceededError when it is late.
        """
        now = time.monotonic()
        if self.begun is None:
            self.begun = now
        limit = self.network.budget.limits.of("network-time")
        if now - self.begun > limit:
            raise BudgetExceededError("network-time", limit)
        return max(1.0, limit - (now - self.begun))

    def _login(self, url: str) -> str | None:
        """The Authorization field for a URL, None where there is none that may be sent."""
        if not self.network.may_send_credentials(url):
            return None
        parts = urlsplit(url)
        found = self.credentials(parts.netloc)
        token = self.environment.get("GITHUB_TOKEN")  # as KuboCD's packager has it, but for GitHub alone
        if parts.netloc.lower() == "github.com" and token:
            found = "git", token
        return f"Basic {base64.b64encode(':'.join(found).encode()).decode()}" if found else None


def _fetch_error(source: GitChart, describe: str, done: Done, *, allowed: bool) -> ProblemsError:
    said, url = done.stderr, urlsplit(source.url)
    kind, name = ("branch" if source.ref.startswith("refs/heads/") else "tag"), source.ref.split("/", 2)[2]
    if "couldn't find remote ref" in said:
        return ProblemsError(Problem("missing-chart", f"{describe} has no {kind} {shown(name)}"))
    hint = None
    if any(denied in said for denied in ("could not read Username", "Authentication failed", "Permission denied")):
        login = variable(url.netloc)
        hint = "let git log in by itself: a credential helper, or an SSH key"
        if allowed:
            hint = f"set {login}_USER and {login}_SECRET, or a credential helper of git"
        elif url.scheme == "http":
            hint = "write https:// in source.git.url: credentials are not sent over plain HTTP"
    elif re.search(r"returned error: 30\d", said):
        hint = "write in source.git.url where it redirects to: credentials are not sent on, so no redirect is followed"
    return NetworkError(f"{describe} cannot be fetched: {done.said}", code="git-failed", hint=hint)
