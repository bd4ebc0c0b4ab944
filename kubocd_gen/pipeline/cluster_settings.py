"""The combined Configs of a cluster, which all of its Releases depend on."""

from __future__ import annotations

from collections.abc import Sequence

from kubocd_gen.compiler.settings import Settings, combine_configs
from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.sources.cluster_resources import ClusterResources


def settings_of(resources: ClusterResources) -> Settings | tuple[ProblemsError, ...]:
    """Combine the cluster's Configs. Returns what is wrong if one is invalid."""
    if resources.broken_configs:
        return resources.broken_configs
    try:
        return combine_configs(resources.configs, resources.kubocd_namespace)
    except ProblemsError as errors:
        return (errors,)


def report_broken_configs(broken: Sequence[ProblemsError], resources: ClusterResources, problems: Problems) -> None:
    """Add what is wrong with the Configs to `problems`. It is an error for every Release."""
    for one in broken:
        problems.error(one)
        for release in resources.releases:
            problems.error(one, release=release.key)
