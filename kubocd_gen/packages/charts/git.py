"""Charts in Git: one commit is fetched, and its files are taken from the object store.

There is no working tree: no filter, hook, attribute or line-ending setting of the user changes a byte, and no link is
ever made on disk.
"""

from __future__ import annotations

import base64
import os
import posixpath
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.git_objects import FOLDER, LINK, SUBMODULE, Entry, LeadsOut, parse_listing, real_path
from kubocd_gen.network.credentials import variable
from kubocd_gen.network.settings import Network, NetworkError
from kubocd_gen.packages.charts.downloads import Credentials
from kubocd_gen.packages.charts.members import is_plain_path
from kubocd_gen.packages.charts.sources import GitChart
from kubocd_gen.packages.charts.trees import Budget, Keep
from kubocd_gen.packages.text import shown
from kubocd_gen.processes import limit, running

_SECONDS = 300.0  # for one git command; a shallow fetch of a large repository takes one minute
_DISK = 2 << 30  # bytes of one file that git may write
_PROTOCOLS = "https:http:ssh:git:file"  # not ext:: and other helpers, which run what the URL says


@dataclass(frozen=True, slots=True)
class GitTree:
    """The files of a commit. `objects` has every file and folder by its path, `children` the names in each folder."""

    describe: str
    store: Path
    objects: Mapping[str, Entry]
    children: Mapping[str, Sequence[str]]

    def copy(self, path: str, target: Path, keep: Keep) -> None:
        """Copy a folder, links followed inside the repository. Raises KcdError `missing-chart` or `bad-chart`."""
        real = self._real(path, path)
        if real not in self.children:
            raise KcdError(
                f"{self.describe} has no folder {shown(path)}",
                code="missing-chart",
                hint="source.git.path leads from the repository's root to the folder with Chart.yaml",
            )
        wanted: list[tuple[Path, Entry]] = []
        self._collect(real, target, "", keep, wanted, ())
        budget = Budget(f"{path} of {self.describe}")
        for _, one in wanted:
            budget.take(one.size)
        contents = _blobs(self.store, {one.id for _, one in wanted})
        for file, one in wanted:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(contents[one.id])

    def _collect(
        self,
        folder: str,
        target: Path,
        prefix: str,
        keep: Keep,
        wanted: list[tuple[Path, Entry]],
        above: tuple[str, ...],
    ) -> None:
        if folder in above:
            raise KcdError(f"{self.describe} holds {shown(folder)}, a link into itself", code="bad-chart")
        for name in self.children[folder]:
            if not is_plain_path(name):
                raise KcdError(f"{self.describe} holds {shown(name)}, a name that no chart has", code="bad-chart")
            path = self._real(posixpath.join(folder, name), prefix + name)
            if path in self.children:
                self._collect(path, target / name, f"{prefix}{name}/", keep, wanted, (*above, folder))
            elif keep(prefix + name):
                found = self.objects.get(path)
                if found is None or found.mode == SUBMODULE:
                    what = "a submodule, which is not fetched" if found else "a link that leads nowhere"
                    raise KcdError(f"{self.describe} holds {shown(prefix + name)}, {what}", code="bad-chart")
                wanted.append((target / name, found))
                if len(wanted) > 1_000_000:
                    raise KcdError(f"{self.describe} holds too many files", code="bad-chart")

    def _real(self, path: str, name: str) -> str:
        """`path` with every link on it resolved. Raises KcdError where it leaves the repository."""
        try:
            return real_path(path, self._target)[0]
        except LeadsOut:
            raise self._leaves(name) from None

    def _target(self, path: str) -> str | None:
        found = self.objects.get(path)
        if found is None or found.mode != LINK:
            return None
        return _blobs(self.store, {found.id})[found.id].decode("utf-8", "surrogateescape")

    def _leaves(self, name: str) -> KcdError:
        what = f"{self.describe} holds {shown(name)}, a link that leaves the repository"
        return KcdError(what, code="bad-chart", hint="put the file itself into the chart")


@dataclass(frozen=True, slots=True)
class Git:
    """The git binary, run so that it asks nobody and follows no address but plain ones."""

    network: Network
    credentials: Credentials
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def fetch(self, source: GitChart, store: Path) -> GitTree:
        """The commit at a branch or tag, in the new object store `store`. Raises KcdError."""
        if shutil.which("git") is None:
            hint = "install git; only charts with source.git need it"
            raise KcdError("git was not found, and a chart comes from Git", code="git-missing", hint=hint)
        describe = f"the Git repository {source.url}"
        if self.network.offline and urlsplit(source.url).scheme != "file":
            raise NetworkError(f"{describe} would be fetched, but --offline forbids it", code="offline")
        self._git("init", "--quiet", "--bare", "--template=", "--", str(store))
        self.network.progress(f"fetching {source.url}")
        fetch = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules")
        refspec = f"+{source.ref}:refs/kcd-gen/chart"
        done = self._git(*fetch, "--depth=1", "--", source.url, refspec, store=store, url=source.url, check=False)
        if done.returncode and b"shallow" in done.stderr:  # the dumb protocol has whole histories alone
            done = self._git(*fetch, "--", source.url, refspec, store=store, url=source.url, check=False)
        if done.returncode:
            raise _fetch_error(source, describe, done.stderr.decode("utf-8", "replace"))
        listed = self._git("ls-tree", "-r", "-t", "-l", "-z", "--full-tree", "refs/kcd-gen/chart^{tree}", store=store)
        return _tree(f"{source.ref.partition('/')[2].partition('/')[2]} of {describe}", store, listed.stdout)

    def _git(
        self, *arguments: str, store: Path | None = None, url: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        return _run(arguments, store, self._variables(url), check=check)

    def _variables(self, url: str | None) -> dict[str, str]:
        variables = dict(self.environment)
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"):
            variables.pop(name, None)  # set where a hook of another repository has called us
        variables |= {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
            "LC_ALL": "C",
            "GIT_ASKPASS": "true",
        }
        if "GIT_SSH" not in variables:
            variables.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        settings = {"core.hooksPath": os.devnull, "gc.auto": "0"}
        if self.network.ca_file is not None:
            settings["http.sslCAInfo"] = str(self.network.ca_file)
        parts = urlsplit(url or "")
        if parts.scheme in ("https", "http") and (found := self._credentials(parts.netloc)):
            plain = base64.b64encode(":".join(found).encode()).decode()
            settings[f"http.{parts.scheme}://{parts.netloc}/.extraHeader"] = f"Authorization: Basic {plain}"
        # In the environment, where other users of the machine do not see it.
        first = int(variables.get("GIT_CONFIG_COUNT") or 0)
        variables["GIT_CONFIG_COUNT"] = str(first + len(settings))
        for number, (key, value) in enumerate(settings.items(), first):
            variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return variables

    def _credentials(self, host: str) -> tuple[str, str] | None:
        token = self.environment.get("GITHUB_TOKEN")  # as KuboCD's packager has it, but for GitHub alone
        if host == "github.com" and token:
            return "git", token
        return self.credentials(host)


def _run(
    arguments: Sequence[str], store: Path | None, variables: Mapping[str, str], *, check: bool, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = ["git", *(("--git-dir", str(store)) if store else ()), *arguments]
    with running(command, variables, talk=True) as process:
        limit(process, "RLIMIT_FSIZE", _DISK)
        try:
            stdout, stderr = process.communicate(given, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            what = f"'git {arguments[0]}' did not end within {_SECONDS:g} seconds"
            raise NetworkError(what, code="git-failed") from None
    if check and process.returncode:
        said = stderr.decode("utf-8", "replace").strip().splitlines()
        raise KcdError(f"'git {arguments[0]}' failed: {said[-1] if said else process.returncode}", code="git-failed")
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _fetch_error(source: GitChart, describe: str, said: str) -> KcdError:
    kind, name = ("branch" if source.ref.startswith("refs/heads/") else "tag"), source.ref.split("/", 2)[2]
    if "couldn't find remote ref" in said:
        return KcdError(f"{describe} has no {kind} {shown(name)}", code="missing-chart")
    lines = [line for line in said.splitlines() if line.startswith(("fatal:", "error:", "remote:"))] or [said.strip()]
    line = next((line for line in lines if line.startswith("fatal:")), lines[0]).removeprefix("fatal: ")
    denied = "could not read Username" in said or "Authentication failed" in said or "Permission denied" in said
    hint = None
    if denied:
        name = variable(urlsplit(source.url).netloc)
        hint = "let git log in by itself: a credential helper, or an SSH key"
        if urlsplit(source.url).scheme in ("https", "http"):
            hint = f"set {name}_USER and {name}_SECRET, or a credential helper of git"
    return NetworkError(f"{describe} cannot be fetched: {line[:300]}", code="git-failed", hint=hint)


def _tree(describe: str, store: Path, listing: bytes) -> GitTree:
    objects = parse_listing(listing)
    children: dict[str, list[str]] = {"": []}
    for path, entry in objects.items():
        if entry.mode == FOLDER:
            children.setdefault(path, [])
        folder, _, name = path.rpartition("/")
        children.setdefault(folder, []).append(name)
    return GitTree(describe, store, objects, children)


def _blobs(store: Path, identities: set[str]) -> dict[str, bytes]:
    wanted = sorted(identities)
    variables = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_NOSYSTEM": "1", "HOME": os.devnull}
    given = "".join(f"{one}\n" for one in wanted).encode()
    output = _run(("cat-file", "--batch"), store, variables, check=True, given=given).stdout
    contents, start = {}, 0
    for one in wanted:
        end = output.index(b"\n", start)
        size = int(output[start:end].split()[2])
        contents[one] = output[end + 1 : end + 1 + size]
        start = end + 2 + size
    return contents
