"""Resolve Contexts: merge each with its parents, and select those of a Release."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeAlias

from kubocd_gen.budget.spending import Budget
from kubocd_gen.compiler.settings import Settings, default_context_position
from kubocd_gen.compiler.values import go_json, merge, spend_values
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import known_names
from kubocd_gen.model.resources import Config, Context, ContextRef, Release

Locate: TypeAlias = Callable[[], Position]  # called only when a message needs the position: it parses the file again

_NAMED = 3  # Contexts with the same name in other namespaces that a hint lists
_CYCLE = "remove one of the 'parents'"
_DEEPEST = 100  # levels of parents; the recursion must end before Python's own limit


class ContextTrees:
    """The Contexts of a cluster, each merged with its parents. Every effective value is computed once.

    `broken` maps each Context that the cluster would reject to its error, which is raised again for every reference to
    the Context.
    """

    def __init__(
        self, contexts: Iterable[Context], broken: Mapping[ContextRef, ProblemsError], budget: Budget | None = None
    ) -> None:
        self._budget = budget or Budget()
        self._contexts = {context.ref: context for context in contexts}
        self._broken = dict(broken)
        self._effective: dict[ContextRef, Mapping[str, Any]] = {}
        self._merged: dict[tuple[tuple[ContextRef, ...], str], Mapping[str, Any]] = {}

    def __contains__(self, ref: ContextRef) -> bool:
        return ref in self._contexts or ref in self._broken

    def effective(self, ref: ContextRef, locate: Locate) -> Mapping[str, Any]:
        """Merge the effective values of the parents in list order, then the Context's own value on top.

        `locate` returns the position of the reference to the Context. Raises ProblemsError, with the position of the
        cause, if the Context or one of its parents does not exist, has no `context`, or inherits from itself.
        """
        return self._resolve(ref, locate, ())

    def together(
        self, refs: tuple[ContextRef, ...], positions: Mapping[ContextRef, Locate], defaults: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Merge the effective values of `refs` in order onto `defaults`. Equal arguments return the same object."""
        key = (refs, go_json(defaults))
        if key not in self._merged:
            merged = defaults
            for ref in refs:
                merged = self._merge(merged, self.effective(ref, positions[ref]))
            if refs:
                spend_values(merged, self._budget)  # a shared part counts in each result that contains it
            self._merged[key] = merged
        return self._merged[key]

    def position_of(self, refs: Sequence[ContextRef], path: Sequence[str | int]) -> Position | None:
        """Return the position of the value at `path` in the last of `refs`, or of their parents, that contains it."""
        waiting, seen = list(refs), set[ContextRef]()
        while waiting:
            ref = waiting.pop()
            if ref in seen:
                continue
            seen.add(ref)
            context = self._contexts[ref]
            if _holds(context.context, path):
                return context.position("spec", "context", *path)
            waiting += context.parents
        return None

    def _resolve(self, ref: ContextRef, locate: Locate, chain: tuple[ContextRef, ...]) -> Mapping[str, Any]:
        if ref in self._effective:
            return self._effective[ref]
        if ref in self._broken:
            raise self._broken[ref]
        context = self._contexts.get(ref)
        if context is None:
            raise ProblemsError(self._missing(ref, locate()))
        if ref in chain:
            loop = " -> ".join(str(one) for one in (*chain[chain.index(ref) :], ref))
            raise ProblemsError.of(
                "context-cycle", f"the Context '{ref}' inherits from itself: {loop}", position=locate(), hint=_CYCLE
            )
        if self._heights[ref] > _DEEPEST or len(chain) > _DEEPEST:  # in a long cycle, only the chain is too long
            raise ProblemsError(self._too_high(ref))
        try:
            merged: Mapping[str, Any] = {}
            for index, parent in enumerate(context.parents):
                at = partial(context.position, "spec", "parents", index)
                merged = self._merge(merged, self._resolve(parent, at, (*chain, ref)))
            merged = self._merge(merged, self._own(context))
        except ProblemsError as errors:
            self._broken[ref] = errors
            raise
        self._effective[ref] = merged
        return merged

    def _too_high(self, ref: ContextRef) -> Problem:
        """Return the problem of a Context with too many levels: that of the lowest one, which all above share."""
        heights = self._heights
        context = self._contexts[ref]
        while above := [one for one in context.parents if _DEEPEST < heights.get(one, 0) < heights[context.ref]]:
            context = self._contexts[above[0]]
        message = f"the Context '{context.ref}' has more than {_DEEPEST} levels of parents"
        return Problem("invalid-context", message, context.position("spec", "parents"))

    @cached_property
    def _heights(self) -> Mapping[ContextRef, int]:
        """The levels of parents of each Context; a parent that leads back to the Context does not count."""
        heights: dict[ContextRef, int] = {}
        entered: set[ContextRef] = set()
        for first in self._contexts:
            waiting = [first]
            while waiting:
                ref = waiting[-1]
                context = self._contexts.get(ref)
                if ref in heights or context is None:
                    waiting.pop()
                elif ref not in entered:
                    entered.add(ref)
                    waiting += [parent for parent in context.parents if parent not in entered]
                else:
                    heights[ref] = max((heights.get(parent, 0) + 1 for parent in context.parents), default=0)
                    waiting.pop()
        return heights

    def _merge(self, base: Mapping[str, Any], over: Mapping[str, Any]) -> Mapping[str, Any]:
        self._budget.spend("yaml-values", len(base) + len(over))
        return merge(base, over)

    def _own(self, context: Context) -> Mapping[str, Any]:
        if isinstance(context.context, Mapping):
            return context.context
        if context.context is None:
            what = "has no 'context' field, which KuboCD requires"
            hint = "set 'context: {}' if the Context has no variables of its own"
        else:
            what = "has a 'context' that is not a map"
            hint = "write the variables as a map, such as 'domain: example.com'; remove the '|' of a string"
        raise ProblemsError.of(
            "invalid-context",
            f"the Context '{context.ref}' {what}",
            position=context.position("spec", "context"),
            hint=hint,
        )

    def _missing(self, ref: ContextRef, position: Position) -> Problem:
        inside = sorted(known.name for known in self._contexts if known.namespace == ref.namespace)
        elsewhere = sorted(str(known) for known in self._contexts if known.name == ref.name)
        hint = (
            nearest("did you mean '{}'?", ref.name, inside)
            or (f"set the namespace; found {', '.join(elsewhere[:_NAMED])}" if elsewhere else None)
            or known_names(f"Contexts in the namespace '{ref.namespace}'", inside, ref.name)
            or f"create it; the namespace '{ref.namespace}' has no Contexts"
        )
        return Problem("missing-context", f"the Context '{ref}' does not exist", position=position, hint=hint)


def _holds(tree: Any, path: Sequence[str | int]) -> bool:
    for key in path:
        inside = range(len(tree)) if isinstance(tree, list) else tree if isinstance(tree, Mapping) else ()
        if key not in inside:
            return False
        tree = tree[key]
    return True


def select_contexts(
    release: Release, settings: Settings, trees: ContextTrees, configs: Sequence[Config]
) -> tuple[tuple[ContextRef, ...], dict[ContextRef, Locate]]:
    """Return the Contexts of a Release in merge order, repeats included, and the position of each reference.

    The order is that of KuboCD: `defaultContexts` of the Configs, `defaultNamespaceContexts` in the namespace of the
    Release, then the Release's own. A Context that `defaultNamespaceContexts` names can be absent, even if another
    list names it too.
    """
    refs: list[ContextRef] = []
    positions: dict[ContextRef, Locate] = {}
    optional: set[ContextRef] = set()
    if not release.skip_default_context:
        in_namespace = [ContextRef(release.namespace, name) for name in settings.default_namespace_contexts]
        optional.update(in_namespace)
        for ref in (*settings.default_contexts, *in_namespace):
            refs.append(ref)
            positions[ref] = partial(default_context_position, configs, ref)
    for index, ref in enumerate(release.contexts):
        refs.append(ref)
        positions[ref] = partial(release.position, "spec", "contexts", index)
    return tuple(ref for ref in refs if ref in trees or ref not in optional), positions
