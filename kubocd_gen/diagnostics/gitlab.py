"""The Code Quality report of GitLab: a JSON list that a merge request shows next to the lines."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kubocd_gen.diagnostics.annotations import Annotation, fingerprints

_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}
_NO_FILE = "kcd-gen.yaml"  # GitLab drops an entry without a path


def gitlab_report(findings: Sequence[Annotation]) -> str:
    """Return the report as JSON, an empty list if there are no findings."""
    entries = [
        {
            "description": finding.text,
            "check_name": finding.code,
            "fingerprint": fingerprint,
            "severity": _SEVERITIES[finding.severity],
            "location": {"path": finding.path or _NO_FILE, "lines": {"begin": finding.line or 1}},
        }
        for finding, fingerprint in zip(findings, fingerprints(findings), strict=True)
    ]
    return json.dumps(entries, indent=1)
