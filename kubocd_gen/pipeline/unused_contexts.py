"""Warnings about Contexts that nothing uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kubocd_gen.compiler.settings import Settings
from kubocd_gen.diagnostics.problems import Problem, Problems
from kubocd_gen.model.resources import Context, ContextRef
from kubocd_gen.sources.cluster_resources import ClusterResources


def warn_of_unused(
    resources: ClusterResources, others: Iterable[ContextRef], settings: Settings, problems: Problems, *, complete: bool
) -> None:
    """Warn of unused Contexts. `others` are those of Releases that are not in `resources`.

    `complete` is False if a source could not be read, so that there can be more Releases.
    """
    # An invalid resource could be the one that uses a Context, and a misspelled name could refer to it.
    if not complete or resources.failed or resources.broken_contexts:
        return
    if any(one.code == "missing-context" for one in problems.unordered()):
        return
    for context in _unused(resources, others, settings):
        message = f"the Context '{context.ref}' is not used by any Release, Config or Context"
        hint = "remove it, or add it to 'spec.contexts' of a Release or to 'defaultContexts' of a Config"
        problems.warning(Problem("unused-context", message, context.position("metadata", "name"), hint))


def _unused(resources: ClusterResources, others: Iterable[ContextRef], settings: Settings) -> Iterator[Context]:
    """Yield the Contexts that nothing in the sources names and that are not a namespace's default.

    Default Contexts count as used even if every Release skips them, because the next Release may use them. So do the
    parents of unused Contexts, because something does name them.
    """
    named = {*settings.default_contexts, *others}
    named.update(ref for release in resources.releases for ref in release.contexts)
    named.update(parent for context in resources.contexts for parent in context.parents if parent != context.ref)
    for context in resources.contexts:
        if context.ref not in named and context.ref.name not in settings.default_namespace_contexts:
            yield context
