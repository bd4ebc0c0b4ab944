"""The steps from a Git checkout to Flux resources.

Each step takes the result of the previous step and does not modify it. Problems are collected in `Problems` rather than
raised, so that a broken Release does not hide the problems of others; a Release that fails in one step is skipped by
the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.checkout.discovery import SUFFIXES
from kubocd_gen.diagnostics.problems import Problem, Problems, has_errors
from kubocd_gen.model.compilation import Compilation, Resolved
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.pipeline.kustomizations import (
    flux_kustomizations,
    refuse_ignored,
    substitutes_in_output,
    surroundings,
)
from kubocd_gen.pipeline.namespaces import existing_namespaces
from kubocd_gen.processes.timing import timed
from kubocd_gen.sources.cluster_resources import ClusterResources, load_cluster_resources
from kubocd_gen.sources.documents import Sources, read_resources

if TYPE_CHECKING:
    from kubocd_gen.compiler.settings import Settings
    from kubocd_gen.helm.engine import Helm
    from kubocd_gen.packages.source import PackageSources
    from kubocd_gen.pipeline.rendering import Texts
    from kubocd_gen.pipeline.suspended_providers import WrittenOutput

_log = logging.getLogger(__name__)

__all__ = ["Compilation", "compile_cluster", "read_cluster"]

Inspect: TypeAlias = "Callable[[Sequence[Resolved], Mapping[str, Texts]], None]"


def compile_cluster(
    project: Project,
    cluster: Cluster,
    packages: PackageSources,
    helm: Helm,
    problems: Problems,
    *,
    inspect: Inspect | None = None,
    written: WrittenOutput | None = None,
) -> Compilation:
    """Compile the sources of `cluster` and return the result, still in memory. All problems go to `problems`.

    After rendering, `inspect` is called with the Releases that have a package and a context, and with their packages'
    templates. `written` returns the output from which the HelmReleases of suspended Releases are kept, None if it is
    not known; by default, it is that of the cluster, on disk.
    """
    # What compiles is not imported by commands that only read sources, or that have nothing to compile.
    from kubocd_gen.compiler.settings import Settings
    from kubocd_gen.helm.template import Functions
    from kubocd_gen.pipeline.assembly import assemble
    from kubocd_gen.pipeline.portability import refuse_varying
    from kubocd_gen.pipeline.rendering import render_packages, render_parameters, template_texts, written_templates
    from kubocd_gen.pipeline.resolution import resolve
    from kubocd_gen.pipeline.source_warnings import warn_of_likely_mistakes
    from kubocd_gen.pipeline.suspended import on_disk
    from kubocd_gen.pipeline.unknown_hosts import find_unknown_hosts

    written = written or partial(on_disk, cluster.output, project)
    phase = partial(timed, _log, level=logging.DEBUG)
    try:
        with phase("read sources", cluster.name):
            resources, settings, complete, substituted, existing = read_cluster(project, cluster, problems)
        if settings is None:
            nothing = assemble(
                resources, Settings(), (), project, cluster, problems, complete=complete, written=written
            )
            return replace(nothing, existing_namespaces=existing)
        with phase("resolve packages", cluster.name):
            resolved = resolve(resources, settings, packages, problems, project.budget)
        warn_of_likely_mistakes(resources, settings, resolved, problems, complete=complete)
        functions = Functions(settings.image_redirects, cluster.hosts)
        # Two helm runs that do not depend on each other:
        with phase("render parameters", cluster.name), ThreadPoolExecutor(1) as background:
            texts = background.submit(template_texts, resolved, helm)
            parameters = render_parameters(resolved, functions, helm, problems)
            helm.prepare(written_templates(parameters))
        if project.locked:
            parameters = refuse_varying(parameters, texts.result(), problems)
        with phase("render packages", cluster.name):
            rendered = render_packages(parameters, texts.result(), functions, helm, problems)
        if inspect is not None:
            inspect(resolved, texts.result())
        stopped = {one.release for one in problems if one.code == "unknown-host"}
        failed = [one for one in resolved if one.release.key in stopped]
        unknown = find_unknown_hosts(failed, texts.result(), functions, helm) if failed else frozenset()
        with phase("assemble", cluster.name):
            compilation = assemble(
                resources, settings, rendered, project, cluster, problems, complete=complete, written=written
            )
        compilation = replace(compilation, unknown_hosts=unknown, existing_namespaces=existing)
        return _keeping_variables(compilation) if substituted else compilation
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


class ReadCluster(NamedTuple):
    """What a cluster's sources define. `settings` is None if a Config is invalid.

    `complete` tells whether all sources were read: if not, there can be more Releases. `substituted` tells whether Flux
    substitutes variables in the cluster's output. `existing_namespaces` are those of a Compilation.
    """

    resources: ClusterResources
    settings: Settings | None
    complete: bool
    substituted: bool
    existing_namespaces: Mapping[str, str] | None


def _keeping_variables(compilation: Compilation) -> Compilation:
    releases = (replace(one, finish=replace(one.finish, keep_variables=True)) for one in compilation.releases)
    return replace(compilation, releases=tuple(releases))


def read_cluster(project: Project, cluster: Cluster, problems: Problems) -> ReadCluster:
    """Read the sources of `cluster`."""
    from kubocd_gen.pipeline.resolution import settings_of

    outputs = [other.output for other in project.clusters]
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
    )
    syncs = flux_kustomizations(project, sources, problems)
    refuse_ignored(project, cluster, sources, syncs, problems)
    if cluster.rendered:
        sources = _with_rendered(sources, project, cluster, problems)
    complete = sources.complete and not has_errors(problems)  # a source may not exist
    resources = load_cluster_resources(sources, cluster.namespace, cluster.kubocd_namespace, problems)
    if complete and not (resources.releases or resources.failed):
        where = ", ".join((*cluster.sources, *map(str, cluster.rendered)))
        hint = f"add Releases to the sources, in files that end in {', '.join(SUFFIXES)}, or fix the paths: {where}"
        message = f"the sources of cluster '{cluster.name}' contain no Release"
        problems.warning(Problem("no-releases", message, hint=hint))
    substituted = substitutes_in_output(project, cluster, syncs)
    existing = existing_namespaces(project, cluster, resources, syncs, surroundings(project, problems))
    return ReadCluster(resources, settings_of(resources, problems), complete, substituted, existing)
