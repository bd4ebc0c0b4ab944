"""Compile both sides of a comparison, and compare them, for `kcd-gen diff`."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from kubocd_gen.checkout.discovery import find_files
from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, has_errors
from kubocd_gen.diffing.comparison import compare_clusters, compare_manifests, delivery_note, with_written
from kubocd_gen.diffing.namespaces import compare_namespaces
from kubocd_gen.diffing.records import Comparison, NamespaceDifference, ReleaseDifference
from kubocd_gen.diffing.sides import Side, Sides
from kubocd_gen.files.paths import display_path
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import HelmPool
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.packages.lock import Lock
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline import Compilation, compile_cluster
from kubocd_gen.pipeline.packages import Progress, closing_on_error, package_sources
from kubocd_gen.pipeline.selection import problems_of, restricted, selected
from kubocd_gen.pipeline.suspended import Written
from kubocd_gen.pipeline.unknown_hosts import unknown_hosts_note
from kubocd_gen.processes.timing import timed
from kubocd_gen.sources.documents import WRITTEN

_log = logging.getLogger(__name__)

_X = Path("output")  # a placeholder if no output is given by flags; it is neither read nor written


@dataclass(frozen=True, slots=True)
class Compared:
    """The comparison, or None if a side does not compile; errors of both sides, and warnings that are new."""

    comparison: Comparison | None
    diagnostics: tuple[Problem, ...]


def compare(
    sides: Sides,
    helm: Helm,
    progress: Progress,
    *,
    jobs: int,
    charts: bool = False,
    releases: Collection[str] = (),
    keep_going: bool = False,
) -> Compared:
    """Compile both sides and compare them; with `charts`, also compare the manifests that the charts render to.

    A cluster with the same inputs on both sides is compiled only once. With `releases`, only these are compared, and
    only their problems count (see `selected`). With `keep_going`, Releases that compile on both sides are compared even
    if others do not.
    """
    old, new = sides.old, sides.new
    packages = package_sources(new.project, progress, lock=new.lock, jobs=jobs)
    same_packages = old is not None and _have_same_packages(old, new)
    others = (
        packages if old is None or same_packages else package_sources(old.project, progress, lock=old.lock, jobs=jobs)
    )
    clusters = {cluster.name: cluster for cluster in new.project.clusters}
    before = {cluster.name: cluster for cluster in old.project.clusters} if old else {}
    names = list(dict.fromkeys([*before, *clusters]))
    found = {name: (Problems(name), Problems(name)) for name in names}

    reading = threading.Lock()  # a revision is read by one thread at a time
    futures: dict[str, list[Future[Compilation] | None]] = {}
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool, closing_on_error(packages, others):

        def compiled(side: Side, cluster: Cluster, sources: PackageSources, into: Problems) -> Future[Compilation]:
            written = partial(_locked_output, side, cluster, reading)
            return pool.submit(compile_cluster, side.project, cluster, sources, helm, into, written=written)

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
            futures[name] = [first, second]
        results = {name: [one.result() if one else None for one in pair] for name, pair in futures.items()}
    problems = Problems()
    for warning in dict.fromkeys([*packages.warnings(), *others.warnings()]):
        problems.warning(warning)
    for note in unknown_hosts_note(one for _, one in results.values() if one):
        problems.note(note)
    if releases:
        keys = ({key for one in pair if one for key in one.keys} for pair in results.values())
        chosen = selected(releases, keys)
        results = {name: [restricted(one, chosen) if one else None for one in pair] for name, pair in results.items()}
        found = {name: (problems_of(one, chosen), problems_of(two, chosen)) for name, (one, two) in found.items()}
    if keep_going:
        results = {name: _comparable(pair) for name, pair in results.items()}
    unknown = _add_written(results, old, new, found)
    comparison = None
    if keep_going or not any(has_errors(one) for pair in found.values() for one in pair):
        with timed(_log, "compare", level=logging.DEBUG):
            comparison = _compared(sides, results, unknown, found, helm.pool if charts else None)
    for old_problems, new_problems in found.values():
        known = {_essence(one) for one in old_problems}
        # A problem without a position is shown at the revision.
        errors = (one.at(Position(sides.revision.name)) for one in old_problems if one.severity == "error")
        problems.take(old.named(one) if old else one for one in errors)
        first, second = futures[str(new_problems.cluster)]
        problems.take(
            new.named(one)
            for one in new_problems
            if one.severity == "error" or (first is not second and _essence(one) not in known)
        )
    return Compared(comparison, tuple(problems))


def _locked_output(side: Side, cluster: Cluster, lock: threading.Lock) -> Written | None:
    """Return the output of a cluster on a side, whose files are read with the lock held."""
    with lock:
        output = side.output(cluster)
    if output is None:
        return None
    read = output.read

    def locked(path: str) -> bytes | None:
        with lock:
            return read(path)

    return replace(output, read=locked)


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
        if any(one.summary.suspended for side in both if side for one in side.releases):
            outputs = (
                old.output(sides[0][name]) if old and name in sides[0] else None,
                new.output(sides[1][name]) if name in sides[1] else None,
            )
            first, second, unknown[name] = with_written(both[0], both[1], outputs, found[name][1])
            results[name] = [first, second]
    return unknown


def _comparable(pair: Sequence[Compilation | None]) -> list[Compilation | None]:
    """Return both sides of a cluster without the Releases that are not known to compile on both."""
    known = [one for one in pair if one is not None]
    failed = {key for one in known for key in one.failed}
    every = [{one.key for one in side.releases} for side in known]
    if len(known) == 2 and not all(one.complete for one in known):  # what is missing on a side may not be read there
        failed |= every[0] ^ every[1]
    return [restricted(one, one.keys - failed) if one else None for one in pair]


def _compared(
    sides: Sides,
    results: Mapping[str, Sequence[Compilation | None]],
    unknown: Mapping[str, Collection[str]],
    found: dict[str, tuple[Problems, Problems]],
    charts: HelmPool | None,
) -> Comparison:
    releases: list[ReleaseDifference] = []
    namespaces: list[NamespaceDifference] = []
    masks = Masks()
    for name, (old, new) in results.items():
        if old is new:
            continue
        manifests = compare_manifests(old, new, charts, found[name], masks) if charts else {}
        if old and new and (note := delivery_note(old.cluster, new.cluster)):
            found[name][1].note(note)
        releases += compare_clusters(name, old, new, manifests, masks, unknown.get(name, ()))
        namespaces += compare_namespaces(name, old, new)
    before, after = (sum(len(one.releases) for both in results.values() if (one := both[side])) for side in (0, 1))
    several = max(len(results), *(len(side.project.outputs) for side in (sides.old, sides.new) if side)) > 1
    until = sides.until.name if sides.until else None
    name, commit = sides.revision.name, sides.revision.commit
    totals, with_charts = (before, after), charts is not None
    return Comparison(name, commit, totals, tuple(releases), with_charts, several, until, tuple(namespaces))


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
