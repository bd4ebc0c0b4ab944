"""JUnit XML, which CI systems show as test results: one case for each Release, and one for the project."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence

from kubocd_gen.diagnostics.annotations import Annotation
from kubocd_gen.diagnostics.problems import Severity, printable

PROJECT = "project"  # the case for problems that do not belong to a single Release


def junit_report(cases: Iterable[str], findings: Sequence[Annotation], failing: Sequence[Severity] = ("error",)) -> str:
    """Return the report. `cases` are the keys of the Releases; problems of the severities `failing` fail a case."""
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
