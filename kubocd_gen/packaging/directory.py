"""Pack charts from directories: copy them, fetch their dependencies, pack them with helm, repack them reproducibly.

helm applies `.helmignore`, resolves version ranges of dependencies, and validates the chart. It works on a copy, so
nothing is written to the user's directories.
"""

from __future__ import annotations

import errno
import json
import os
import posixpath
import re
import stat
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from kubocd_gen.archives.chart import Chart, read_metadata, repacked
from kubocd_gen.archives.chart_members import is_plain_path
from kubocd_gen.budget.limits import Limits, setting, worded
from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import ProblemsError, shown
from kubocd_gen.helm.process import Run, run_helm
from kubocd_gen.kube_yaml.reader import first_document
from kubocd_gen.network.settings import Network, NetworkError
from kubocd_gen.packaging.helm_repository import Credentials
from kubocd_gen.packaging.manifest_file import LocalChart

SYMLINK = 100  # the number of entries that a symlink counts for, because it can repeat a whole directory
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DEEPEST = 64  # nested directories, as in a chart archive
Keep = Callable[[str], bool]
"""Return whether a file belongs to the chart, by its path relative to the chart's directory."""
_BUILD_SECONDS = 300.0  # helm downloads the index of each repository, and the charts
_PACKAGE_SECONDS = 60.0
_DEEPEST_DEPENDENCIES = 10  # levels of `file://` dependencies
_EXACT = re.compile(r"v?\d+\.\d+\.\d+[0-9A-Za-z.+-]*")
# The environment variables that helm needs to access the network.
_VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "PATH", "DOCKER_CONFIG"),
)
_CHART_FILES = frozenset(
    {"Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json", "LICENSE", "README.md", ".helmignore"}
    | {"requirements.yaml", "requirements.lock"}  # charts with apiVersion v1
)
_CHART_DIRECTORIES = ("templates/", "charts/", "crds/")


class Tree(Protocol):
    """A source of chart directories. Paths are normalized."""

    def copy(self, path: str, target: Path, keep: Keep, limits: Limits) -> None:
        """Copy the directory `path` to `target`, which does not exist, and follow symlinks. Raises ProblemsError."""


class DirectoryBudget:
    """What is left of the limits for a chart's directory."""

    def __init__(self, describe: str, limits: Limits) -> None:
        self.describe = describe
        self.limits = limits
        self.files, self.bytes = limits.chart_members, limits.chart
        self.entries = limits.files  # files and directories that are listed

    def look(self, entries: int, depth: int) -> None:
        """Count `entries`. Raises ProblemsError `bad-chart` if there are too many, or nested too deeply."""
        self.entries -= entries
        if depth > _DEEPEST:
            raise self._exceeded(f"{_DEEPEST} nested directories")
        if self.entries < 0:
            raise self._exceeded(f"{self.limits.files} entries", "files")

    def take(self, size: int, files: int = 1) -> None:
        """Count a file of `size` bytes. Raises ProblemsError `bad-chart` if the directory is too large."""
        self.files -= files
        self.bytes -= size
        if self.files < 0:
            raise self._exceeded(f"{self.limits.chart_members} files", "chart-members")
        if self.bytes < 0:
            raise self._exceeded(worded("chart", self.limits.chart), "chart")

    def _exceeded(self, most: str, limit: str | None = None) -> ProblemsError:
        hint = "check the path; it must be the directory with Chart.yaml"
        if limit is not None:
            hint += f". If it is, raise the limit: --limit {setting(limit, self.limits.of(limit))}"
        return ProblemsError.of("bad-chart", f"{self.describe} contains more than {most}", hint=hint)


def contains(describe: str, name: str, what: str, hint: str | None = None) -> ProblemsError:
    """Return the error for a file that cannot be in a chart: `what` it is."""
    return ProblemsError.of("bad-chart", f"{describe} contains {shown(name)}, {what}", hint=hint)


@contextmanager
def writing(describe: str, name: str) -> Iterator[None]:
    """Raise ProblemsError `bad-chart` if the block cannot write a copy of the file or directory `name`."""
    try:
        yield
    except OSError as error:
        hint = "free disk space, or set TMPDIR to another directory" if error.errno in _FULL else None
        raise contains(describe, name, f"which cannot be copied: {error.strerror}", hint) from None


@dataclass(frozen=True, slots=True)
class LocalTree:
    """Directories on disk. Symlinks can lead to any path below the `roots`, and nowhere else."""

    describe: str
    roots: tuple[Path, ...]  # with symlinks resolved

    def copy(self, path: str, target: Path, keep: Keep, limits: Limits) -> None:
        """Copy a directory, without `.git`, and follow its symlinks.

        Raises ProblemsError: `missing-chart` or `bad-chart`.
        """
        directory = Path(path)
        try:
            self._check_symlink(directory, path)  # its parents can be symlinks, too
            inside = replace(self, roots=(*self.roots, Path(os.path.realpath(directory))))
            inside.copy_into(directory, target, "", keep, DirectoryBudget(self.describe, limits), ())
        except OSError as error:
            what = f"cannot read {self.describe}: {error.strerror} ({error.filename})"
            raise ProblemsError.of("missing-chart", what) from error

    def copy_into(
        self, directory: Path, target: Path, prefix: str, keep: Keep, budget: DirectoryBudget, above: tuple[str, ...]
    ) -> None:
        """Copy one directory recursively; `above` are its parents in the tree, with symlinks resolved."""
        real = os.path.realpath(directory)
        if real in above:
            raise contains(self.describe, prefix, "a symlink to its own parent")
        with writing(self.describe, prefix or "."):
            target.mkdir(parents=True, exist_ok=True)
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        budget.look(len(entries), len(above))
        for entry in entries:
            name = prefix + entry.name
            if entry.name == ".git":
                continue
            if not is_plain_path(name):
                raise ProblemsError.of("bad-chart", f"{self.describe} contains the invalid file name {shown(name)}")
            if entry.is_symlink():
                budget.look(SYMLINK, len(above))
                self._check_symlink(Path(entry.path), name)
            if entry.is_dir():
                self.copy_into(Path(entry.path), target / entry.name, f"{name}/", keep, budget, (*above, real))
            elif keep(name):
                self._copy_file(Path(entry.path), target / entry.name, name, budget)

    def _copy_file(self, source: Path, target: Path, name: str, budget: DirectoryBudget) -> None:
        # Without O_NONBLOCK, opening a FIFO would wait for a writer.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise contains(self.describe, name, "which is not a regular file")
            budget.take(status.st_size)
            data = file.read(status.st_size)  # not more, even if the file is growing
        with writing(self.describe, name):
            target.write_bytes(data)

    def _check_symlink(self, path: Path, name: str) -> None:
        real = Path(os.path.realpath(path))
        if real != path and not any(real.is_relative_to(root) for root in self.roots):
            what = f"a symlink to {shown(str(real))}, outside the chart"
            hint = "replace the symlink with the file; anyone who can pull the package can read it"
            raise contains(self.describe, name, what, hint)


def local_tree(source: LocalChart) -> tuple[LocalTree, str]:
    """Return the directories that a local chart can use, and the chart's own directory.

    Raises ProblemsError: `missing-chart` if it is not a directory with a Chart.yaml, `bad-chart` if its path follows a
    symlink out of the manifest's directory, `outside-checkout` if it is not in the manifest's checkout.
    """
    base = Path(os.path.realpath(source.directory))
    path = Path(os.path.normpath(base / source.path))
    real = Path(os.path.realpath(path))
    describe = f"the chart {source.path}"
    if real != path and not real.is_relative_to(base):
        raise ProblemsError.of(
            "bad-chart",
            f"{describe} is a symlink to {shown(str(real))}, outside the manifest's directory",
            hint="use the path of the directory itself",
        )
    if source.files is not None and not source.files.holds(real):
        raise ProblemsError(source.files.refusal(f"{describe}, a path of the manifest,", real))
    if not (real / "Chart.yaml").is_file():
        what = "has no Chart.yaml" if real.is_dir() else "is not a directory"
        hint = "set source.local.path to the chart's directory, relative to the manifest"
        raise ProblemsError.of("missing-chart", f"{describe} {what}", hint=hint)
    return LocalTree(describe, (base, real)), str(real)


def everything(_path: str) -> bool:
    """Keep every file."""
    return True


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed chart, and warnings for its author."""

    chart: Chart
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Packer:
    """Packs one chart of `tree` with helm, with copies of the charts in other directories that it depends on.

    Messages call the chart `describe`. `scratch` is an empty working directory.
    """

    helm: Path
    network: Network
    credentials: Credentials
    tree: Tree
    scratch: Path
    describe: str
    warnings: list[str] = field(default_factory=list)

    def pack(self, path: str, keep: Keep = everything) -> Packed:
        """Pack the chart in the directory `path`; `keep` selects its files. Raises ProblemsError."""
        target, packed = self.copy_of(path), self.scratch / "packed"
        self.prepare(path, keep, 0)
        packed.mkdir()
        run = self._run(["package", "--destination", str(packed), "--", str(target)], _PACKAGE_SECONDS)
        archives = list(packed.iterdir())
        if run.stopped or run.returncode or len(archives) != 1:
            message = run.summary.replace(str(target), path)
            raise ProblemsError.of("bad-chart", f"helm cannot package {self.describe}: {message}")
        chart = repacked(
            archives[0].read_bytes(), describe=self.describe, limits=self.network.limits, budget=self.network.budget
        )
        return Packed(chart, tuple(self.warnings))

    def copy_of(self, path: str) -> Path:
        """Return where the directory `path` is copied to; `file://../other` must work between the copies."""
        return self.scratch / "tree" / path.strip("/")

    def prepare(self, path: str, keep: Keep, depth: int) -> None:
        target = self.copy_of(path)
        if (target / "Chart.yaml").exists():
            return
        if depth > _DEEPEST_DEPENDENCIES:
            what = f"{self.describe} has more than {_DEEPEST_DEPENDENCIES} levels of file:// dependencies"
            raise ProblemsError.of("bad-chart", what)
        self.tree.copy(path, target, keep, self.network.limits)
        dependencies = _dependencies(target, self.describe, self.network.budget)
        missing = [one for one in dependencies if not _has(target, str(one.get("name")))]
        if not missing:
            return
        for one in dependencies:  # helm rebuilds all of them, not only the missing ones
            repository = str(one.get("repository") or "")
            if repository.startswith("file://"):
                self.prepare(self._neighbor(path, repository), everything, depth + 1)
        self._build(target, dependencies, missing)

    def _neighbor(self, path: str, repository: str) -> str:
        """Resolve `file://…` relative to `path`. Raises ProblemsError if it leaves the tree, and so the copy."""
        relative = repository.removeprefix("file://")
        other = posixpath.normpath(posixpath.join(path.strip("/"), relative))
        if relative.startswith("/") or other.split("/")[0] == "..":
            what = f"{self.describe} depends on {shown(repository)}, which is outside its source"
            raise ProblemsError.of("bad-chart", what, hint="use a relative path, such as file://../common")
        return f"/{other}" if path.startswith("/") else other

    def _build(self, target: Path, dependencies: list[Mapping[str, Any]], missing: list[Mapping[str, Any]]) -> None:
        names = ", ".join(shown(str(one.get("name"))) for one in missing)
        remote = [one for one in dependencies if not str(one.get("repository") or "").startswith("file://")]
        if remote and self.network.offline:
            what = f"cannot download the dependencies {names} of {self.describe} with --offline"
            raise NetworkError(what, code="offline", hint="run 'helm dependency build' in the chart's directory first")
        locks = [target / "Chart.lock", target / "requirements.lock"]
        locked = any(lock.exists() for lock in locks)
        ranges = [one for one in remote if not _EXACT.fullmatch(str(one.get("version") or ""))]
        if ranges and not locked:
            newest = ", ".join(shown(str(one.get("name"))) for one in ranges)
            self.warnings.append(
                f"{self.describe} has no Chart.lock, so the newest matching version of {newest} is used"
            )
        run = self._build_dependencies(target, dependencies)
        if run.stopped or run.returncode:
            message = run.summary.replace(str(self.scratch), "")
            what = f"cannot build the dependencies {names} of {self.describe}: {message}"
            raise NetworkError(what, code="missing-chart", exit_code=4 if remote else 1)
        for lock in locks:
            if not locked and lock.exists():  # written by helm with the current time, which is not reproducible
                lock.write_text(re.sub(r"(?m)^generated:.*$", 'generated: "1980-01-01T00:00:00Z"', lock.read_text()))

    def _build_dependencies(self, chart: Path, dependencies: list[Mapping[str, Any]]) -> Run:
        """Run `helm dependency build` with the credentials that kcd-gen uses. Raises ProblemsError `helm-failed`."""
        home = self._home()
        entries = []
        auths = {}
        for number, url in enumerate(sorted({str(one.get("repository") or "") for one in dependencies})):
            parts = urlsplit(url)
            found = self._credentials(parts)
            if parts.scheme in ("http", "https"):
                user, secret = found or ("", "")
                entry = {"name": f"kcd{number}", "url": url, "username": user, "password": secret}
                entry["caFile"] = str(self.network.ca_file or "")
                entries.append(entry)
            elif parts.scheme == "oci" and found:
                auths[parts.netloc] = {"auth": b64encode(":".join(found).encode()).decode()}
        variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        if self.network.ca_file is not None:
            variables["SSL_CERT_FILE"] = str(self.network.ca_file)
        for variable, name, content in (
            ("HELM_REPOSITORY_CONFIG", "repositories.yaml", {"apiVersion": "", "repositories": entries}),
            ("HELM_REGISTRY_CONFIG", "registry.json", {"auths": auths}),
        ):
            variables[variable] = str(home / name)
            with open(home / name, "w", encoding="utf-8", opener=_private) as file:
                json.dump(content, file)
        self.network.progress(f"fetching the dependencies of {chart.name}")
        return self._run(["dependency", "build", "--", str(chart)], _BUILD_SECONDS, **variables)

    def _credentials(self, repository: SplitResult) -> tuple[str, str] | None:
        """Return the credentials that helm gets for a repository, or None; helm uses only HTTPS for registries."""
        scheme = "https" if repository.scheme == "oci" else repository.scheme
        if not self.network.may_send_credentials(repository._replace(scheme=scheme).geturl()):
            return None
        return self.credentials(repository)

    def _home(self) -> Path:
        """Return the directory of helm's settings."""
        home = self.scratch / "home"
        home.mkdir(exist_ok=True)
        return home

    def _run(self, arguments: list[str], timeout: float, **variables: str) -> Run:
        return run_helm(self.helm, arguments, self._home(), timeout, variables=variables)


def _dependencies(chart: Path, describe: str, budget: Budget) -> list[Mapping[str, Any]]:
    """Return the dependencies in the chart's Chart.yaml and, for apiVersion v1, in requirements.yaml."""
    text = (chart / "Chart.yaml").read_bytes() if (chart / "Chart.yaml").is_file() else None
    _, _, metadata = read_metadata(text, describe=describe, budget=budget)
    found = list(metadata.get("dependencies") or ())
    requirements = chart / "requirements.yaml"
    if metadata.get("apiVersion") != "v2" and requirements.is_file():
        listing = requirements.read_text("utf-8", "replace")
        value = first_document(listing, "requirements.yaml", budget=budget).value
        listed = value.get("dependencies") if isinstance(value, dict) else None
        found += [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, dict)]
    return found


def _has(chart: Path, name: str) -> bool:
    """Return whether `charts/` contains the chart `name`, as a directory or an archive."""
    directory = chart / "charts"
    if (directory / name / "Chart.yaml").is_file():
        return True
    archives = (path.name for path in directory.glob("*.tgz")) if directory.is_dir() else ()
    return any(re.fullmatch(rf"{re.escape(name)}-v?\d.*\.tgz", archive) for archive in archives)


def chart_files(extra_prefixes: tuple[str, ...]) -> Keep:
    """Return the filter that KuboCD applies to a chart in Git: Helm's documented files, and those with a prefix."""

    def keep(path: str) -> bool:
        return path in _CHART_FILES or path.startswith(_CHART_DIRECTORIES) or f"/{path}".startswith(extra_prefixes)

    return keep


def _private(path: str, flags: int) -> int:
    """Open a file that only the user can read."""
    return os.open(path, flags, 0o600)
