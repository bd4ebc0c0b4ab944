"""SARIF 2.1.0 (OASIS): what GitHub code scanning, Azure DevOps and editors take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from kubocd_gen import __version__
from kubocd_gen.diagnostics.annotations import Annotation, fingerprints

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif_report(findings: Sequence[Annotation]) -> str:
    """One run with all findings; without any it has an empty `results`, which says that all is well."""
    codes = sorted({one.code for one in findings})
    driver = {"name": "kcd-gen", "semanticVersion": __version__, "rules": [{"id": code} for code in codes]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(one, codes.index(one.code), fingerprint)
            for one, fingerprint in zip(findings, fingerprints(findings), strict=True)
        ],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _result(one: Annotation, rule: int, fingerprint: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": one.code,
        "ruleIndex": rule,
        "level": one.severity,
        "message": {"text": one.text},
        "partialFingerprints": {"kcdGen/v1": fingerprint},
    }
    if one.path:
        place: dict[str, Any] = {"artifactLocation": {"uri": quote(one.path), "uriBaseId": "%SRCROOT%"}}
        if one.line:
            place["region"] = {"startLine": one.line} | ({"startColumn": one.column} if one.column else {})
        result["locations"] = [{"physicalLocation": place}]
    return result
