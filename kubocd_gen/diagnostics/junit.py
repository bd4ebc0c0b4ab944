"""JUnit's XML, which every CI system shows as tests: a case a Release, and one for what is no Release's."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence

from kubocd_gen.diagnostics.annotations import Annotation
from kubocd_gen.diagnostics.problems import Severity, printable

PROJECT = "project"  # the case of what is no single Release's


def junit_report(cases: Iterable[str], findings: Sequence[Annotation], failing: Sequence[Severity] = ("error",)) -> str:
    """The report; a case fails by what is `failing`, and says the rest. `cases` are the Releases, `namespace/name`."""
    by_case: dict[str, list[Annotation]] = {name: [] for name in (PROJECT, *cases)}
    for one in findings:
        by_case.setdefault(one.release or PROJECT, []).append(one)
    failed = sum(any(one.severity in failing for one in found) for found in by_case.values())
    counts = {"tests": str(len(by_case)), "failures": str(failed), "errors": "0"}
    suites = ElementTree.Element("testsuites", {"name": "kcd-gen", **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "kcd-gen", "skipped": "0", **counts})
    for name, found in by_case.items():
        # XML can't write most control characters, which a hostile name or path may hold.
        case = ElementTree.SubElement(suite, "testcase", {"classname": "kcd-gen", "name": printable(name)})
        errors = [one for one in found if one.severity in failing]
        others = [one for one in found if one.severity not in failing]
        if errors:
            attributes = {"message": errors[0].message, "type": errors[0].code}
            ElementTree.SubElement(case, "failure", attributes).text = "\n".join(map(_said, errors))
        if others:
            ElementTree.SubElement(case, "system-out").text = "\n".join(map(_said, others))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _said(one: Annotation) -> str:
    place = printable(":".join(str(part) for part in (one.path, one.line, one.column) if part is not None))
    details = "".join(f"\n    {text}" for text in one.details)
    return f"{place + ': ' if place else ''}{one.severity}[{one.code}]: {one.message}{details}"
