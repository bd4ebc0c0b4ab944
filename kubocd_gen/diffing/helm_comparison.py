"""Compile a project with two helm binaries and compare the results, for `kcd-gen build --compare-helm`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.diagnostics.problems import RUN_LIMIT, Problem, Problems, has_errors, printable
from kubocd_gen.diagnostics.text import envelope, problem_lines, problem_report
from kubocd_gen.diffing.comparison import compare_clusters
from kubocd_gen.diffing.lines import View, plural, view
from kubocd_gen.diffing.records import Comparison
from kubocd_gen.diffing.report import identity, release_report, repeat_report, text_lines
from kubocd_gen.helm.engine import Helm
from kubocd_gen.model.compilation import Resolved
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline import Compilation, compile_cluster
from kubocd_gen.pipeline.packages import closing_on_error
from kubocd_gen.pipeline.portability import varying_results
from kubocd_gen.pipeline.rendering import Texts
from kubocd_gen.pipeline.selection import problems_of, restricted, selected
from kubocd_gen.pipeline.unknown_hosts import unknown_hosts_note

# Errors of the run. They depend on the load of the machine or end the compilation of other Releases, too.
_OF_THE_RUN = (RUN_LIMIT, "template-timeout")


@dataclass(frozen=True, slots=True)
class HelmSide:
    """One of the two helm binaries, with the version that it reports."""

    helm: Helm
    version: str

    @property
    def path(self) -> Path:
        return self.helm.pool.binary


@dataclass(frozen=True, slots=True)
class FailedRelease:
    """A Release that fails with only one helm. `old` is set if it is the first one."""

    cluster: str
    key: str
    old: bool
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class HelmComparison:
    """The differences between the results of two helm binaries, of `total` Releases."""

    names: tuple[str, str]
    total: int
    view: View
    failed: tuple[FailedRelease, ...]

    @property
    def several(self) -> bool:
        """Whether the project has several clusters."""
        return self.view.comparison.several

    @property
    def differs(self) -> bool:
        return bool(self.view.comparison.releases or self.failed)


@dataclass(frozen=True, slots=True)
class Compared:
    """The comparison, or None if errors prevent it; the problems that do not depend on which helm is used."""

    comparison: HelmComparison | None
    diagnostics: tuple[Problem, ...]


@dataclass(slots=True)
class _Result:
    """A cluster compiled with one helm. `inspected` are its Releases with a package, and the packages' templates."""

    problems: Problems
    compilation: Compilation | None = None
    inspected: list[tuple[Sequence[Resolved], Mapping[str, Texts]]] = field(default_factory=list)


def compare_helms(
    project: Project,
    packages: PackageSources,
    old: HelmSide,
    new: HelmSide,
    *,
    jobs: int,
    releases: Sequence[str] = (),
    keep_going: bool = False,
) -> Compared:
    """Compile every cluster with both helm binaries and compare the results. Nothing is written.

    A Release that fails with one helm only is a difference. An error that both have, or one of the run, is an error as
    in a build: without `keep_going`, nothing is compared. With `releases`, only these are compared, and only their
    problems count (see `selected`). Raises ProblemsError if a helm itself does not work.
    """

    def compiled(side: HelmSide, cluster: Cluster) -> _Result:
        result = _Result(Problems(cluster.name))
        result.compilation = compile_cluster(
            project,
            cluster,
            packages,
            side.helm,
            result.problems,
            inspect=lambda resolved, texts: result.inspected.append((resolved, texts)),
        )
        return result

    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool, closing_on_error(packages):
        # One helm after the other: each pool of helm processes counts on the memory for helm alone.
        first, second = (list(pool.map(partial(compiled, side), project.clusters)) for side in (old, new))
        pairs = list(zip(first, second, strict=True))
    if releases:
        chosen = selected(releases, [_compilation(one).keys | _compilation(two).keys for one, two in pairs])
        for one in (result for pair in pairs for result in pair):
            one.compilation = restricted(_compilation(one), chosen)
            one.problems = problems_of(one.problems, chosen)
    found = Problems()
    failed: list[FailedRelease] = []
    differences = []
    masks = Masks()
    for cluster, (before, after) in zip(project.clusters, pairs, strict=True):
        only = _failing_once(cluster.name, before, after)
        failed += only
        found.take(_common_problems(before, after, {one.key for one in only}))
        broken = {*_compilation(before).failed, *_compilation(after).failed}
        sides = [restricted(one, one.keys - broken) for one in (_compilation(before), _compilation(after))]
        differing = compare_clusters(cluster.name, sides[0], sides[1], {}, masks)
        found.take(_not_by_helm(cluster.name, before, {one.key for one in differing}))
        differences += differing
    for warning in dict.fromkeys(packages.warnings()):
        found.warning(warning)
    for note in unknown_hosts_note(_compilation(one) for one, _ in pairs):
        found.note(note)
    if has_errors(found) and not keep_going:
        return Compared(None, tuple(found))
    total = sum(len(_compilation(one).keys | _compilation(two).keys) for one, two in pairs)
    names = _names(old, new)
    several = len(project.outputs) > 1
    comparison = Comparison(names[0], "", (total, total), tuple(differences), False, several, names[1])
    return Compared(HelmComparison(names, total, view(comparison), tuple(failed)), tuple(found))


def _compilation(result: _Result) -> Compilation:
    if result.compilation is None:
        raise AssertionError("compiled")
    return result.compilation


def _failing_once(cluster: str, before: _Result, after: _Result) -> list[FailedRelease]:
    """Return the Releases of a cluster that fail with one helm only, other than for lack of time or memory."""
    found = []
    sides = ((before, after, True), (after, before, False))
    for one, other, old in sides:
        for key in sorted({*_compilation(one).failed} - {*_compilation(other).failed}):
            problems = tuple(each for each in one.problems if each.release == key and each.severity == "error")
            if problems and not any(each.code in _OF_THE_RUN for each in problems):
                found.append(FailedRelease(cluster, key, old, problems))
    return sorted(found, key=lambda one: (one.key.split("/"), one.old))


def _common_problems(before: _Result, after: _Result, once: set[str]) -> Iterator[Problem]:
    """Yield each problem once, without the errors of the Releases in `once`, which are differences.

    Both helms can report the error of a template in other words, so a Release that fails with both has the errors of
    the first one only.
    """
    failed = {*_compilation(before).failed}
    for problem in before.problems:
        if problem.severity != "error" or problem.release not in once:
            yield problem
    for problem in after.problems:
        if problem.severity != "error" or problem.release is None or problem.release not in {*once, *failed}:
            yield problem


def _not_by_helm(cluster: str, result: _Result, differing: set[str]) -> Iterator[Problem]:
    """Yield warnings for the Releases in `differing` whose templates print something else in each run."""
    problems = Problems(cluster)
    for resolved, texts in result.inspected:
        for one in resolved:
            if one.release.key in differing:
                for problem in varying_results(one, texts[one.package.reference]):
                    problems.warning(problem, release=one.release.key)
    yield from problems


def _names(old: HelmSide, new: HelmSide) -> tuple[str, str]:
    """Return what to call both, such as `helm 3.17.3`; with the path if the versions are the same."""
    if old.version != new.version:
        return f"helm {old.version}", f"helm {new.version}"
    return f"helm {old.version} ({old.path})", f"helm {new.version} ({new.path})"


def helm_lines(comparison: HelmComparison) -> Iterator[str]:
    """Yield the lines of the report; the summary comes last."""
    for one in comparison.failed:
        cluster = f"{one.cluster}: " if comparison.several else ""
        yield printable(f"! {cluster}{one.key} fails with {_failing(comparison, one)} only")
        for line in problem_lines(one.problems):
            yield f"    {line}"
        yield ""
    *lines, summary = list(text_lines(comparison.view)) or [""]
    yield from lines
    old, new = comparison.names
    if not comparison.differs:
        total = plural(comparison.total, "Release")
        yield printable(f"{total} compiled with {old} and with {new}: the results are the same")
        return
    failures = [
        f"{plural(count, 'Release')} fail{'s' if count == 1 else ''} with {name} only"
        for name in (old, new)
        if (count := sum(_failing(comparison, one) == name for one in comparison.failed))
    ]
    yield printable("; ".join([summary or f"{new} compared with {old}: no values differ", *failures]))


def _failing(comparison: HelmComparison, one: FailedRelease) -> str:
    return comparison.names[0 if one.old else 1]


def helm_report(
    helms: tuple[HelmSide, HelmSide] | None, comparison: HelmComparison | None, diagnostics: Sequence[Problem]
) -> dict[str, Any]:
    """Return the report that `schemas/kcd-gen/helm-comparison-v1alpha1.json` describes.

    `helms` are None if one of them does not work, and `comparison` is None if errors prevented it.
    """
    differing = comparison.view.comparison if comparison else None
    old, new = ({"version": one.version, "path": str(one.path)} for one in helms) if helms else (None, None)
    body = {
        "version": {"kcd-gen": __version__},
        "old": old,
        "new": new,
        "summary": {
            "releases": comparison.total,
            "changed": len(differing.releases),
            "failed": len(comparison.failed),
            "values": differing.values,
        }
        if comparison and differing
        else None,
        "releases": [release_report(one) for one in differing.releases] if differing else [],
        "failed": [_failed_report(one) for one in comparison.failed] if comparison else [],
        "repeats": [repeat_report(one) for one in comparison.view.repeats] if comparison else [],
    }
    return envelope("HelmComparison", body, diagnostics)


def _failed_report(one: FailedRelease) -> dict[str, Any]:
    namespace, _, name = one.key.partition("/")
    return {
        **identity(one.cluster, namespace, name),
        "with": "old" if one.old else "new",
        "problems": [problem_report(problem) for problem in one.problems],
    }
