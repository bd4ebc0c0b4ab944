"""Contexts: their effective values, and what one Release sees of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from kubocd_gen.budget.spending import Budget
from kubocd_gen.compiler.merge import merge, spend_values
from kubocd_gen.compiler.parameters import go_json
from kubocd_gen.compiler.settings import Settings, default_context_position
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import known_names
from kubocd_gen.model.releases import Config, Context, ContextRef, Release

Place: TypeAlias = Callable[[], Position]  # looked up only where a message needs it, because that reads the file again

_NAMED = 3  # places where a Context of the wanted name is
_CYCLE = "take one of the 'parents' out"
_DEEPEST = 100  # parents of parents; nobody writes more, and the walk must end before Python's own limit


class ContextTrees:
    """The Contexts of a cluster with their parents merged in; each is worked out once.

    `broken` are Contexts that the cluster would refuse, with why: who names one gets that error.
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

    def effective(self, ref: ContextRef, place: Place) -> Mapping[str, Any]:
        """Each parent's effective value in list order, then the Context's own on top.

        Raises ProblemsError, at the cause, for a Context that does not exist (`place` is where it is named), has no
        `context`, or inherits from such a one or from itself.
        """
        return self._resolve(ref, place, ())

    def together(
        self, refs: tuple[ContextRef, ...], places: Mapping[ContextRef, Place], defaults: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """`defaults`, then the effective values of `refs`, the later on top. Equal arguments give the same object."""
        key = (refs, go_json(defaults))
        if key not in self._merged:
            merged = defaults
            for ref in refs:
                merged = self._merge(merged, self.effective(ref, places[ref]))
            if refs:
                spend_values(merged, self._budget)  # each is written out, whatever it shares with others
            self._merged[key] = merged
        return self._merged[key]

    def place(self, refs: Sequence[ContextRef], path: Sequence[str | int]) -> Position | None:
        """Where the value at `path` was written: in the last of `refs`, or of their parents, that holds it."""
        for ref in reversed(refs):
            context = self._contexts[ref]
            if _holds(context.context, path):
                return context.position("spec", "context", *path)
            inherited = self.place(context.parents, path)
            if inherited is not None:
                return inherited
        return None

    def _resolve(self, ref: ContextRef, place: Place, chain: tuple[ContextRef, ...]) -> Mapping[str, Any]:
        if ref in self._effective:
            return self._effective[ref]
        if ref in self._broken:
            raise self._broken[ref]
        context = self._contexts.get(ref)
        if context is None:
            raise ProblemsError(self._missing(ref, place()))
        if ref in chain:
            loop = " -> ".join(str(one) for one in (*chain[chain.index(ref) :], ref))
            raise ProblemsError(
                Problem(
                    "context-cycle",
                    f"the Context '{ref}' inherits from itself: {loop}",
                    position=place(),
                    hint=_CYCLE,
                )
            )
        if len(chain) > _DEEPEST:
            raise ProblemsError(
                Problem(
                    "invalid-context",
                    f"the Context '{chain[0]}' has more than {_DEEPEST} generations of parents",
                    position=place(),
                )
            )
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

    def _merge(self, base: Mapping[str, Any], over: Mapping[str, Any]) -> Mapping[str, Any]:
        self._budget.spend("yaml-values", len(base) + len(over))
        return merge(base, over)

    def _own(self, context: Context) -> Mapping[str, Any]:
        if isinstance(context.context, Mapping):
            return context.context
        what = "has no 'context'" if context.context is None else "has a 'context' that is not a map"
        raise ProblemsError(
            Problem(
                "invalid-context",
                f"the Context '{context.ref}' {what}, so that KuboCD never makes it usable",
                position=context.position("spec", "context"),
                hint="write 'context: {}' for one without variables of its own",
            )
        )

    def _missing(self, ref: ContextRef, position: Position) -> Problem:
        inside = sorted(known.name for known in self._contexts if known.namespace == ref.namespace)
        elsewhere = sorted(str(known) for known in self._contexts if known.name == ref.name)
        hint = (
            nearest("did you mean '{}'?", ref.name, inside)
            or (f"there is {' and '.join(elsewhere[:_NAMED])}; add the namespace" if elsewhere else None)
            or known_names(f"the Contexts in the namespace '{ref.namespace}' are", inside, ref.name)
            or f"there is no Context in the namespace '{ref.namespace}'"
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
) -> tuple[tuple[ContextRef, ...], dict[ContextRef, Place]]:
    """The Contexts of a Release in merge order, repeats included, and where each is named.

    First Config's default contexts, then those that it wants in each namespace where they exist, then the Release's
    own. A Context that Config wants in the Release's namespace may be absent, whoever names it.
    """
    refs: list[ContextRef] = []
    places: dict[ContextRef, Place] = {}
    optional: set[ContextRef] = set()
    if not release.skip_default_context:
        in_namespace = [ContextRef(release.namespace, name) for name in settings.default_namespace_contexts]
        optional.update(in_namespace)
        for ref in (*settings.default_contexts, *in_namespace):
            refs.append(ref)
            places[ref] = partial(default_context_position, configs, ref)
    for index, ref in enumerate(release.contexts):
        refs.append(ref)
        places[ref] = partial(release.position, "spec", "contexts", index)
    return tuple(ref for ref in refs if ref in trees or ref not in optional), places
