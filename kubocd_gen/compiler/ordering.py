"""Compile roles into dependencies between HelmReleases.

In the cluster, KuboCD delays a Release until a ready Release provides each role that it depends on. In the compiled
output, its HelmReleases depend on those of one provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError, nearest

_NAMED = 3  # Releases that a hint lists


@dataclass(frozen=True, slots=True)
class Party:
    """The roles and dependencies of a Release. `roles` is empty for a Release that is suspended or deploys nothing.

    `locate` returns the position of a dependency on a role. `waits` are the keys of Releases for which the Release
    already waits.
    """

    key: str
    roles: tuple[str, ...]
    dependencies: tuple[str, ...]
    locate: Callable[[str], Position]
    waits: tuple[str, ...] = ()


class Absence(NamedTuple):
    """Why a role is not provided, as a clause. `cause` is the key of the Release whose errors are the reason."""

    reason: str
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """The sorted providers, the errors and the notes of each Release, all by the key of the Release."""

    providers: Mapping[str, tuple[str, ...]]
    errors: Mapping[str, ProblemsError]
    notes: Mapping[str, tuple[Problem, ...]]


def order_by_roles(
    parties: Sequence[Party], cluster_roles: frozenset[str], absent: Mapping[str, Absence], unread: Sequence[str] = ()
) -> Order:
    """Choose a provider for each role that a Release depends on, except the roles of the cluster itself.

    Of several providers, the first by namespace and name that closes no cycle is chosen, and a note lists the others. A
    Release cannot satisfy its own dependency. A Release with an unmet dependency provides nothing. All Releases of a
    cycle get the same error.

    `absent` maps each role that a Release would provide but does not, to the reason. `unread` are the keys of Releases
    with errors, whose roles are unknown.
    """
    remaining = {party.key: party for party in sorted(parties, key=lambda party: party.key.split("/"))}
    errors: dict[str, ProblemsError] = {}
    reasons = dict(absent)
    cycles: dict[str, list[Problem]] = {}  # by each role whose provider is in the cycle
    members: dict[Problem, frozenset[str]] = {}  # the Releases of each cycle
    while True:
        graph, failed, notes = _choose_providers(
            list(remaining.values()), cluster_roles, reasons, cycles, members, unread
        )
        if not failed:
            return Order({key: tuple(sorted(found)) for key, found in graph.items()}, errors, notes)
        errors |= failed
        for key, problems in failed.items():
            for role in remaining.pop(key).roles:
                reasons.setdefault(role, Absence(f"{key} provides it, but has errors", key))
                cycles.setdefault(role, []).extend(one for one in problems.problems if one in members)


def _choose_providers(
    parties: Sequence[Party],
    cluster_roles: frozenset[str],
    reasons: Mapping[str, Absence],
    cycles: Mapping[str, Sequence[Problem]],
    members: dict[Problem, frozenset[str]],
    unread: Sequence[str],
) -> tuple[dict[str, set[str]], dict[str, ProblemsError], dict[str, tuple[Problem, ...]]]:
    by_role: dict[str, list[str]] = {}
    for party in parties:
        for role in party.roles:
            by_role.setdefault(role, []).append(party.key)
    graph: dict[str, set[str]] = {party.key: {*party.waits} for party in parties}
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
    # Roles with a single provider first: then no choice closes a cycle that another provider would have avoided.
    awaited = {
        key for party in parties for key in party.waits
    }  # only a Release that another one waits for can be part of a cycle
    for _, party, role, providers in sorted(choices, key=lambda choice: choice[0] > 1):
        chosen = next((key for key in providers if party.key not in awaited or not _path(graph, key, party.key)), None)
        if chosen is None:
            path = _path(graph, providers[0], party.key)
            cycle = Problem(
                "dependency-cycle",
                f"the role '{role}' is part of a dependency cycle: {' -> '.join((party.key, *path))}",
                position=party.locate(role),
                hint="remove one of the dependencies; otherwise each Release waits for the next one and none starts",
            )
            members[cycle] = frozenset(path)
            problems.setdefault(party.key, []).append(cycle)
            continue
        graph[party.key].add(chosen)
        awaited.add(chosen)
        others = [key for key in providers if key != chosen]
        if others:
            message = (
                f"{party.key} waits for {chosen}, which provides the role '{role}'; {', '.join(others)} "
                f"provide{'s' if len(others) == 1 else ''} it too"
            )
            note = Problem("several-providers", message, position=party.locate(role))
            notes[party.key] = (*notes.get(party.key, ()), note)
    return graph, {key: ProblemsError(*found) for key, found in problems.items()}, notes


def _path(graph: Mapping[str, set[str]], start: str, goal: str) -> list[str]:
    """Return the Releases on the shortest chain of dependencies from `start` to `goal`; empty if there is none."""
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


_REASON_HINTS = {
    "has errors": "fix the errors of that Release first",
    "is suspended": "remove 'suspended' from that Release, or this dependency",
    "no enabled module": "enable a module of that Release, or remove this dependency",
}


def _unmet(
    party: Party,
    role: str,
    by_role: Mapping[str, Sequence[str]],
    cluster_roles: frozenset[str],
    reasons: Mapping[str, Absence],
    unread: Sequence[str],
) -> Problem:
    absence = reasons.get(role)
    if absence is None and role in party.roles:
        absence = Absence(f"{party.key} itself provides it, but a Release cannot satisfy its own dependency")
    if absence is not None:
        reason = absence.reason
        hint = next((hint for end, hint in _REASON_HINTS.items() if reason.endswith(end)), "remove this dependency")
        message = f"{party.key} depends on the role '{role}': {reason}"
        return Problem("unmet-role", message, party.locate(role), hint, cause=absence.cause)
    hint = "add it to 'clusterRoles' of a Config if the cluster provides it, or build with '--dependencies ignore'"
    if unread:
        more = f" and {len(unread) - _NAMED} more" if len(unread) > _NAMED else ""
        hint = f"fix the Releases with errors first; one of them may provide it: {', '.join(unread[:_NAMED])}{more}"
    close = nearest("did you mean '{}'?", role, {*by_role, *cluster_roles})
    return Problem(
        "unmet-role",
        f"{party.key} depends on the role '{role}', which no Release or Config provides",
        position=party.locate(role),
        hint=close or hint,
        cause=unread[0] if len(unread) == 1 and not close else None,
    )
