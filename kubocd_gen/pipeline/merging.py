"""`kcd-gen build --merge`: a build that knows what the shards of other machines have compiled.

The files of the shards are input. What identifies them must be right, or the merge is refused; then each Release is
restored if its inputs are those of this checkout, as with the state of an earlier build, and compiled otherwise.
Packages are read and verified here, whatever the shards say.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.files.directory import open_directory
from kubocd_gen.files.paths import checkout_root, display_path, hint_of, shown_path
from kubocd_gen.model.compilation import ChartFile
from kubocd_gen.model.resources import Resource
from kubocd_gen.packages.known import KnownPackage
from kubocd_gen.pipeline.known_releases import KnownReleases, request_text
from kubocd_gen.pipeline.portable_entries import check_charts, check_documents, check_entry, summary_in
from kubocd_gen.pipeline.resolution import package_of, wanted_packages
from kubocd_gen.pipeline.shards import MOST_SHARDS, SUFFIX, Shard
from kubocd_gen.state.portable import PortableFile, StoredBlob
from kubocd_gen.state.rules import rules_fingerprint
from kubocd_gen.state.values import value_text

if TYPE_CHECKING:
    from kubocd_gen.compiler.settings import Settings
    from kubocd_gen.packages.source import Fetched, PackageRequest
    from kubocd_gen.pipeline.compile_run import CompileRun

_AGAIN = "run all shards and the merge again, with the same commit, installation and flags"


@dataclass(frozen=True, slots=True)
class ShardFile:
    """An open file of a shard."""

    path: Path
    file: PortableFile
    shard: Shard

    def problem(self, message: str, hint: str = "") -> Problem:
        """Return the error that the file can't be used."""
        hint = hint or f"run this shard again: kcd-gen build --shard {self.shard}"
        return _unusable(self.path, message, hint)


@dataclass(slots=True)
class Shards:
    """The files of all shards."""

    files: Sequence[ShardFile]
    _taken: dict[str, set[str]] = field(default_factory=dict)  # Releases that they know, by cluster
    _restored: dict[str, int] = field(default_factory=dict)  # by cluster
    _charts: dict[str, Mapping[str, ChartFile]] = field(default_factory=dict)  # by the package's digest

    @property
    def restored(self) -> int:
        """The number of Releases whose results were taken from the files."""
        return sum(self._restored.values())

    def note(self, cluster: str, restored: Iterable[str]) -> None:
        """Count the Releases of a cluster that were restored."""
        self._restored[cluster] = len(self._taken.get(cluster, set()).intersection(restored))

    def add_to(self, known: KnownReleases | None, run: CompileRun, settings: Settings) -> None:
        """Add what the shards know of a cluster's Releases to `known`. Raises ProblemsError `bad-shard`."""
        name, environment = run.cluster.name, known.environment if known is not None else ""
        problems = []
        for one in self.files:
            if name not in one.file.sections:
                message = f"the shard does not have the cluster '{name}'"
                problems.append(one.problem(message, f"run the shard with the same --cluster flags: {one.shard}"))
            elif one.file.sections[name] != environment:
                message = f"the shard was compiled with other settings or Configs, or another helm: cluster '{name}'"
                problems.append(one.problem(message, _AGAIN))
        if problems:
            raise ProblemsError(*problems)
        if known is not None:
            self._add(known, run, _Requests(run, settings))

    def _add(self, known: KnownReleases, run: CompileRun, requests: _Requests) -> None:
        default = run.cluster.namespace
        pending = {f"{one.namespace or default}/{one.name}": one for one in run.read.resources.pending}
        entries: dict[str, tuple[ShardFile, Any, StoredBlob, PackageRequest]] = {}
        for file in self.files:
            for key, entry, blob in _entries(file, run.cluster.name):
                request = requests.of(pending[key]) if key in pending and key not in entries else None
                if request is not None and request_text(request) == entry["request"]:
                    entries[key] = file, entry, blob, request
        fetched = run.packages.fetch_all(request for *_, request in entries.values())
        warned: set[PackageRequest] = set()
        for key, (file, entry, blob, request) in sorted(entries.items(), key=lambda item: item[0].split("/")):
            found = fetched[request]
            if found.warnings and request not in warned:
                warned.add(request)  # compiling the first Release that uses the package reports them
                continue
            charts = self._charts_of(request, found, run)
            if charts is None or found.origin is None or isinstance(found.package, ProblemsError):
                continue
            if entry["digest"] != found.package.digest:  # a tag that was moved meanwhile
                continue
            with _refusing(file):
                summary = summary_in(entry)
                check_documents(blob.read(), summary)
                check_charts(summary, charts)
            known.packages.add(request, KnownPackage(found.package.digest, found.origin))
            known.take_in(key, entry, blob.key, blob.read)
            self._taken.setdefault(run.cluster.name, set()).add(key)

    def _charts_of(self, request: PackageRequest, found: Fetched, run: CompileRun) -> Mapping[str, ChartFile] | None:
        """Return a package's files by their name; None if the package is invalid."""
        if isinstance(found.package, ProblemsError):
            return None
        digest = found.package.digest
        if digest not in self._charts:
            try:
                package = package_of(request, run.packages, run.project.budget)
            except ProblemsError:
                return None
            files = package.files.items()
            self._charts[digest] = {
                name: ChartFile(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files
            }
        return self._charts[digest]


class _Requests:
    """The packages of Releases, found from the sources; most Releases share theirs with others."""

    def __init__(self, run: CompileRun, settings: Settings) -> None:
        self._run = run
        self._settings = settings
        self._found: dict[str, PackageRequest | None] = {}

    def of(self, resource: Resource) -> PackageRequest | None:
        text = value_text(resource.spec.get("package"))
        if text is None:
            return None
        if text not in self._found:
            self._found[text] = self._request(resource)
        return self._found[text]

    def _request(self, resource: Resource) -> PackageRequest | None:
        try:
            release = self._run.admitted_release(resource, self._settings)
        except ProblemsError:
            return None
        return next((request for *_, request in wanted_packages([release], self._settings, Problems())), None)


def _entries(file: ShardFile, cluster: str) -> Iterator[tuple[str, Any, StoredBlob]]:
    seen = set()
    with _refusing(file):
        for value, blob in file.file.values(cluster):
            if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
                raise ValueError("a line has no Release")
            key, entry = value
            check_entry(key, entry)
            if key in seen or not file.shard.has(key):
                raise ValueError("a Release in it is in another shard, or twice")
            seen.add(key)
            yield key, entry, blob


@contextmanager
def _refusing(file: ShardFile) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise ProblemsError(file.problem(f"the shard is damaged: {reason}")) from error


def open_shards(paths: Sequence[Path]) -> Shards:
    """Open the files of all shards; a directory stands for its files that end in `.shard`.

    They are closed when nothing refers to them any more: a report reads documents after the output is written.
    Raises ProblemsError `bad-shard` and `incomplete-shards`.
    """
    problems = Problems()
    files = []
    for path in _files(paths, problems):
        with problems.collect():
            files.append(_opened(path))
    if not [*problems]:
        for problem in _incomplete(files):
            problems.error(problem)
    if found := [*problems]:
        raise ProblemsError(*found)
    return Shards(files)


def _files(paths: Sequence[Path], problems: Problems) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        try:
            with open_directory(path) as directory:
                names = sorted(one.name for one in directory.entries() if one.name.endswith(SUFFIX))
        except OSError as error:
            problems.error(_unusable(path, f"cannot read the directory: {error.strerror}", hint_of(error)))
            continue
        if not names:
            message = f"the directory has no file that ends in {SUFFIX}"
            hint = "write them there: kcd-gen build --shard I/N --shard-file DIR"
            problems.error(Problem("incomplete-shards", message, _position(path), hint))
        yield from (path / name for name in names)


def _opened(path: Path) -> ShardFile:
    if _is_tracked(path):
        message = "the shard is a file of the Git repository, so a commit could bring results that nobody computed"
        hint = "remove it from the repository, and add it to .gitignore; a job passes its shard to the merge"
        raise ProblemsError(_unusable(path, message, hint))
    again = "run the shard again"
    try:
        file = PortableFile(path)
    except OSError as error:
        raise ProblemsError(_unusable(path, f"cannot read the shard: {error.strerror}", hint_of(error))) from error
    except ValueError as error:
        raise ProblemsError(_unusable(path, f"cannot use the shard: {error}", again)) from error
    match file.about:
        case {"rules": str(rules), "version": str(version), "shard": [int(index), int(count)]}:
            pass
        case _:
            raise ProblemsError(_unusable(path, "cannot use the shard: its head is not as expected", again))
    if not 1 <= index <= count <= MOST_SHARDS:
        raise ProblemsError(_unusable(path, "cannot use the shard: its number is invalid", again))
    if rules != rules_fingerprint():
        message = f"the shard was compiled by another installation of kcd-gen (version {version[:40]!r})"
        hint = "use the same container image, or the same versions of kcd-gen, Python and libraries, in all jobs"
        raise ProblemsError(_unusable(path, message, hint))
    return ShardFile(path, file, Shard(index, count))


def _is_tracked(path: Path) -> bool:
    top = checkout_root(path.parent)
    if top is None:
        return False
    from kubocd_gen.git.repository import Repository, repository_at

    repository = repository_at(top)
    if not isinstance(repository, Repository):
        return False
    name = os.path.relpath(os.path.realpath(path.parent) + "/" + path.name, top)
    return repository.is_tracked(name)


def _incomplete(files: Sequence[ShardFile]) -> Iterator[Problem]:
    first = files[0]
    count = first.shard.count
    by_index: dict[int, ShardFile] = {}
    for one in files:
        if one.shard.count != count:
            message = f"the file has shard {one.shard}, but {shown_path(first.path)} has shard {first.shard}"
            hint = "merge the shards of one run, all with the same number N in --shard I/N"
            yield Problem("incomplete-shards", message, _position(one.path), hint)
        elif other := by_index.get(one.shard.index):
            message = f"the file has shard {one.shard}, as {shown_path(other.path)} has"
            yield Problem("incomplete-shards", message, _position(one.path), "pass each shard once")
        else:
            by_index[one.shard.index] = one
    missing = [index for index in range(1, count + 1) if index not in by_index]
    if missing:
        several = "s" if len(missing) > 1 else ""
        shown = _listed(missing)
        message = f"the shard{several} {shown} of {count} {'are' if several else 'is'} missing"
        hint = f"run 'kcd-gen build --shard {missing[0]}/{count} --shard-file FILE', and pass the file to --merge"
        yield Problem("incomplete-shards", message, hint=hint)


def _listed(numbers: Iterable[int]) -> str:
    names = [*map(str, numbers)]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _unusable(path: Path, message: str, hint: str | None) -> Problem:
    return Problem("bad-shard", message, _position(path), hint)


def _position(path: Path) -> Position:
    return Position(display_path(path, Path.cwd()))
