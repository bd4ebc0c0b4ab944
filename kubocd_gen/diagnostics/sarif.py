"""SARIF 2.1.0 (OASIS), the format of GitHub code scanning, Azure DevOps and editors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from kubocd_gen import __version__
from kubocd_gen.diagnostics.annotations import Annotation, fingerprints

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif_report(findings: Sequence[Annotation]) -> str:
    """Return one run with all findings as JSON; an empty `results` reports that there are no problems."""
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
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


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
