"""Workflow commands of GitHub Actions, which annotate the lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubocd_gen.diagnostics.annotations import Annotation

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}


def github_lines(findings: Sequence[Annotation]) -> Iterator[str]:
    """Yield a line `::error file=…,line=…,col=…,title=…::…` for each finding."""
    for finding in findings:
        properties = {
            "file": finding.path,
            "line": finding.line,
            "col": finding.column,
            "title": f"kcd-gen: {finding.code}",
        }
        arguments = ",".join(f"{name}={_escaped(str(value), _PROPERTY)}" for name, value in properties.items() if value)
        yield f"::{_COMMANDS[finding.severity]} {arguments}::{_escaped(finding.text, _DATA)}"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)
