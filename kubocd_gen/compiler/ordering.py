"""Roles compiled into order: which Release's HelmReleases wait for which.

In the cluster KuboCD holds a Release back until each role that it depends on is provided by a ready Release. Compiled,
its HelmReleases depend on those of one provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError, nearest

_NAMED = 3  # Releases in a hint


@dataclass(frozen=True, slots=True)
class Party:
    """A Release as the ordering sees it. `roles` is empty for one that is suspended or deploys nothing.

    `place` says where the Release depends on a role.
    """

    key: str
    roles: tuple[str, ...]
    dependencies: tuple[str, ...]
    place: Callable[[str], Position]


@dataclass(frozen=True, slots=True)
class Order:
    """Each Release's providers by its key, in order; problems and notes by the key of the Release they belong to."""

    providers: Mapping[str, tuple[str, ...]]
    errors: Mapping[str, ProblemsError]
    notes: Mapping[str, tuple[Problem, ...]]


def _cycle(party: Party, role: str, path: Sequence[str]) -> Problem:
    """Releases that would wait for each other for ever. `path` leads from the provider back to `party`."""
    return Problem(
        "dependency-cycle",
        f"the role '{role}' closes a cycle of dependencies: {' -> '.join((party.key, *path))}",
        position=party.place(role),
        hint="each waits for the next one, so that none would ever start; take one of the dependencies out",
    )


def order_by_roles(
    parties: Sequence[Party], cluster_roles: frozenset[str], absent: Mapping[str, str], unread: Sequence[str] = ()
) -> Order:
    """A provider for each role that a Release depends on and that the cluster itself does not have.

    Of several the first by namespace and name that closes no cycle is taken, and a note names the others. A Release
    does not satisfy itself. `absent` are roles that some Release would provide but does not, with the reason; `unread`
    are the Releases with errors, of which it is not known what their packages provide.
    A Release that can't be satisfied provides nothing either. A cycle is the one error of all that it leaves stuck.
    """
    remaining = {party.key: party for party in parties}
    errors: dict[str, ProblemsError] = {}
    reasons = dict(absent)
    cycles: dict[str, list[Problem]] = {}  # by a role that they keep from being provided
    members: dict[Problem, frozenset[str]] = {}  # the Releases of each cycle
    while True:
        graph, failed, notes = _attempt(
            sorted(remaining.values(), key=_sort_key), cluster_roles, reasons, cycles, members, unread
        )
        if not failed:
            return Order({key: tuple(sorted(found)) for key, found in graph.items()}, errors, notes)
        errors |= failed
        for key, problems in failed.items():
            for role in remaining.pop(key).roles:
                reasons.setdefault(role, f"{key} provides it, but has errors itself")
                cycles.setdefault(role, []).extend(one for one in problems.problems if one in members)


def _sort_key(party: Party) -> tuple[str, ...]:
    return tuple(party.key.split("/"))


def _attempt(
    parties: Sequence[Party],
    cluster_roles: frozenset[str],
    reasons: Mapping[str, str],
    cycles: Mapping[str, Sequence[Problem]],
    members: dict[Problem, frozenset[str]],
    unread: Sequence[str],
) -> tuple[dict[str, set[str]], dict[str, ProblemsError], dict[str, tuple[Problem, ...]]]:
    by_role: dict[str, list[str]] = {}
    for party in parties:
        for role in party.roles:
            by_role.setdefault(role, []).append(party.key)
    graph: dict[str, set[str]] = {party.key: set() for party in parties}
    problems: dict[str, list[Problem]] = {}
    notes: dict[str, tuple[Problem, ...]] = {}
    choices: list[tuple[int, Party, str, list[str]]] = []
    for party in parties:
        for role in party.dependencies:
            if role in cluster_roles:
                continue
            providers = [key for key in by_role.get(role, ()) if key != party.key]
            if providers:
                choices.append((len(providers), party, role, providers))
            else:
                known = next((cycle for cycle in cycles.get(role, ()) if party.key in members[cycle]), None)
                problem = known or _unmet(party, role, by_role, cluster_roles, reasons, unread)
                problems.setdefault(party.key, []).append(problem)
    # Where there is no choice first: so a choice is never made that closes a cycle which another would have avoided.
    for _, party, role, providers in sorted(choices, key=lambda choice: choice[0] > 1):
        taken = next((key for key in providers if not _path(graph, key, party.key)), None)
        if taken is None:
            path = _path(graph, providers[0], party.key)
            cycle = _cycle(party, role, path)
            members[cycle] = frozenset(path)
            problems.setdefault(party.key, []).append(cycle)
            continue
        graph[party.key].add(taken)
        others = [key for key in providers if key != taken]
        if others:
            notes[party.key] = (*notes.get(party.key, ()), _choice(party, role, taken, others))
    return graph, {key: ProblemsError(*found) for key, found in problems.items()}, notes


def _path(graph: Mapping[str, set[str]], start: str, goal: str) -> list[str]:
    """The Releases from `start` to `goal` along the dependencies; empty where there is no way."""
    came_from: dict[str, str | None] = {start: None}
    queue = [start]
    for key in queue:
        if key == goal:
            path: list[str] = []
            step: str | None = key
            while step is not None:
                path.append(step)
                step = came_from[step]
            return path[::-1]
        for after in sorted(graph.get(key, ())):
            if after not in came_from:
                came_from[after] = key
                queue.append(after)
    return []


def _unmet(
    party: Party,
    role: str,
    by_role: Mapping[str, Sequence[str]],
    cluster_roles: frozenset[str],
    reasons: Mapping[str, str],
    unread: Sequence[str],
) -> Problem:
    own = f"{party.key} provides it itself, which does not count" if role in party.roles else None
    reason = reasons.get(role) or own
    if reason:
        return Problem("unmet-role", f"{party.key} depends on the role '{role}': {reason}", position=party.place(role))
    hint = "add it to 'clusterRoles' of a Config if the cluster has it, or build with '--dependencies ignore'"
    if unread:
        more = f" and {len(unread) - _NAMED} more" if len(unread) > _NAMED else ""
        hint = f"a Release with errors may provide it; mend those first: {', '.join(unread[:_NAMED])}{more}"
    hint = nearest("did you mean '{}'?", role, {*by_role, *cluster_roles}) or hint
    return Problem(
        "unmet-role",
        f"{party.key} depends on the role '{role}', which no Release and no Config provides",
        position=party.place(role),
        hint=hint,
    )


def _choice(party: Party, role: str, taken: str, others: Sequence[str]) -> Problem:
    return Problem(
        "several-providers",
        f"{party.key} waits for {taken} for the role '{role}', which {', '.join(others)} "
        f"provide{'s' if len(others) == 1 else ''} too",
        position=party.place(role),
    )
