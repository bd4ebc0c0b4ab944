"""What is allowed, and is probably not meant: warnings that stop nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import MOST, Problem, Problems
from kubocd_gen.kube_yaml.errors import position_at
from kubocd_gen.model.compilation import Resolved
from kubocd_gen.model.package import Package
from kubocd_gen.model.releases import Context
from kubocd_gen.pipeline.literal_secrets import literal_secrets
from kubocd_gen.sources.cluster_resources import ClusterResources

_VARIABLE = re.compile(r"(?<!\$)\$\{[A-Za-z0-9_]+\}")


def notice(
    resources: ClusterResources, settings: Settings, resolved: Sequence[Resolved], findings: Problems, *, complete: bool
) -> None:
    """Warn of Contexts that no one uses, literal secrets in the sources, and `${NAME}` in a package's manifest.

    `complete` is False where a source could not be read, and there may be Releases that are not known.
    """
    packages = {one.package.reference: one.package for one in resolved}
    for package in packages.values():
        for warning in _variables(package):
            findings.warning(warning)
    for warning, key in literal_secrets(resources):
        findings.warning(warning, release=key)
    # A resource that can't be read, or is refused, may be the one that names a Context; a misspelt name may mean one.
    misspelt = any(one.code == "missing-context" for one in findings)
    if complete and resources.releases and not (resources.failed or resources.broken_contexts or misspelt):
        for context in _unused(resources, settings):
            findings.warning(
                Problem(
                    "unused-context",
                    f"the Context '{context.ref}' is named by no Release, Config or Context",
                    position=context.position("metadata", "name"),
                    hint="remove it, or name it in 'spec.contexts' of a Release or in 'defaultContexts' of a Config",
                )
            )


def _variables(package: Package) -> Iterator[Problem]:
    """`${NAME}` in a pulled manifest: the controller would replace it from its own environment, kcd-gen never does."""
    for match in islice(_VARIABLE.finditer(package.text), MOST):
        place = position_at(package.text, package.path, match.start())
        yield Problem(
            "variable-in-manifest",
            f"package {package.label} holds '{match[0]}', which is taken as text",
            position=place,
            hint="KuboCD's controller would replace it from its own environment",
        )


def _unused(resources: ClusterResources, settings: Settings) -> Iterator[Context]:
    """The Contexts that nothing in the sources names, and that no namespace has as its default.

    A default counts where every Release skips it, too: it is there for the next one. So does a Context's parent
    whatever becomes of the child, or else the warning would be untrue.
    """
    named = set(settings.default_contexts)
    named.update(ref for release in resources.releases for ref in release.contexts)
    named.update(parent for context in resources.contexts for parent in context.parents if parent != context.ref)
    for context in resources.contexts:
        if context.ref not in named and context.ref.name not in settings.default_namespace_contexts:
            yield context
