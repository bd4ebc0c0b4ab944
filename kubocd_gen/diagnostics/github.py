"""Workflow commands of GitHub Actions: a line each, which become annotations of the lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubocd_gen.diagnostics.annotations import Annotation

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}


def github_lines(findings: Sequence[Annotation]) -> Iterator[str]:
    """`::error file=…,line=…,col=…,title=…::…` for each finding."""
    for one in findings:
        properties = {"file": one.path, "line": one.line, "col": one.column, "title": f"kcd-gen: {one.code}"}
        said = ",".join(f"{name}={_escaped(str(value), _PROPERTY)}" for name, value in properties.items() if value)
        yield f"::{_COMMANDS[one.severity]} {said}::{_escaped(one.text, _DATA)}"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)
