"""`kcd-gen build`: compile every cluster of a project and write what changed."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubocd_gen.budget.spending import COUNTED_LIMITS
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError, has_errors, nearest
from kubocd_gen.files.paths import display_path
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.output.drift import drift
from kubocd_gen.output.inventory import (
    KUSTOMIZATION,
    NAMESPACES,
    SHARED_RECORD,
    is_record,
    read_records,
    release_of,
)
from kubocd_gen.output.journal import is_interrupted, refuse_foreign_staging
from kubocd_gen.output.known import KnownOutput
from kubocd_gen.output.plan import FileChange, OutputFile, Plan, ReleaseOutput
from kubocd_gen.output.tree import Tree
from kubocd_gen.output.writer import plan_at_rest, write
from kubocd_gen.pipeline import Compilation, compile_cluster
from kubocd_gen.pipeline.known_releases import KnownReleases
from kubocd_gen.pipeline.namespaces import emitted_namespaces, is_as_written, namespaces_file
from kubocd_gen.pipeline.packages import closing_on_error
from kubocd_gen.pipeline.release_output import is_path, kept_output, release_output
from kubocd_gen.pipeline.removals import mass_removal
from kubocd_gen.pipeline.selection import problems_of, restricted, selected
from kubocd_gen.pipeline.server_image import in_step
from kubocd_gen.processes.timing import timed
from kubocd_gen.state.store import State, StateDoubtError, open_state

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from kubocd_gen.helm.engine import Helm
    from kubocd_gen.packages.source import PackageSources
    from kubocd_gen.pipeline.merging import Shards
    from kubocd_gen.pipeline.suspended import Kept

_PRUNE_DISABLED = "kustomize.toolkit.fluxcd.io/prune: disabled"
_CHARTS_IN_OUTPUT = re.compile(
    r"^ +kind: (?:HelmRepository|GitRepository|Bucket)$", re.MULTILINE
)  # as the source of a chart
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_CONSEQUENCES = {"updated": "overwrites it", "removed": "removes it"}
_CONFLICT = re.compile(rb"^<{7} ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Built:
    """The compilation of a cluster and the plan for its output, which is None if nothing can be written."""

    compilation: Compilation
    plan: Plan | None
    diagnostics: tuple[Problem, ...]
    drift: tuple[FileChange, ...] = ()  # what `--check` compares: without hr/ if `charts: separate`

    @property
    def cluster(self) -> Cluster:
        return self.compilation.cluster


def build(
    project: Project,
    packages: PackageSources,
    helm: Helm,
    *,
    jobs: int,
    keep_going: bool = False,
    allow_protected_removal: Collection[str] = (),
    allow_removals: int = 0,
    releases: Collection[str] = (),
    only_plan: bool = False,
    compare_kept: bool = False,
    before_writing: Callable[[Sequence[Compilation]], None] | None = None,
    waiting: Callable[[Path], None] | None = None,
    state_cache: Path | None = None,
    shards: Shards | None = None,
    fresh_state: bool = False,
) -> list[Built]:
    """Compile all clusters, plan all outputs, and write them unless `only_plan`. Return the clusters in project order.

    With `releases`, only these Releases are written or removed (see `selected`), and only their problems count. More
    than `allow_removals` removals of Releases are an error if they are all or most of a cluster's (`removals.py`).
    The output of a cluster with errors is not changed; without `keep_going`, neither are all others. With
    `compare_kept`, the HelmReleases of suspended Releases must be the same as in the revision where the branch started.
    `before_writing` is called with all compilations if they can be written; if it raises ProblemsError, nothing is.
    `waiting` is called with the path of an output that another process is writing, before waiting for that process.
    With the cache directory `state_cache`, what did not change since an earlier build is not compiled again, unless
    `fresh_state`; with `shards`, nor is what they have compiled. Raises StateDoubtError if it has to be: then the
    arguments can't be used again.
    """
    states: dict[str, State | None] = {}

    def compiled(cluster: Cluster) -> tuple[Compilation, Problems]:
        problems = Problems(cluster.name)
        state = State(None) if shards else None
        if state_cache:
            state = open_state(state_cache, state_name(project, cluster), project.directory, fresh=fresh_state)
        states[cluster.name] = state
        return compile_cluster(project, cluster, packages, helm, problems, state=state, shards=shards), problems

    def prepare(compiled: tuple[Compilation, Problems]) -> Built:
        compilation, problems = compiled
        cluster = compilation.cluster
        if releases:
            compilation, problems = restricted(compilation, chosen), problems_of(problems, chosen)
        plan = None
        if cluster.delivery.depends_on_flux and (keep_going or not has_errors(problems)):
            # most clusters have a chart server
            from kubocd_gen.pipeline.delivery_checks import check_delivery
            from kubocd_gen.pipeline.source_paths import outside_git, path_in_source

            if cluster.delivery.mode == "git" and path_in_source(cluster, project) is None:
                problems.error(outside_git(cluster))
            with problems.collect():
                check_delivery(project, compilation, problems)
        if keep_going or not has_errors(problems):
            try:
                refuse_foreign_staging(cluster.output)
                compilation = in_step(compilation, project, problems)
                kept = _kept(compilation, project, problems, compare=compare_kept)
                others = _others(cluster, chosen) if releases else ()
                with timed(_log, "plan", cluster.name, level=logging.DEBUG):
                    plan, notes = _plan(compilation, kept, others, project, allow_protected_removal, allow_removals)
                for note in notes:
                    problems.note(note)
                _warn_of_edits(plan, project, problems)
                if only_plan and is_interrupted(plan.root):
                    problems.note(
                        _interruption(plan, project, "a build was interrupted while writing, or is still writing")
                    )
            except ProblemsError as error:
                problems.error(error)
        compared = drift(plan, charts=project.charts == "output") if plan else ()
        return Built(compilation, plan, tuple(problems), compared)

    chosen: frozenset[str] = frozenset()
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool, closing_on_error(packages):
        if releases:
            every = list(pool.map(compiled, project.clusters))
            chosen = selected(releases, map(_keys, (one for one, _ in every)))
            prepared = list(pool.map(prepare, every))
        else:
            prepared = list(pool.map(lambda cluster: prepare(compiled(cluster)), project.clusters))

    _check_doubts(project, prepared, states)

    def save(built: Built) -> Built:
        if state := states[built.cluster.name]:
            state.save(complete=built.plan is not None and built.compilation.complete and not built.compilation.failed)
        return built

    if not keep_going and any(has_errors(built.diagnostics) for built in prepared):
        return [save(Built(built.compilation, None, built.diagnostics)) for built in prepared]
    if before_writing is not None:
        before_writing([built.compilation for built in prepared])
    return [save(built if only_plan else _written(built, project, waiting)) for built in prepared]


def _check_doubts(project: Project, prepared: Sequence[Built], states: Mapping[str, State | None]) -> None:
    """Raise StateDoubtError if what comes from a state can't be written, or is not what a full build has."""
    if project.budget.exhausted_resource in COUNTED_LIMITS and any(one and one.is_used for one in states.values()):
        raise StateDoubtError("a limit is exceeded, and where depends on the order of the work")
    for built in prepared:
        known: KnownReleases | None = built.compilation.state
        if known is not None and built.plan is not None:
            known.check(built.compilation.releases, {change.path for change in built.plan.pending})


def state_name(project: Project, cluster: Cluster) -> str:
    """Return the name of the state of a cluster: another checkout, cluster or output has another one."""
    return "\0".join((os.path.realpath(project.root), cluster.name, os.path.realpath(cluster.output)))


def _kept(compilation: Compilation, project: Project, problems: Problems, *, compare: bool) -> Mapping[str, Kept]:
    if not any(one.summary.suspended for one in compilation.releases):
        return {}
    from kubocd_gen.pipeline.suspended import read_kept

    return read_kept(compilation, project, problems, compare=compare)


def unknown_removals(built: Sequence[Built], names: Iterable[str]) -> Iterator[Problem]:
    """Yield a warning for each name in `--allow-protected-removal` that no Release has or had.

    Yields nothing if not all Releases are known.
    """
    known: set[str] = set()
    for one in built:
        if one.plan is None or not one.compilation.complete:
            return
        keys = [compiled.key for compiled in one.compilation.releases] + [*one.compilation.failed]
        keys += ["/".join(key) for key in one.plan.removed_releases()]
        known.update(keys, (key.partition("/")[2] for key in keys))
    for name in sorted(set(names) - known):
        message = f"--allow-protected-removal '{name}' matches no Release in the sources or the output"
        yield Problem("unknown-release", message, hint=nearest("did you mean '{}'?", name, known))


def is_current(built: Built) -> bool:
    """Return whether the output is up to date and no build was interrupted while writing it."""
    return built.plan is not None and not built.drift and not is_interrupted(built.plan.root)


def _warn_of_edits(plan: Plan, project: Project, problems: Problems) -> None:
    for change in plan.changes:
        if change.path == NAMESPACES and is_as_written(change.before or b""):
            continue
        if change.edited:
            path = display_path(plan.root / change.path, project.root)
            state = "was edited after kcd-gen wrote it"
            hint = "change the sources instead; committed edits can be restored from Git"
            if _CONFLICT.search(change.before or b""):
                state = "contains a merge conflict"
                hint = "resolve conflicts in the sources, then run 'kcd-gen build'"
            message = f"the file {state}; a build {_CONSEQUENCES[change.change]}"
            problems.warning(Problem("edited-output", message, position=Position(path), hint=hint))


def _interruption(plan: Plan, project: Project, state: str) -> Problem:
    position = Position(display_path(plan.root, project.root))
    return Problem("interrupted-output", f"{state}; the next build completes it first", position=position)


def _written(built: Built, project: Project, waiting: Callable[[Path], None] | None) -> Built:
    if built.plan is None:
        return built
    problems = Problems(built.cluster.name)
    try:
        root = built.plan.root
        with timed(_log, "write", built.cluster.name, level=logging.DEBUG):
            written = write(built.plan, waiting=partial(waiting, root) if waiting else None)
        if written.completed_earlier:
            problems.note(_interruption(written.plan, project, "an earlier build was interrupted while writing"))
        return replace(built, plan=written.plan, diagnostics=(*built.diagnostics, *problems))
    except ProblemsError as error:
        problems.error(error)
    return Built(built.compilation, None, (*built.diagnostics, *problems))


def _plan(
    compilation: Compilation,
    kept: Mapping[str, Kept],
    others: Sequence[ReleaseOutput],
    project: Project,
    allow_protected_removal: Collection[str],
    allow_removals: int,
) -> tuple[Plan, list[Problem]]:
    """Return the plan of a cluster's output, and notes about what it removes."""
    root = compilation.cluster.output
    known: KnownReleases | None = compilation.state
    outputs = [release_output(one, kept, known) for one in compilation.releases]
    outputs += others
    outputs += [kept_output(key) for key in compilation.failed if is_path(key)]
    # It is not known what was written for a Release with an invalid name, so nothing can be removed.
    complete = compilation.complete and all(map(is_path, compilation.failed))
    project.budget.spend("output", sum(file.size for one in outputs for file in one.files))

    def shared(paths: Sequence[str], listed: bool | None) -> Sequence[OutputFile]:
        return _shared_files(paths, listed, compilation.existing_namespaces)

    on_disk = KnownOutput(known.state if known else None)
    plan = plan_at_rest(root, outputs, shared, complete=complete, known=on_disk)
    notes = refuse_protected_removals(plan, project, allow_protected_removal)
    removed = ["/".join(key) for key in plan.removed_releases()]
    before = sum(is_record(change.path) and change.old is not None for change in plan.changes) if removed else 0
    position = Position(display_path(root, project.root))
    if error := mass_removal(removed, before, allow_removals, "this build", "Release", position):
        raise ProblemsError(error)
    return plan, notes


def _written_releases(cluster: Cluster) -> list[tuple[str, str]]:
    """Return the namespace and name of each Release in the output."""
    return [release_of(record) for record in read_records(Tree(cluster.output)) if record != SHARED_RECORD]


def _keys(compilation: Compilation) -> set[str]:
    """Return the keys of all Releases in the sources or the output of a cluster."""
    keys = {"/".join(key) for key in _written_releases(compilation.cluster)}
    return keys | {one.key for one in compilation.releases} | {*compilation.failed}


def _others(cluster: Cluster, chosen: Collection[str]) -> list[ReleaseOutput]:
    """Return the written Releases that are not in `chosen`, to be kept as they are."""
    return [
        ReleaseOutput(namespace, name, files=(), keep=True)
        for namespace, name in _written_releases(cluster)
        if f"{namespace}/{name}" not in chosen
    ]


def _shared_files(
    paths: Sequence[str], listed: bool | None, existing: Mapping[str, str] | None
) -> Sequence[OutputFile]:
    """Return `flux/kustomization.yaml` with these files of Releases as its resources, and `flux/namespaces.yaml`.

    The latter has their namespaces, without `existing` ones; it is left out if there is none. `listed` is whether
    the former lists it anyway.
    """
    names = emitted_namespaces((path.split("/")[1] for path in paths), existing)
    others = [namespaces_file(names)] if names else []
    listed = bool(names) if listed is None else listed
    files = tuple(sorted(path.removeprefix("flux/") for path in (*paths, *([NAMESPACES] if listed else []))))
    return [OutputFile(KUSTOMIZATION, _kustomization(files, is_empty=not paths)), *others]


@lru_cache(maxsize=8)
def _kustomization(files: tuple[str, ...], *, is_empty: bool) -> bytes:
    """Return `flux/kustomization.yaml` with these resources; `is_empty` if there is no Release."""
    kustomization: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(files),
    }
    if is_empty:
        # `kustomize build` accepts `resources: []`, but Flux rewrites the file without empty fields before it builds,
        # which then fails ("kustomization.yaml is empty"), and nothing is pruned. Without the file, Flux would scan the
        # directory, but Git does not keep empty directories. So the file gets a field that Flux keeps.
        kustomization["metadata"] = {"name": "kcd-gen"}
    return emit_documents([kustomization]).encode()


def refuse_protected_removals(plan: Plan, project: Project, allowed: Collection[str]) -> list[Problem]:
    """Return a note for each protected Release in `allowed` that the plan removes.

    Raises ProblemsError `protected-removal` for the others.
    """
    errors, notes = [], []
    for (namespace, name), text in sorted(plan.removed_releases().items()):
        key = f"{namespace}/{name}"
        if _PRUNE_DISABLED not in text:
            continue
        position = Position(display_path(plan.root / f"flux/{key}.yaml", project.root))
        charts = _CHARTS_IN_OUTPUT.search(text) is not None
        if {key, name}.intersection(allowed):
            message = f"the protected Release {key} stays in the cluster, because Flux does not uninstall it"
            message += ", but Flux does not find its charts any more" if charts else ""
            hint = "to uninstall it, add it again with 'protected: false', and remove it in the next commit"
            notes.append(Problem("protected-removal", message, position, hint))
            continue
        message = f"the Release {key} is protected, but this build would remove it from the output"
        lost = ", where Flux then does not find its charts" if charts else ""
        hint = (
            "to uninstall it, set 'protected: false' in one commit, and remove it in the next one; to keep it in the "
            f"cluster{lost}, add --allow-protected-removal {key}"
        )
        errors.append(Problem("protected-removal", message, position, hint))
    if errors:
        raise ProblemsError(*errors)
    return notes
