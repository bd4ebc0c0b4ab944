"""Problems as a user gets them: as lines of text, as part of a report, and as an exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.diagnostics import Diagnostic, printable

_USAGE = ("usage", "unknown-cluster", "missing-project")
_NAMED = 3  # Releases that a line about a common cause names


def diagnostic_lines(diagnostics: Sequence[Diagnostic], *, name_clusters: bool = False) -> Iterator[str]:
    """Problem by problem: the place, what is wrong, the way out. What stops several Releases is one problem.

    With `name_clusters` each says in which clusters it was met. Errors stand last, nearest to the prompt; those of one
    file together, in the order of its lines.
    """
    stopped: dict[tuple[Any, ...], list[str]] = {}
    met: dict[tuple[Any, ...], list[str]] = {}
    first: dict[tuple[Any, ...], Diagnostic] = {}
    for diagnostic in sorted(diagnostics, key=_reading_order):
        key = (diagnostic.severity, diagnostic.code, diagnostic.message, diagnostic.position)
        first.setdefault(key, diagnostic)
        if diagnostic.cluster and name_clusters:
            met.setdefault(key, []).append(diagnostic.cluster)
        if diagnostic.release:
            stopped.setdefault(key, []).append(diagnostic.release)
    for key, diagnostic in first.items():
        place = f"{diagnostic.position}: " if diagnostic.position else ""
        yield printable(f"{place}{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}")
        if diagnostic.hint:
            yield printable(f"    {diagnostic.hint}")
        releases = sorted({*stopped.get(key, ())})
        elsewhere = diagnostic.position is None or diagnostic.position.path.startswith("oci://")
        if diagnostic.severity == "error" and (len(releases) > 1 or (releases and elsewhere)):
            more = f" and {len(releases) - _NAMED} more" if len(releases) > _NAMED else ""
            yield printable(f"    stops {', '.join(releases[:_NAMED])}{more}")
        if clusters := sorted({*met.get(key, ())}):
            yield printable(f"    in the cluster{'' if len(clusters) == 1 else 's'} {', '.join(clusters)}")


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
