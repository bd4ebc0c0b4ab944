"""Render problems as lines of text, as part of a JSON report, and as an exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.diagnostics.problems import Problem, printable, reading_order

_USAGE = ("usage", "unknown-cluster", "missing-project")
_NAMED = 3  # Releases that a line about a common cause lists


@dataclass(frozen=True, slots=True)
class MergedProblem:
    """A problem to be printed once, with the sorted Releases and clusters that have it."""

    problem: Problem
    releases: tuple[str, ...]
    clusters: tuple[str, ...]

    @property
    def affects(self) -> str | None:
        """The Releases that fail, as `affects a, b, c and 4 more`; None if the position already shows it."""
        problem, count = self.problem, len(self.releases)
        elsewhere = problem.position is None or problem.position.path.startswith("oci://")
        if problem.severity != "error" or not (count > 1 or (count and elsewhere)):
            return None
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        return f"affects {', '.join(self.releases[:_NAMED])}{more}"


def distinct_problems(problems: Sequence[Problem]) -> list[MergedProblem]:
    """Return each problem once, in reading order."""
    found: dict[tuple[Any, ...], list[Problem]] = {}
    for problem in sorted(problems, key=reading_order):
        key = (problem.severity, problem.code, problem.message, problem.position)
        found.setdefault(key, []).append(problem)
    return [
        MergedProblem(
            same[0],
            tuple(sorted({one.release for one in same if one.release})),
            tuple(sorted({one.cluster for one in same if one.cluster})),
        )
        for same in found.values()
    ]


def plain(style: str, text: str) -> str:
    """Return `text` without colors."""
    return text


def problem_lines(
    problems: Sequence[Problem], *, name_clusters: bool = False, paint: Callable[[str, str], str] = plain
) -> Iterator[str]:
    """Yield the lines of each problem: position and message, then hint, Releases and clusters.

    A problem of several Releases is printed once. With `name_clusters`, each problem lists its clusters. `paint` gets a
    style and a string, and returns the string in this style.
    """
    for merged in distinct_problems(problems):
        problem = merged.problem
        position = paint("place", printable(f"{problem.position}:")) + " " if problem.position else ""
        kind = paint(problem.severity, problem.severity)
        yield f"{position}{kind}[{paint('code', printable(problem.code))}]: {printable(problem.message)}"
        for more in (problem.hint, merged.affects):
            if more:
                yield paint("hint", printable(f"    {more}"))
        if merged.clusters and name_clusters:
            clusters = merged.clusters
            line = f"    in the cluster{'' if len(clusters) == 1 else 's'} {', '.join(clusters)}"
            yield paint("hint", printable(line))


def problem_report(problem: Problem) -> dict[str, Any]:
    """Return a problem as a JSON object, in the form of the reports of all commands."""
    position = problem.position
    return {
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
        "cluster": problem.cluster,
        "release": problem.release,
        "path": position.path if position else None,
        "line": position.line if position else None,
        "column": position.column if position else None,
    }


def envelope(kind: str, body: Mapping[str, Any], diagnostics: Sequence[Problem]) -> dict[str, Any]:
    """Return a JSON report: the kind, the fields of its schema in `schemas/kcd-gen/`, and the problems."""
    return {
        "apiVersion": "kcd-gen/v1alpha1",
        "kind": kind,
        **body,
        "diagnostics": [problem_report(diagnostic) for diagnostic in diagnostics],
    }


def packages_report(
    command: str, packages: Sequence[Mapping[str, Any]], diagnostics: Sequence[Problem]
) -> dict[str, Any]:
    """Return the JSON report of a command that processes packages instead of Releases."""
    version = {"kcd-gen": __version__, "helm": None}
    return envelope("Report", {"command": command, "version": version, "packages": list(packages)}, diagnostics)


def exit_code(problems: Sequence[Problem]) -> int:
    """Return the exit code: 2 for a usage error, otherwise the lowest code of the errors, 0 without errors."""
    errors = [one for one in problems if one.severity == "error"]
    if any(one.code in _USAGE for one in errors):
        return 2
    return min((one.exit_code for one in errors), default=0)
