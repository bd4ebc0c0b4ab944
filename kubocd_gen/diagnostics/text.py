"""Problems as a user gets them: as lines of text, as part of a report, and as an exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.diagnostics.problems import Problem, printable, reading_order

_USAGE = ("usage", "unknown-cluster", "missing-project")
_NAMED = 3  # Releases that a line about a common cause names


@dataclass(frozen=True, slots=True)
class MergedProblem:
    """A problem that is printed once, with the Releases and clusters that have it, sorted."""

    problem: Problem
    releases: tuple[str, ...]
    clusters: tuple[str, ...]

    @property
    def stops(self) -> str | None:
        """The Releases that it stops, where its place does not say them: `stops a, b, c and 4 more`."""
        one, count = self.problem, len(self.releases)
        elsewhere = one.position is None or one.position.path.startswith("oci://")
        if one.severity != "error" or not (count > 1 or (count and elsewhere)):
            return None
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        return f"stops {', '.join(self.releases[:_NAMED])}{more}"


def distinct_problems(problems: Sequence[Problem]) -> list[MergedProblem]:
    """Each problem once, errors last, and those of one file together, in the order of its lines."""
    found: dict[tuple[Any, ...], list[Problem]] = {}
    for one in sorted(problems, key=reading_order):
        found.setdefault((one.severity, one.code, one.message, one.position), []).append(one)
    return [
        MergedProblem(
            same[0],
            tuple(sorted({one.release for one in same if one.release})),
            tuple(sorted({one.cluster for one in same if one.cluster})),
        )
        for same in found.values()
    ]


def plain(style: str, text: str) -> str:
    """What paints nothing."""
    return text


def problem_lines(
    problems: Sequence[Problem], *, name_clusters: bool = False, paint: Callable[[str, str], str] = plain
) -> Iterator[str]:
    """Problem by problem: the place, what is wrong, the way out. What stops several Releases is one problem.

    With `name_clusters` each says in which clusters it was met. `paint` gets a style and the text to be shown in it.
    """
    for merged in distinct_problems(problems):
        problem = merged.problem
        place = paint("place", printable(f"{problem.position}:")) + " " if problem.position else ""
        kind = paint(problem.severity, problem.severity)
        yield f"{place}{kind}[{paint('code', printable(problem.code))}]: {printable(problem.message)}"
        for more in (problem.hint, merged.stops):
            if more:
                yield paint("hint", printable(f"    {more}"))
        if merged.clusters and name_clusters:
            clusters = merged.clusters
            told = f"    in the cluster{'' if len(clusters) == 1 else 's'} {', '.join(clusters)}"
            yield paint("hint", printable(told))


def problem_report(problem: Problem) -> dict[str, Any]:
    """A problem as the reports of all commands have it."""
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
    """Return a report as all commands print it: what it is, what its schema in `schemas/kcd-gen/` has, the problems."""
    return {
        "apiVersion": "kcd-gen/v1alpha1",
        "kind": kind,
        **body,
        "diagnostics": [problem_report(diagnostic) for diagnostic in diagnostics],
    }


def packages_report(
    command: str, packages: Sequence[Mapping[str, Any]], diagnostics: Sequence[Problem]
) -> dict[str, Any]:
    """The report of a command that is about packages rather than Releases, JSON-like."""
    version = {"kcd-gen": __version__, "helm": None}
    return envelope("Report", {"command": command, "version": version, "packages": list(packages)}, diagnostics)


def exit_code(problems: Sequence[Problem]) -> int:
    """2 for flags that lead to nothing; else the errors' own codes, one in the sources before one of the network."""
    errors = [one for one in problems if one.severity == "error"]
    if any(one.code in _USAGE for one in errors):
        return 2
    return min((one.exit_code for one in errors), default=0)
