"""Compile a Git revision and the working tree, and compare them, for `kcd-gen diff`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from kubocd_gen.checkout.discovery import find_files
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, has_errors
from kubocd_gen.diffing.comparison import compare_clusters, compare_manifests, with_written
from kubocd_gen.diffing.records import Comparison
from kubocd_gen.files.paths import FilePath, display_path, fixed_part, shown_path
from kubocd_gen.git.repository import Revision, find_repository
from kubocd_gen.git.revision import Checkout, open_revision
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import HelmPool
from kubocd_gen.model.project import STDIN, Cluster, Flags, Project
from kubocd_gen.packages.lock import Lock
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline import Compilation, compile_cluster
from kubocd_gen.pipeline.kustomizations import surroundings
from kubocd_gen.pipeline.packages import Progress, closing_on_error, package_sources, project_lock
from kubocd_gen.pipeline.suspended import Written, in_revision, on_disk
from kubocd_gen.processes.children import scratch
from kubocd_gen.sources.documents import WRITTEN
from kubocd_gen.sources.project_file import check_paths, load_project, project_path, read_project

_UNREAD = Path("output")  # a placeholder if no output is given by flags; it is neither read nor written


@dataclass(frozen=True, slots=True)
class Side:
    """A project on one side, with its lock. `output` returns the written output of a cluster, None if unknown.

    `named` returns a problem of this side with the name of the revision instead of temporary paths.
    """

    project: Project
    lock: Lock | None
    output: Callable[[Cluster], Written | None]
    named: Callable[[Problem], Problem] = lambda problem: problem


@dataclass(frozen=True, slots=True)
class Compared:
    """The comparison, or None if a side does not compile; errors of both sides, and warnings that are new."""

    comparison: Comparison | None
    diagnostics: tuple[Problem, ...]


@contextmanager
def both_sides(flags: Flags, directory: Path, ref: str | None) -> Iterator[tuple[Revision, Side | None, Side]]:
    """Yield the revision, the project in that revision (None if it has none) and the project in the working tree.

    The files of the revision are in a temporary directory, which is deleted when the context ends. Raises ProblemsError
    for errors of Git, project files and locks; problems in files of the revision name the revision.
    """
    unread = bool(flags.sources) and flags.output is None
    if STDIN in flags.sources:
        hint = "build each of them to a directory, or use a project file"
        raise ProblemsError.of("usage", "standard input has no revisions to compare", hint=hint)
    if flags.sources:
        flags = replace(flags, output=flags.output or _UNREAD)
    path = None if flags.sources else project_path(flags, directory).absolute()
    flags = replace(flags, project=path)
    now = load_project(flags, directory)
    new = Side(now, project_lock(now), _no_output if unread else partial(_output_on_disk, now))
    repository = find_repository(now.root, offline=flags.offline)
    revision = repository.base() if ref is None else repository.revision(ref)
    with (
        scratch("kcd-gen-revision-") as temporary,
        open_revision(repository, revision, Path(os.path.realpath(temporary)), now.budget) as checkout,
    ):
        try:
            old = _old_side(checkout, flags, directory, path, now)
            if old is not None:
                # Both sides share one budget, and the Flux Kustomizations outside of the sources.
                surroundings(now, Problems())
                old = replace(old, project=replace(old.project, budget=now.budget, surroundings=now.surroundings))
                old = replace(old, output=_no_output) if unread else old
        except ProblemsError as error:
            raise ProblemsError(*(_name_revision(one, checkout) for one in error.problems)) from error
        yield revision, old, new


def compare(
    revision: Revision,
    old: Side | None,
    new: Side,
    helm: Helm,
    progress: Progress,
    *,
    jobs: int,
    charts: bool = False,
) -> Compared:
    """Compile both sides and compare them; with `charts`, also compare the manifests that the charts render to.

    A cluster with the same inputs on both sides is compiled only once.
    """
    packages = package_sources(new.project, progress, lock=new.lock, jobs=jobs)
    same_packages = old is not None and _have_same_packages(old, new)
    others = (
        packages if old is None or same_packages else package_sources(old.project, progress, lock=old.lock, jobs=jobs)
    )
    clusters = {cluster.name: cluster for cluster in new.project.clusters}
    before = {cluster.name: cluster for cluster in old.project.clusters} if old else {}
    names = list(dict.fromkeys([*before, *clusters]))
    found = {name: (Problems(name), Problems(name)) for name in names}

    sides: dict[str, list[Future[Compilation] | None]] = {}
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool, closing_on_error(packages, others):

        def compiled(side: Side, cluster: Cluster, sources: PackageSources, into: Problems) -> Future[Compilation]:
            return pool.submit(compile_cluster, side.project, cluster, sources, helm, into)

        for name in names:
            first = second = None
            if name in clusters:
                second = compiled(new, clusters[name], packages, found[name][1])
            if old and name in before:
                both = name in clusters and same_packages
                if both and _have_same_sources(old, before[name], new, clusters[name]):
                    first = second
                else:
                    first = compiled(old, before[name], others, found[name][0])
            sides[name] = [first, second]
        results = {name: [one.result() if one else None for one in pair] for name, pair in sides.items()}
    problems = Problems()
    for warning in dict.fromkeys([*packages.warnings(), *others.warnings()]):
        problems.warning(warning)
    unknown = _add_written(results, old, new, found)
    comparison = None
    if not any(has_errors(one) for pair in found.values() for one in pair):
        comparison = _compared(revision, results, unknown, found, helm.pool if charts else None)
    for old_problems, new_problems in found.values():
        known = {_essence(one) for one in old_problems}
        # A problem without a position is shown at the revision.
        errors = (one.at(Position(revision.name)) for one in old_problems if one.severity == "error")
        problems.take(old.named(one) if old else one for one in errors)
        first, second = sides[str(new_problems.cluster)]
        problems.take(
            one
            for one in new_problems
            if one.severity == "error" or (first is not second and _essence(one) not in known)
        )
    return Compared(comparison, tuple(problems))


def _add_written(
    results: dict[str, list[Compilation | None]],
    old: Side | None,
    new: Side,
    found: Mapping[str, tuple[Problems, Problems]],
) -> dict[str, Collection[str]]:
    """Add the written output of suspended Releases to `results`; return those whose output is unknown, by cluster."""
    sides = [{cluster.name: cluster for cluster in side.project.clusters} if side else {} for side in (old, new)]
    unknown: dict[str, Collection[str]] = {}
    for name, both in results.items():
        if any(one.release.suspended for side in both if side for one in side.releases):
            outputs = (
                old.output(sides[0][name]) if old and name in sides[0] else None,
                new.output(sides[1][name]) if name in sides[1] else None,
            )
            first, second, unknown[name] = with_written(both[0], both[1], outputs, found[name][1])
            results[name] = [first, second]
    return unknown


def _compared(
    revision: Revision,
    results: Mapping[str, Sequence[Compilation | None]],
    unknown: Mapping[str, Collection[str]],
    found: dict[str, tuple[Problems, Problems]],
    charts: HelmPool | None,
) -> Comparison:
    releases = []
    masks = Masks()
    for name, (old, new) in results.items():
        if old is new:
            continue
        manifests = compare_manifests(old, new, charts, found[name], masks) if charts else {}
        releases += compare_clusters(name, old, new, manifests, masks, unknown.get(name, ()))
    before, after = (sum(len(one.releases) for both in results.values() if (one := both[side])) for side in (0, 1))
    return Comparison(revision.name, revision.commit, (before, after), tuple(releases), charts is not None)


def _old_side(checkout: Checkout, flags: Flags, directory: Path, path: Path | None, now: Project) -> Side | None:
    top = checkout.repository.top
    start = _inside(top, path.parent if path else directory, "the project")
    root = checkout.directory / start
    root.mkdir(parents=True, exist_ok=True)
    # Blobs of vendored packages are read from the working tree.
    files = CheckoutFiles(checkout.directory, (*now.files.allowed, top))
    if path is None:
        located = [_locate(top, directory, source) for source in flags.sources]
        # A source can be missing in the revision; if the flag is wrong, the working tree's side reports it.
        inside = [source for source, elsewhere in located if not elsewhere and checkout.exists(source)]
        if not inside:
            return None
        outside = [source for source, elsewhere in located if elsewhere]
        sources = (*(os.path.relpath(one or ".", start or ".") for one in inside), *outside)
        output = os.path.relpath(directory / (flags.output or _UNREAD), top)  # excluded from the sources
        old = read_project(replace(flags, sources=sources, output=checkout.directory / output), root, files)
    else:
        file = f"{start}/{path.name}".lstrip("/")
        if not checkout.has(file):
            return None
        checkout.take_sources([file])
        old = read_project(replace(flags, project=checkout.directory / file, clusters=(), output=None), root, files)
        chosen = [one for one in old.clusters if not flags.clusters or one.name in flags.clusters]
        inside, clusters = [], []
        for cluster in chosen:
            located = [_locate(top, top / start, source) for source in cluster.sources]
            inside += [source for source, elsewhere in located if not elsewhere]
            clusters.append(_with_sources(cluster, located, start))
        old = replace(old, clusters=tuple(clusters))
    origin = f"{checkout.tree.revision.name}:{start}{'/' if start else ''}"
    old = replace(old, origin=origin, vendor=_old_vendor(checkout, old, directory))
    lock = f"{start}/{old.lock_path.name}".lstrip("/")
    check_paths(old, outputs=False)  # nothing is written to its outputs
    checkout.take_sources([*inside, *([lock] if checkout.has(lock) else [])])
    if any(cluster.rendered for cluster in old.clusters):
        checkout.take_everything()
    named = partial(_name_revision, checkout=checkout)
    return Side(old, project_lock(old), partial(_output_in_revision, checkout, old), named)


def _no_output(_cluster: Cluster) -> Written | None:
    return None


def _output_on_disk(project: Project, cluster: Cluster) -> Written | None:
    return on_disk(cluster.output, project)


def _output_in_revision(checkout: Checkout, project: Project, cluster: Cluster) -> Written | None:
    """Return the output in the revision, or None if it has none or the output is outside the repository."""
    output = Path(os.path.normpath(cluster.output))
    if not output.is_relative_to(checkout.directory):
        return None
    directory = output.relative_to(checkout.directory).as_posix()
    real, _ = checkout.tree.real(f"{directory}/flux")
    return in_revision(checkout, directory, project.budget) if checkout.tree.kind(real) == "directory" else None


def _locate(top: Path, directory: Path, source: str) -> tuple[str, bool]:
    """Return a source relative to the repository's root and False, or its absolute path and True if it is outside.

    A source outside the repository is not part of any revision, so both sides read its current files, if the user
    allows that. Raises ProblemsError `no-repository` if the source contains the repository.
    """
    path = Path(os.path.normpath(directory / source))
    holds_repository = top.is_relative_to(os.path.realpath(directory / fixed_part(source)))
    if holds_repository or path.is_relative_to(top) or _resolved(path).is_relative_to(top):
        return _inside(top, directory / source, f"the source '{source}'"), False
    return str(path), True


def _with_sources(cluster: Cluster, located: Sequence[tuple[str, bool]], start: str) -> Cluster:
    """Return a cluster of the revision with sources relative to the directory that has the revision's files."""
    sources = [one if elsewhere else os.path.relpath(one or ".", start or ".") for one, elsewhere in located]
    pairs = list(zip(cluster.sources, sources, strict=True))
    if all(os.path.normpath(before) == after for before, after in pairs):
        return cluster  # unchanged, because the clusters of both sides are compared for equality
    places = {after: cluster.places[before] for before, after in pairs}
    return replace(cluster, sources=tuple(sources), places=places)


def _old_vendor(checkout: Checkout, old: Project, directory: Path) -> Path | None:
    """Return the vendor layout of the revision, or of the working tree if it is not committed or is outside."""
    if old.vendor is None:
        return None
    vendor = directory / old.vendor
    top, base = checkout.repository.top, checkout.directory
    if not Path(os.path.normpath(vendor)).is_relative_to(base):
        base = top
        if vendor.is_relative_to(old.root):  # it has `..` components, relative to the project file
            vendor = top / old.root.relative_to(checkout.directory) / vendor.relative_to(old.root)
    real = _resolved(vendor)
    if not real.is_relative_to(base):
        return vendor
    inside = real.relative_to(base).as_posix()
    return checkout.directory / inside if checkout.take_layout(inside) else top / inside


def _resolved(path: Path) -> Path:
    """Resolve the symlinks in `path`, except in its last component."""
    return Path(os.path.normpath(Path(os.path.realpath(path.parent)) / path.name))


def _inside(top: Path, path: Path, what: str) -> str:
    """Return `path` relative to the repository's root, "" for the root. Its last component can be a symlink or a glob.

    Raises ProblemsError `no-repository` for a path outside the repository; `what` is the subject of the message.
    """
    fixed = os.path.normpath(path)
    if not Path(fixed).is_relative_to(top):
        fixed = os.path.join(os.path.realpath(os.path.dirname(fixed)), os.path.basename(fixed))  # noqa: PTH118, PTH119, PTH120
    if not Path(fixed).is_relative_to(top):
        raise ProblemsError.of(
            "no-repository",
            f"{what} is outside the Git repository '{top}'",
            hint="move it into the repository, or compare a project inside a repository",
        )
    inside = os.path.relpath(fixed, top)
    return "" if inside == "." else inside


def _name_revision(problem: Problem, checkout: Checkout) -> Problem:
    """Return the problem with the name of the revision instead of the temporary directory that has its files."""
    name = checkout.tree.revision.name

    def shown(text: str) -> str:
        for directory in (str(checkout.directory), shown_path(checkout.directory)):
            text = text.replace(f"{directory}/", f"{name}:").replace(directory, name)
        return text

    position = problem.position
    if position is not None:
        path: str = position.path
        if isinstance(path, FilePath) and path.absolute.is_relative_to(checkout.directory):
            path = str(path.absolute)
        position = replace(position, path=shown(path)) if shown(path) != path else position
    hint = problem.hint and shown(problem.hint)
    return replace(problem, message=shown(problem.message), hint=hint, position=position)


def _essence(one: Problem) -> tuple[Any, ...]:
    return one.severity, one.code, one.message, one.release


def _have_same_packages(old: Side, new: Side) -> bool:
    """Return whether both sides get the same package for the same reference."""

    def inputs(side: Side) -> tuple[Project, Lock | None, str | None]:
        vendor = side.project.vendor
        index = _digest(side.project, vendor / "index.json") if vendor else ""
        return replace(side.project, root=Path(), clusters=(), vendor=None, origin=""), side.lock, index

    return inputs(old) == inputs(new)


def _have_same_sources(old: Side, cluster: Cluster, new: Side, other: Cluster) -> bool:
    """Return whether a cluster is compiled from the same files with the same settings."""
    if cluster.rendered or replace(cluster, output=Path()) != replace(other, output=Path()):
        return False
    files = [_files(side.project, one) for side, one in ((old, cluster), (new, other))]
    return files[0] is not None and files[0] == files[1]


def _files(project: Project, cluster: Cluster) -> list[tuple[str, str]] | None:
    """Return the paths and digests of the files of a cluster, or None if a file can't be read."""
    ignored = [one.output / directory for one in project.clusters for directory in WRITTEN]
    files, errors, *_ = find_files(
        cluster.sources, project.root, ignored, files=project.files, budget=project.budget, exclude=cluster.exclude
    )
    found = [(display_path(path, project.root), _digest(project, path)) for path in files]
    return None if errors or any(digest is None for _, digest in found) else [(one, str(two)) for one, two in found]


def _digest(project: Project, path: Path) -> str | None:
    try:
        with project.files.open(path, str(path)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ProblemsError):
        return None
