"""The reports of CI systems: workflow commands of GitHub, SARIF, the Code Quality report of GitLab, and JUnit XML."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from kubocd_gen import __version__
from kubocd_gen.diagnostics.annotations import Annotation, fingerprints
from kubocd_gen.diagnostics.problems import Severity, printable

_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_GITHUB_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_GITHUB_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_GITHUB_PROPERTY = {**_GITHUB_DATA, ":": "%3A", ",": "%2C"}
_GITLAB_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}
_NO_FILE = "kcd-gen.yaml"  # GitLab drops an entry without a path
PROJECT = "project"  # the case for problems that do not belong to a single Release


def sarif_report(findings: Sequence[Annotation]) -> str:
    """Return one run of SARIF 2.1.0 (OASIS) as JSON; an empty `results` reports that there are no problems.

    GitHub code scanning, Azure DevOps and editors read it.
    """
    codes = sorted({finding.code for finding in findings})
    driver = {"name": "kcd-gen", "semanticVersion": __version__, "rules": [{"id": code} for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(finding, codes.index(finding.code), fingerprint)
            for finding, fingerprint in zip(findings, fingerprints(findings), strict=True)
        ],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _result(finding: Annotation, rule: int, fingerprint: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": finding.text},
        "partialFingerprints": {"kcdGen/v1": fingerprint},
    }
    if finding.path:
        location: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.path), "uriBaseId": "%SRCROOT%"}}
        if finding.line:
            location["region"] = {"startLine": finding.line} | (
                {"startColumn": finding.column} if finding.column else {}
            )
        result["locations"] = [{"physicalLocation": location}]
    return result


def github_lines(findings: Sequence[Annotation]) -> Iterator[str]:
    """Yield a workflow command `::error file=…,line=…,col=…,title=…::…` of GitHub Actions for each finding."""
    for finding in findings:
        properties = {
            "file": finding.path,
            "line": finding.line,
            "col": finding.column,
            "title": f"kcd-gen: {finding.code}",
        }
        arguments = ",".join(
            f"{name}={_escaped(str(value), _GITHUB_PROPERTY)}" for name, value in properties.items() if value
        )
        yield f"::{_GITHUB_COMMANDS[finding.severity]} {arguments}::{_escaped(finding.text, _GITHUB_DATA)}"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


def gitlab_report(findings: Sequence[Annotation]) -> str:
    """Return the Code Quality report of GitLab, a JSON list, which a merge request shows next to the lines."""
    entries = [
        {
            "description": finding.text,
            "check_name": finding.code,
            "fingerprint": fingerprint,
            "severity": _GITLAB_SEVERITIES[finding.severity],
            "location": {"path": finding.path or _NO_FILE, "lines": {"begin": finding.line or 1}},
        }
        for finding, fingerprint in zip(findings, fingerprints(findings), strict=True)
    ]
    return json.dumps(entries, indent=1)


def junit_report(cases: Iterable[str], findings: Sequence[Annotation], failing: Sequence[Severity] = ("error",)) -> str:
    """Return JUnit XML, which CI systems show as test results: a case for each Release, and one for the project.

    `cases` are the keys of the Releases. Problems of the severities `failing` fail a case.
    """
    by_case: dict[str, list[Annotation]] = {name: [] for name in (PROJECT, *cases)}
    for finding in findings:
        by_case.setdefault(finding.release or PROJECT, []).append(finding)
    failed = sum(any(finding.severity in failing for finding in found) for found in by_case.values())
    counts = {"tests": str(len(by_case)), "failures": str(failed), "errors": "0"}
    suites = ElementTree.Element("testsuites", {"name": "kcd-gen", **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "kcd-gen", "skipped": "0", **counts})
    for name, found in by_case.items():
        # XML cannot contain most control characters, which an untrusted name or path can.
        case = ElementTree.SubElement(suite, "testcase", {"classname": "kcd-gen", "name": printable(name)})
        errors = [finding for finding in found if finding.severity in failing]
        others = [finding for finding in found if finding.severity not in failing]
        if errors:
            attributes = {"message": errors[0].message, "type": errors[0].code}
            ElementTree.SubElement(case, "failure", attributes).text = "\n".join(map(_line, errors))
        if others:
            ElementTree.SubElement(case, "system-out").text = "\n".join(map(_line, others))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _line(finding: Annotation) -> str:
    position = printable(
        ":".join(str(part) for part in (finding.path, finding.line, finding.column) if part is not None)
    )
    details = "".join(f"\n    {text}" for text in finding.details)
    return f"{position + ': ' if position else ''}{finding.severity}[{finding.code}]: {finding.message}{details}"
