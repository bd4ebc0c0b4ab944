"""Collect the packages and names of a project for `kcd-gen schema sources`."""

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
    """Return the packages that the Releases of all clusters use, and the names in the sources.

    Problems are added to `findings`.
    """
    found: dict[tuple[str, str], dict[str, Package]] = {}  # by digest
    contexts: set[tuple[str, str]] = set()
    roles: set[str] = set()
    strategies: set[str] = set()
    for cluster in project.clusters:
        problems = Problems(cluster.name)
        resources, settings, _ = read_cluster(project, cluster, problems)
        contexts.update((context.ref.namespace, context.ref.name) for context in resources.contexts)
        if settings is not None:
            strategies.update(settings.strategies)
            roles |= settings.cluster_roles
            resolved = find_packages(resources.releases, settings, packages, problems)
            for release in resources.releases:
                roles.update(release.roles)
                if release.key in resolved:
                    _, package = resolved[release.key]
                    name = release.package["repository"], release.package["tag"]
                    found.setdefault(name, {})[package.digest] = package
                    roles.update(_literal_roles(package.roles))
        findings.take(problems)
    by_name = {name: [by_digest[digest] for digest in sorted(by_digest)] for name, by_digest in found.items()}
    return Known(by_name, contexts, roles, strategies)


def _literal_roles(roles: TemplateSource) -> Iterator[str]:
    """Yield the roles of a package that contain no template."""
    for role in roles.tree if isinstance(roles.tree, list) else ():
        if isinstance(role, str) and "{{" not in role:
            yield role
