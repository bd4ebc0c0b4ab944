"""Check that no kustomization changes what a cluster's sources define."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import read_source
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.files.paths import display_path
from kubocd_gen.kustomize.kustomization import Kustomizations, substitutes
from kubocd_gen.model.project import Cluster, Project
from kubocd_gen.model.resources import KUBOCD_GROUP, Resource
from kubocd_gen.sources.documents import KUBOCD_CHART, Sources
from kubocd_gen.sources.flux_sync import Surroundings, Sync, lies_below, survey, sync_of
from kubocd_gen.sources.ignored_kustomizations import PlainSources, find_ignored


def flux_kustomizations(project: Project, sources: Sources, problems: Problems) -> list[Sync]:
    """Return the Flux Kustomizations in `sources` and in the rest of the checkout.

    For a revision, the rest is that of the working tree: only the files that a project names are read from a revision.
    """
    own = [sync for one in sources.resources if (sync := sync_of(one, one.file.path))]
    known = {(one.name, one.namespace, one.path, one.source) for one in own}
    others = surroundings(project, problems).syncs
    return [*own, *(one for one in others if (one.name, one.namespace, one.path, one.source) not in known)]


def substitutes_in_output(project: Project, cluster: Cluster, syncs: Iterable[Sync]) -> bool:
    """Return whether Flux substitutes variables in the cluster's output."""
    output = Path(os.path.normpath(project.root / cluster.output / "flux"))
    top = project.files.root
    if not output.is_relative_to(top):
        output = Path(os.path.realpath(output))
    if not output.is_relative_to(top):
        return False
    inside = output.relative_to(top).as_posix()
    return any(
        lies_below(inside, sync.path) and sync.resource is not None and substitutes(sync.resource.spec)
        for sync in syncs
    )


def refuse_ignored(
    project: Project, cluster: Cluster, sources: Sources, syncs: Iterable[Sync], problems: Problems
) -> None:
    """Add an error for each kustomization that changes, adds or leaves out resources of the cluster's sources.

    A revision is not checked: only the files that it names are at hand.
    """
    compiled = [one for one in sources.resources if one.is_kubocd or _installs_kubocd(one)]
    if project.origin or cluster.ignore_kustomizations or not compiled:
        return

    def mentions(path: Path) -> bool:
        try:
            display = display_path(path, project.root)
            return read_source(path, display, (KUBOCD_GROUP.encode(),), project.files, project.budget) is not None
        except BudgetExceededError:
            raise
        except ProblemsError:
            return False

    plain = PlainSources(cluster.paths, project.root, compiled, sources.paths, cluster.namespace, mentions)
    reader = Kustomizations(project.root, project.files, project.budget)
    for problem in find_ignored(plain, reader, syncs):
        problems.error(problem)


def surroundings(project: Project, problems: Problems) -> Surroundings:
    """Return what the checkout has outside of the sources and outputs of the project's clusters."""
    top = project.files.root
    ignored = [cluster.output for cluster in project.clusters]
    ignored += [project.vendor] if project.vendor else []
    sources = [project.root / source for cluster in project.clusters for source in cluster.paths]

    def find() -> Surroundings:
        if project.origin:
            return Surroundings()
        skipped = [path for path in ignored if not top.is_relative_to(os.path.realpath(path))]
        return survey(top, skipped, sources, budget=budget, display_root=project.root)

    budget = Budget(project.limits)
    try:
        found: Surroundings = project.surroundings.get("", find)
    except BudgetExceededError as error:
        message = f"the checkout is too large to find the Flux Kustomizations that apply the sources: {error}"
        hint = "keep other files out of the project's checkout, or raise the limit with --limit files=N"
        problems.warning(Problem("flux-not-searched", message, hint=hint))
        return Surroundings()
    return found


def _installs_kubocd(resource: Resource) -> bool:
    return resource.kind == "HelmRelease" and KUBOCD_CHART in str(resource.spec.get("chart") or resource.spec)
