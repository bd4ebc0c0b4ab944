"""Render problems as lines of text, as part of a JSON report, and as an exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.diagnostics.problems import Problem, Severity, printable, reading_order

_USAGE = ("usage", "unknown-cluster", "missing-project")
# Problems that can follow from a file that can't be read, and the problems of such a file.
_MISSING = ("missing-context", "unmet-role")
_UNREAD = ("unreadable-source", "bad-yaml", "yaml-limit", "encrypted-source", "missing-source", "unknown-version")
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


def with_consequences(problems: Sequence[MergedProblem]) -> list[tuple[MergedProblem, list[MergedProblem]]]:
    """Return each problem with those that follow from it, and that disappear once it is fixed.

    A Release that depends on a Release with errors, and a Context that is missing while a file can't be read, are
    consequences.
    """
    errors = [one for one in problems if one.problem.severity == "error"]
    of_release: dict[str, MergedProblem] = {}
    for one in errors:
        for key in one.releases:
            of_release.setdefault(key, one)
    unread = [one for one in errors if one.problem.code in _UNREAD and not one.releases]

    def cause(one: MergedProblem) -> MergedProblem | None:
        if one.problem.cause is not None:
            return of_release.get(one.problem.cause)
        if one.problem.code in _MISSING:
            return next((other for other in unread if {*other.clusters} >= {*one.clusters}), None)
        return None

    result: list[tuple[MergedProblem, list[MergedProblem]]] = []
    below: dict[int, list[MergedProblem]] = {}
    for one in problems:
        root, passed = one, {id(one)}
        while one.problem.severity == "error" and (above := cause(root)) is not None and id(above) not in passed:
            root = above
            passed.add(id(root))
        if root is one:
            result.append((one, below.setdefault(id(one), [])))
        else:
            below.setdefault(id(root), []).append(one)
    return result


def summary(problems: Sequence[Problem]) -> str:
    """Return the numbers of problems, such as `2 errors, 1 warning`; empty if there is none."""
    counts = Counter(one.problem.severity for one in distinct_problems(problems))
    words: tuple[Severity, ...] = ("error", "warning", "note")
    return ", ".join(f"{counts[word]} {word}{'' if counts[word] == 1 else 's'}" for word in words if counts[word])


def plain(style: str, text: str) -> str:
    """Return `text` without colors."""
    return text


def problem_lines(
    problems: Sequence[Problem], *, name_clusters: bool = False, paint: Callable[[str, str], str] = plain
) -> Iterator[str]:
    """Yield the lines of each problem: position and message, then hint, Releases and clusters.

    A problem of several Releases is printed once, and the problems that follow from it are printed below it. With
    `name_clusters`, each problem lists its clusters. `paint` gets a style and a string, and returns the string in this
    style.
    """
    for merged, consequences in with_consequences(distinct_problems(problems)):
        problem = merged.problem
        yield headline(problem, paint)
        for more in (problem.hint, merged.affects):
            if more:
                yield paint("hint", printable(f"    {more}"))
        if merged.clusters and name_clusters:
            clusters = merged.clusters
            line = f"    in the cluster{'' if len(clusters) == 1 else 's'} {', '.join(clusters)}"
            yield paint("hint", printable(line))
        if consequences:
            yield paint("hint", "    this also causes:")
            for one in consequences:
                yield f"    {headline(one.problem, paint)}"


def headline(problem: Problem, paint: Callable[[str, str], str] = plain) -> str:
    """Return the first line of a problem: position, severity, code and message."""
    position = paint("place", printable(f"{problem.position}:")) + " " if problem.position else ""
    kind = paint(problem.severity, problem.severity)
    return f"{position}{kind}[{paint('code', printable(problem.code))}]: {printable(problem.message)}"


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
