"""The steps from a Git checkout to Flux resources.

Each step takes the result of the previous step and does not modify it. Problems are collected in `Problems` rather than
raised, so that a broken Release does not hide the problems of others; a Release that fails in one step is skipped by
the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import Problem, Problems
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.template import Functions
from kubocd_gen.model.compilation import Compilation, Resolved
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline.assembly import assemble
from kubocd_gen.pipeline.package_rendering import Texts, render_packages, template_texts, written_templates
from kubocd_gen.pipeline.parameter_rendering import render_parameters
from kubocd_gen.pipeline.reproducibility import refuse_varying
from kubocd_gen.pipeline.resolution import resolve, settings_of
from kubocd_gen.pipeline.source_warnings import warn_of_likely_mistakes
from kubocd_gen.sources.cluster_resources import ClusterResources, load_cluster_resources
from kubocd_gen.sources.documents import read_resources

__all__ = ["Compilation", "compile_cluster", "read_cluster"]

Inspect = Callable[[Sequence[Resolved], Mapping[str, Texts], Problems], None]


def compile_cluster(
    project: Project,
    cluster: Cluster,
    packages: PackageSources,
    helm: Helm,
    findings: Problems,
    *,
    inspect: Inspect | None = None,
) -> Compilation:
    """Compile the sources of `cluster` and return the result, still in memory. All problems go to `findings`.

    After rendering, `inspect` is called with the Releases that have a package and a context, and with their packages'
    templates.
    """
    try:
        return _compiled(project, cluster, packages, helm, findings, inspect)
    except BudgetExceededError as error:
        findings.error(error)
        return Compilation(cluster, (), (), {}, complete=False)


def _compiled(
    project: Project,
    cluster: Cluster,
    packages: PackageSources,
    helm: Helm,
    findings: Problems,
    inspect: Inspect | None,
) -> Compilation:
    resources, settings, complete = read_cluster(project, cluster, findings)
    if settings is None:
        return assemble(resources, Settings(), (), project, cluster, findings, complete=complete)
    resolved = resolve(resources, settings, packages, findings, project.budget)
    warn_of_likely_mistakes(resources, settings, resolved, findings, complete=complete)
    functions = Functions(settings.image_redirects, project.hosts)
    with ThreadPoolExecutor(1) as background:  # two helm runs that do not depend on each other
        texts = background.submit(template_texts, resolved, helm)
        parameters = render_parameters(resolved, functions, helm, findings)
        helm.prepare(written_templates(parameters))
    if project.locked:
        parameters = refuse_varying(parameters, texts.result(), findings)
    rendered = render_packages(parameters, texts.result(), functions, helm, findings)
    if inspect is not None:
        inspect(resolved, texts.result(), findings)
    return assemble(resources, settings, rendered, project, cluster, findings, complete=complete)


def read_cluster(
    project: Project, cluster: Cluster, findings: Problems
) -> tuple[ClusterResources, Settings | None, bool]:
    """Read the sources of `cluster`.

    Returns the resources, the settings (None if a Config is invalid), and whether the sources were read completely. If
    a source cannot be read, there can be more Releases.
    """
    outputs = [other.output for other in project.clusters]
    sources = read_resources(
        cluster.sources,
        project.root,
        outputs,
        findings,
        places=cluster.places,
        origin=project.origin,
        expand_env=project.expand_env,
        files=project.files,
        budget=project.budget,
    )
    complete = sources.complete and not any(one.severity == "error" for one in findings)  # a source may not exist
    resources = load_cluster_resources(sources, cluster.namespace, cluster.kubocd_namespace, findings)
    if complete and not (resources.releases or resources.failed):
        findings.warning(_no_releases(cluster))
    return resources, settings_of(resources, findings), complete


def _no_releases(cluster: Cluster) -> Problem:
    return Problem(
        "no-releases",
        f"the sources of cluster '{cluster.name}' contain no Release",
        hint=f"check the sources of the cluster: {', '.join(cluster.sources)}",
    )
