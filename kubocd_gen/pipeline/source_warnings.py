"""Warnings about sources that are valid but probably not intended."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import MOST, Problem, Problems
from kubocd_gen.kube_yaml.parser import position_at
from kubocd_gen.model.compilation import Resolved
from kubocd_gen.model.package import Package
from kubocd_gen.model.resources import Context
from kubocd_gen.pipeline.literal_secrets import literal_secrets
from kubocd_gen.sources.cluster_resources import ClusterResources

_VARIABLE = re.compile(r"(?<!\$)\$\{[A-Za-z0-9_]+\}")


def warn_of_likely_mistakes(
    resources: ClusterResources, settings: Settings, resolved: Sequence[Resolved], findings: Problems, *, complete: bool
) -> None:
    """Warn of unused Contexts, literal secrets in the sources, and `${NAME}` in a package's manifest.

    `complete` is False if a source could not be read, so that there can be more Releases.
    """
    packages = {one.package.reference: one.package for one in resolved}
    for package in packages.values():
        for warning in _variables(package):
            findings.warning(warning)
    for warning, key in literal_secrets(resources):
        findings.warning(warning, release=key)
    # An invalid resource could be the one that uses a Context, and a misspelt name could refer to it.
    misspelt = any(one.code == "missing-context" for one in findings)
    if complete and resources.releases and not (resources.failed or resources.broken_contexts or misspelt):
        for context in _unused(resources, settings):
            findings.warning(
                Problem(
                    "unused-context",
                    f"the Context '{context.ref}' is not used by any Release, Config or Context",
                    position=context.position("metadata", "name"),
                    hint="remove it, or add it to 'spec.contexts' of a Release or to 'defaultContexts' of a Config",
                )
            )


def _variables(package: Package) -> Iterator[Problem]:
    """Warn of `${NAME}` in a package's manifest, which only the controller expands, from its own environment."""
    for match in islice(_VARIABLE.finditer(package.text), MOST):
        position = position_at(package.text, package.path, match.start())
        yield Problem(
            "variable-in-manifest",
            f"'{match[0]}' in package {package.label} is not expanded",
            position=position,
            hint="rebuild the package with the value; the KuboCD controller would expand it from its own environment",
        )


def _unused(resources: ClusterResources, settings: Settings) -> Iterator[Context]:
    """Yield the Contexts that nothing in the sources names and that are not a namespace's default.

    Default Contexts count as used even if every Release skips them, because the next Release may use them. So do the
    parents of unused Contexts, because something does name them.
    """
    named = set(settings.default_contexts)
    named.update(ref for release in resources.releases for ref in release.contexts)
    named.update(parent for context in resources.contexts for parent in context.parents if parent != context.ref)
    for context in resources.contexts:
        if context.ref not in named and context.ref.name not in settings.default_namespace_contexts:
            yield context
