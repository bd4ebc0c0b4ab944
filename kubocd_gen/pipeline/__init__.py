"""The steps from a Git checkout to Flux resources.

Each step takes the result of the previous step and does not modify it. Problems are collected in `Problems` rather than
raised, so that a broken Release does not hide the problems of others; a Release that fails in one step is skipped by
the next.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.checkout.discovery import SUFFIXES
from kubocd_gen.diagnostics.problems import Problem, Problems, has_errors
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.pipeline.compile_run import CompileRun, Definitions, Inspect
from kubocd_gen.pipeline.kustomizations import (
    flux_kustomizations,
    refuse_ignored,
    substitutes_in_output,
    surroundings,
)
from kubocd_gen.pipeline.namespaces import existing_namespaces
from kubocd_gen.processes.timing import timed
from kubocd_gen.sources.cluster_resources import ClusterResources, load_definitions
from kubocd_gen.sources.documents import Sources, read_resources
from kubocd_gen.sources.known_admission import Admission
from kubocd_gen.sources.known_files import KnownFiles, identified

if TYPE_CHECKING:
    from kubocd_gen.compiler.settings import Settings
    from kubocd_gen.helm.engine import Helm
    from kubocd_gen.packages.source import PackageSources
    from kubocd_gen.pipeline.merging import Shards
    from kubocd_gen.pipeline.shards import Shard
    from kubocd_gen.pipeline.suspended_providers import WrittenOutput
    from kubocd_gen.state.store import State

_log = logging.getLogger(__name__)

__all__ = ["Compilation", "compile_cluster", "read_cluster"]


def compile_cluster(
    project: Project,
    cluster: Cluster,
    packages: PackageSources,
    helm: Helm,
    problems: Problems,
    *,
    inspect: Inspect | None = None,
    written: WrittenOutput | None = None,
    state: State | None = None,
    shard: Shard | None = None,
    shards: Shards | None = None,
) -> Compilation:
    """Compile the sources of `cluster` and return the result, still in memory. All problems go to `problems`.

    After rendering, `inspect` is called with the Releases that have a package and a context, and with their packages'
    templates. `written` returns the output from which the HelmReleases of suspended Releases are kept, None if it is
    not known; by default, it is that of the cluster, on disk. With `state`, Releases that an earlier run has compiled
    are restored from it; `inspect` is not called with these. With `shard`, only its Releases are compiled, and nothing
    is assembled; with `shards`, what they have compiled is added to the state.
    """
    try:
        with timed(_log, "read sources", cluster.name, level=logging.DEBUG):
            read = read_definitions(project, cluster, problems, state, portable=bool(shard or shards))
        if shard is not None:
            read = read.restricted(lambda key: shard.has(key), cluster.namespace)
        run = CompileRun(project, cluster, packages, helm, problems, read, shard is not None, shards)
        compilation = run.compile(state, written, inspect)
        compilation = replace(compilation, existing_namespaces=read.existing_namespaces)
        return _keeping_variables(compilation) if read.substituted else compilation
    except BudgetExceededError as error:
        problems.error(error)
        return Compilation(cluster, (), (), {}, complete=False)


def _with_rendered(sources: Sources, project: Project, cluster: Cluster, problems: Problems) -> Sources:
    from kubocd_gen.sources.rendered import read_rendered  # most projects have none

    resources, complete = read_rendered(
        cluster.rendered,
        project.root,
        problems,
        files=project.files,
        budget=project.budget,
        origin=project.origin,
        expand_env=project.expand_env,
    )
    return replace(sources, resources=(*sources.resources, *resources), complete=sources.complete and complete)


def _keeping_variables(compilation: Compilation) -> Compilation:
    releases = (replace(one, finish=replace(one.finish, keep_variables=True)) for one in compilation.releases)
    return replace(compilation, releases=tuple(releases))


def read_cluster(project: Project, cluster: Cluster, problems: Problems) -> ReadCluster:
    """Read the sources of `cluster`. The settings are None if a Config is invalid, which fails every Release."""
    from kubocd_gen.pipeline.compile_run import admitted

    read = read_definitions(project, cluster, problems)
    return ReadCluster(*admitted(read.resources, cluster.namespace, problems), read.complete)


class ReadCluster(NamedTuple):
    """What a cluster's sources define. `settings` is None if a Config is invalid.

    `complete` tells whether all sources were read: if not, there can be more Releases.
    """

    resources: ClusterResources
    settings: Settings | None
    complete: bool


def read_definitions(
    project: Project, cluster: Cluster, problems: Problems, state: State | None = None, *, portable: bool = False
) -> Definitions:
    """Read the sources of `cluster`. Its Releases are not admitted yet.

    If `portable`, all resources are identified, also those of files that a state can't know.
    """
    outputs = [other.output for other in project.clusters]
    settings = repr((project.files, project.limits, cluster.namespace))
    known = KnownFiles(state, settings) if state is not None and not project.origin else None
    sources = read_resources(
        cluster.sources,
        project.root,
        outputs,
        problems,
        places=cluster.places,
        origin=project.origin,
        expand_env=project.expand_env,
        files=project.files,
        budget=project.budget,
        exclude=cluster.exclude,
        known=known,
    )
    syncs = flux_kustomizations(project, sources, problems)
    refuse_ignored(project, cluster, sources, syncs, problems)
    if cluster.rendered:
        sources = _with_rendered(sources, project, cluster, problems)
    contents = known.contents if known else {}
    if portable:
        sources = replace(sources, resources=tuple(identified(sources.resources, contents)))
    complete = sources.complete and not has_errors(problems)  # a source may not exist
    resources = load_definitions(sources, cluster.namespace, cluster.kubocd_namespace, problems, Admission(state))
    if complete and not (resources.pending or resources.failed):
        where = ", ".join((*cluster.sources, *map(str, cluster.rendered)))
        hint = f"add Releases to the sources, in files that end in {', '.join(SUFFIXES)}, or fix the paths: {where}"
        message = f"the sources of cluster '{cluster.name}' contain no Release"
        problems.warning(Problem("no-releases", message, hint=hint))
    substituted = substitutes_in_output(project, cluster, syncs)
    existing = existing_namespaces(project, cluster, resources, syncs, surroundings(project, problems))
    return Definitions(resources, complete, substituted, existing, contents)
