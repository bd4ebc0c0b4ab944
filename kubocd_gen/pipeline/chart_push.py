"""Push the charts of clusters with `delivery: oci` to their registry, and find those that were not pushed.

The digest of a chart's artifact is known without the registry, so `kcd-gen.lock` records what was pushed, not what the
output must contain. A build without the record warns: Flux can't pull what nobody pushed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from kubocd_gen.compiler.delivery import chart_artifacts
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.files.paths import display_path
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.model.project import LOCK_FILE, Cluster, Project
from kubocd_gen.oci.descriptors import MANIFEST_TYPE
from kubocd_gen.oci.endpoints import Access
from kubocd_gen.oci.reference import Reference, parse_reference
from kubocd_gen.packages.chart_artifact import ChartArtifact
from kubocd_gen.packages.lock import Lock
from kubocd_gen.pipeline.packages import holds_lock, network, project_lock, write_lock

if TYPE_CHECKING:
    from kubocd_gen.oci.registry import Registry

_SHOWN = 3  # charts that a message names


@dataclass(frozen=True, slots=True)
class ChartToPush:
    """A chart with the reference that Flux pulls it from. Charts of several Releases and clusters are the same one."""

    reference: Reference
    artifact: ChartArtifact
    access: Access


@dataclass(frozen=True, slots=True)
class PushedChart:
    """A chart in the registry, and whether this run has pushed it."""

    reference: str
    digest: str
    change: Literal["pushed", "unchanged"]


def push_and_record(
    project: Project,
    compilations: Sequence[Compilation],
    progress: Callable[[str], None],
    problems: Problems,
    *,
    jobs: int,
    prune: bool,
) -> list[PushedChart]:
    """Push the charts and write their digests to the lock. Raises ProblemsError; warnings go to `problems`.

    `prune` is set if `compilations` are those of the whole project.
    """
    from kubocd_gen.oci.registry import Registry  # slow to import

    registry = Registry(network(project, progress))
    try:
        pushed = push_charts(charts_to_push(compilations), registry, jobs=jobs)
    finally:
        for warning in registry.warnings():
            problems.warning(warning)
        registry.close()
    # Read again: another run can have recorded its charts in the meantime.
    new = with_pushed(project_lock(project) or Lock(), pushed, compilations, prune=prune)
    if not holds_lock(project, new):
        write_lock(project, new)
    return pushed


def check_pushed(project: Project, compilations: Sequence[Compilation], lock: Lock | None, problems: Problems) -> None:
    """Warn of charts that were never pushed. With `--locked`, raises ProblemsError instead."""
    found = list(unpushed_charts(project, compilations, lock))
    if found and project.locked:
        raise ProblemsError(*found)
    for one in found:
        problems.warning(one)


def charts_to_push(compilations: Iterable[Compilation]) -> list[ChartToPush]:
    """Return the charts that the compiled HelmReleases refer to in registries, sorted by reference."""
    found: dict[str, ChartToPush] = {}
    for compilation in compilations:
        repository = compilation.cluster.delivery.repository
        if compilation.cluster.delivery.mode != "oci" or repository is None:
            continue
        access = Access(insecure=repository.fields.get("insecure", False))
        for one in compilation.releases:
            for artifact in chart_artifacts(one.package, one.chart_files):
                name = f"{repository.url}/{artifact.repository}:{artifact.tag}"
                found[name] = ChartToPush(parse_reference(name), artifact, access)
    return [found[name] for name in sorted(found)]


def push_charts(charts: Sequence[ChartToPush], registry: Registry, *, jobs: int) -> list[PushedChart]:
    """Push the charts that the registry lacks. Raises ProblemsError with the problems of all that fail."""

    def push(one: ChartToPush) -> PushedChart | ProblemsError:
        try:
            return _push(one, registry)
        except ProblemsError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, min(jobs, len(charts)))) as pool:
        outcomes = list(pool.map(push, charts))
    errors = [problem for one in outcomes if isinstance(one, ProblemsError) for problem in one.problems]
    if errors:
        raise ProblemsError(*dict.fromkeys(errors))
    return [one for one in outcomes if isinstance(one, PushedChart)]


def _push(one: ChartToPush, registry: Registry) -> PushedChart:
    """Push blobs first and the tag last, so that nobody can pull an incomplete chart."""
    artifact, name = one.artifact, str(one.reference)
    existing = registry.has_manifest(one.reference, one.access)
    digest = artifact.manifest.digest
    if existing is not None:
        if existing.digest != digest:
            message = f"{name} exists with the digest {existing.digest}, but the chart has the digest {digest}"
            raise ProblemsError.of("tag-exists", message, hint="delete this tag: kcd-gen did not push it")
        return PushedChart(name, digest, "unchanged")
    registry.push_blob(one.reference, artifact.config_data, one.access)
    registry.push_blob(one.reference, artifact.archive, one.access)
    registry.push_manifest(one.reference, artifact.manifest_data, MANIFEST_TYPE, one.access)
    return PushedChart(name, digest, "pushed")


def with_pushed(lock: Lock, pushed: Iterable[PushedChart], compilations: Sequence[Compilation], *, prune: bool) -> Lock:
    """Return the lock with the digests of the pushed charts.

    With `prune`, the records of a registry's other charts are removed if all Releases that can use it are known: an
    incomplete compilation and a suspended Release, which keeps an earlier chart, can need them.
    """
    known = [one for one in compilations if one.cluster.delivery.mode == "oci" and one.cluster.delivery.repository]
    in_use = {repository.url for one in known if (repository := one.cluster.delivery.repository)}
    unknown = {
        repository.url
        for one in known
        if not one.complete or one.failed or any(release.summary.suspended for release in one.releases)
        if (repository := one.cluster.delivery.repository)
    }
    kept = {
        name: digest
        for name, digest in lock.charts.items()
        if not prune or (registry := name.rpartition("/")[0]) not in in_use or registry in unknown
    }
    return replace(lock, charts={**kept, **{one.reference: one.digest for one in pushed}})


def unpushed_charts(project: Project, compilations: Iterable[Compilation], lock: Lock | None) -> Iterator[Problem]:
    """Yield a problem for each cluster with charts that, by the lock, were never pushed."""
    recorded: Mapping[str, str] = lock.charts if lock else {}
    for compilation in compilations:
        missing = [
            str(one.reference)
            for one in charts_to_push([compilation])
            if recorded.get(str(one.reference)) != one.artifact.manifest.digest
        ]
        if missing:
            yield _unpushed(project, compilation.cluster, missing)


def _unpushed(project: Project, cluster: Cluster, missing: Sequence[str]) -> Problem:
    what = "1 chart is" if len(missing) == 1 else f"{len(missing)} charts are"
    names = ", ".join(missing[:_SHOWN]) + (" …" if len(missing) > _SHOWN else "")
    return Problem(
        "charts-not-pushed",
        f"cluster '{cluster.name}': {what} not recorded as pushed in {LOCK_FILE}, so Flux may not find them: {names}",
        Position(display_path(project.lock_path, project.root)),
        "run 'kcd-gen build --push-charts', and commit the lock with the output",
    )
