"""GitLab's code quality report: a JSON list, which a merge request shows beside its lines."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kubocd_gen.diagnostics.annotations import Annotation, fingerprints

_SEVERITIES = {"error": "major", "warning": "minor", "note": "info"}
_NO_FILE = "kcd-gen.yaml"  # GitLab drops an entry without a path


def gitlab_report(findings: Sequence[Annotation]) -> str:
    """The report: a list, empty where all is well."""
    entries = [
        {
            "description": one.text,
            "check_name": one.code,
            "fingerprint": fingerprint,
            "severity": _SEVERITIES[one.severity],
            "location": {"path": one.path or _NO_FILE, "lines": {"begin": one.line or 1}},
        }
        for one, fingerprint in zip(findings, fingerprints(findings), strict=True)
    ]
    return json.dumps(entries, indent=1)
