"""Problems as a user gets them: as lines of text, as part of a report, and as an exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.diagnostics.problems import Diagnostic, printable

_USAGE = ("usage", "unknown-cluster", "missing-project")
_NAMED = 3  # Releases that a line about a common cause names


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem that is told once, and the Releases and clusters that it was met in, sorted."""

    diagnostic: Diagnostic
    releases: tuple[str, ...]
    clusters: tuple[str, ...]

    @property
    def stops(self) -> str | None:
        """The Releases that it stops, where its place does not say them: `stops a, b, c and 4 more`."""
        one, count = self.diagnostic, len(self.releases)
        elsewhere = one.position is None or one.position.path.startswith("oci://")
        if one.severity != "error" or not (count > 1 or (count and elsewhere)):
            return None
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        return f"stops {', '.join(self.releases[:_NAMED])}{more}"


def distinct_problems(diagnostics: Sequence[Diagnostic]) -> list[Problem]:
    """Each problem once, errors last, and those of one file together, in the order of its lines."""
    found: dict[tuple[Any, ...], list[Diagnostic]] = {}
    for one in sorted(diagnostics, key=_reading_order):
        found.setdefault((one.severity, one.code, one.message, one.position), []).append(one)
    return [
        Problem(
            same[0],
            tuple(sorted({one.release for one in same if one.release})),
            tuple(sorted({one.cluster for one in same if one.cluster})),
        )
        for same in found.values()
    ]


def plain(style: str, text: str) -> str:
    """What paints nothing."""
    return text


def diagnostic_lines(
    diagnostics: Sequence[Diagnostic], *, name_clusters: bool = False, paint: Callable[[str, str], str] = plain
) -> Iterator[str]:
    """Problem by problem: the place, what is wrong, the way out. What stops several Releases is one problem.

    With `name_clusters` each says in which clusters it was met. `paint` gets a style and the text to be shown in it.
    """
    for problem in distinct_problems(diagnostics):
        diagnostic = problem.diagnostic
        place = paint("place", printable(f"{diagnostic.position}:")) + " " if diagnostic.position else ""
        kind = paint(diagnostic.severity, diagnostic.severity)
        yield f"{place}{kind}[{paint('code', printable(diagnostic.code))}]: {printable(diagnostic.message)}"
        for more in (diagnostic.hint, problem.stops):
            if more:
                yield paint("hint", printable(f"    {more}"))
        if problem.clusters and name_clusters:
            clusters = problem.clusters
            told = f"    in the cluster{'' if len(clusters) == 1 else 's'} {', '.join(clusters)}"
            yield paint("hint", printable(told))


def _reading_order(diagnostic: Diagnostic) -> tuple[Any, ...]:
    position = diagnostic.position
    place = (position.path, position.line or 0, position.column or 0) if position else ("", 0, 0)
    return ("note", "warning", "error").index(diagnostic.severity), place


def diagnostic_report(diagnostic: Diagnostic) -> dict[str, Any]:
    """A problem as the reports of all commands have it."""
    position = diagnostic.position
    return {
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "cluster": diagnostic.cluster,
        "release": diagnostic.release,
        "path": position.path if position else None,
        "line": position.line if position else None,
        "column": position.column if position else None,
    }


def packages_report(
    command: str, packages: Sequence[Mapping[str, Any]], diagnostics: Sequence[Diagnostic]
) -> dict[str, Any]:
    """The report of a command that is about packages rather than Releases, JSON-like."""
    return {
        "apiVersion": "kcd-gen/v1alpha1",
        "kind": "Report",
        "command": command,
        "version": {"kcd-gen": __version__, "helm": None},
        "packages": list(packages),
        "diagnostics": [diagnostic_report(diagnostic) for diagnostic in diagnostics],
    }


def exit_code(problems: Sequence[Diagnostic]) -> int:
    """2 for flags that lead to nothing; else the errors' own codes, one in the sources before one of the network."""
    errors = [one for one in problems if one.severity == "error"]
    if any(one.code in _USAGE for one in errors):
        return 2
    return min((one.exit_code for one in errors), default=0)
