"""The reports of CI systems: workflow commands of GitHub, SARIF, the Code Quality report of GitLab, and JUnit XML."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from kubocd_gen import __version__
from kubocd_gen.diagnostics.annotations import Annotation, fingerprints
from kubocd_gen.diagnostics.problems import Position, Severity, printable

_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_GITHUB_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_GITHUB_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_GITHUB_PROPERTY = {**_GITHUB_DATA, ":": "%3A", ",": "%2C"}
_GITLAB_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}
_NO_FILE = "kcd-gen.yaml"  # GitLab drops an entry without a path
PROJECT = "project"  # the case for problems that do not belong to a single Release


def sarif_report(annotations: Sequence[Annotation]) -> str:
    """Return one run of SARIF 2.1.0 (OASIS) as JSON; an empty `results` reports that there are no problems.

    GitHub code scanning, Azure DevOps and editors read it.
    """
    codes = sorted({annotation.code for annotation in annotations})
    driver = {"name": "kcd-gen", "semanticVersion": __version__, "rules": [{"id": code} for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(annotation, codes.index(annotation.code), fingerprint)
            for annotation, fingerprint in zip(annotations, fingerprints(annotations), strict=True)
        ],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _result(annotation: Annotation, rule: int, fingerprint: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": annotation.code,
        "ruleIndex": rule,
        "level": annotation.severity,
        "message": {"text": annotation.text},
        "partialFingerprints": {"kcdGen/v1": fingerprint},
    }
    if annotation.path:
        uri = quote(annotation.path, errors="surrogateescape")  # names on disk can contain any bytes
        location: dict[str, Any] = {"artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"}}
        if annotation.line:
            column = {"startColumn": annotation.column} if annotation.column else {}
            location["region"] = {"startLine": annotation.line, **column}
        result["locations"] = [{"physicalLocation": location}]
    return result


def github_lines(annotations: Sequence[Annotation]) -> Iterator[str]:
    """Yield a workflow command `::error file=…,line=…,col=…,title=…::…` of GitHub Actions for each annotation."""
    for annotation in annotations:
        properties = {
            "file": annotation.path,
            "line": annotation.line,
            "col": annotation.column,
            "title": f"kcd-gen: {annotation.code}",
        }
        given = ((name, str(value)) for name, value in properties.items() if value)
        arguments = ",".join(f"{name}={_escaped(value, _GITHUB_PROPERTY)}" for name, value in given)
        yield f"::{_GITHUB_COMMANDS[annotation.severity]} {arguments}::{_escaped(annotation.text, _GITHUB_DATA)}"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


def gitlab_report(annotations: Sequence[Annotation]) -> str:
    """Return the Code Quality report of GitLab, a JSON list, which a merge request shows next to the lines."""
    entries = [
        {
            "description": annotation.text,
            "check_name": annotation.code,
            "fingerprint": fingerprint,
            "severity": _GITLAB_SEVERITIES[annotation.severity],
            "location": {"path": annotation.path or _NO_FILE, "lines": {"begin": annotation.line or 1}},
        }
        for annotation, fingerprint in zip(annotations, fingerprints(annotations), strict=True)
    ]
    return json.dumps(entries, indent=1)


def junit_report(cases: Iterable[str], annotations: Sequence[Annotation], failing: Sequence[Severity]) -> str:
    """Return JUnit XML, which CI systems show as test results: a case for each Release, and one for the project.

    `cases` are the keys of the Releases. Problems of the severities `failing` fail a case.
    """
    by_case: dict[str, list[Annotation]] = {name: [] for name in (PROJECT, *cases)}
    for annotation in annotations:
        by_case.setdefault(annotation.release or PROJECT, []).append(annotation)
    failed = sum(any(one.severity in failing for one in found) for found in by_case.values())
    counts = {"tests": str(len(by_case)), "failures": str(failed), "errors": "0"}
    suites = ElementTree.Element("testsuites", {"name": "kcd-gen", **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "kcd-gen", "skipped": "0", **counts})
    for name, found in by_case.items():
        # XML cannot contain most control characters, which an untrusted name or path can.
        case = ElementTree.SubElement(suite, "testcase", {"classname": "kcd-gen", "name": printable(name)})
        errors = [one for one in found if one.severity in failing]
        others = [one for one in found if one.severity not in failing]
        if errors:
            attributes = {"message": errors[0].message, "type": errors[0].code}
            ElementTree.SubElement(case, "failure", attributes).text = "\n".join(map(_line, errors))
        if others:
            ElementTree.SubElement(case, "system-out").text = "\n".join(map(_line, others))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _line(one: Annotation) -> str:
    position = f"{printable(str(Position(one.path, one.line, one.column)))}: " if one.path else ""
    details = "".join(f"\n    {text}" for text in one.details)
    return f"{position}{one.severity}[{one.code}]: {one.message}{details}"
