"""`kcd-gen schema sources`: what a project's sources have, for the schema that editors check them by."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.diagnostics.problems import Problems
from kubocd_gen.editors.sources import Known
from kubocd_gen.model.package import Package, TemplateSource
from kubocd_gen.model.project import Project
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline import read_cluster
from kubocd_gen.pipeline.resolution import find_packages


def known_to(project: Project, packages: PackageSources, findings: Problems) -> Known:
    """The packages that the Releases of all clusters ask for, and the names in the sources; problems to `findings`."""
    found: dict[tuple[str, str], dict[str, Package]] = {}  # by digest
    contexts: set[tuple[str, str]] = set()
    roles: set[str] = set()
    strategies: set[str] = set()
    for cluster in project.clusters:
        here = Problems(cluster.name)
        resources, settings, _ = read_cluster(project, cluster, here)
        contexts.update((context.ref.namespace, context.ref.name) for context in resources.contexts)
        if settings is not None:
            strategies.update(settings.strategies)
            roles |= settings.cluster_roles
            resolved = find_packages(resources.releases, settings, packages, here)
            for release in resources.releases:
                roles.update(release.roles)
                if release.key in resolved:
                    _, package = resolved[release.key]
                    name = release.package["repository"], release.package["tag"]
                    found.setdefault(name, {})[package.digest] = package
                    roles.update(_written_roles(package.roles))
        findings.take(here)
    several = {name: [of_name[digest] for digest in sorted(of_name)] for name, of_name in found.items()}
    return Known(several, contexts, roles, strategies)


def _written_roles(roles: TemplateSource) -> Iterator[str]:
    """The roles that a package names without the help of a template."""
    for role in roles.tree if isinstance(roles.tree, list) else ():
        if isinstance(role, str) and "{{" not in role:
            yield role
