"""The result of a check as a JSON document, described by `schemas/kcd-gen/migration-v1alpha1.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.diagnostics.text import envelope
from kubocd_gen.migration.checks import Checked


def migration_report(checked: Checked | None, diagnostics: Sequence[Problem]) -> dict[str, Any]:
    """Return the report as JSON-like data. `checked` is None if `diagnostics` prevented the check."""
    body = {
        "version": {"kcd-gen": __version__},
        "cluster": checked.cluster if checked else None,
        "summary": _summary(checked) if checked else None,
        "findings": [
            {
                "severity": one.severity,
                "code": one.code,
                "kind": one.kind,
                "objects": list(one.objects),
                "message": one.message,
                "hint": one.hint,
                "details": dict(one.details),
            }
            for one in (checked.findings if checked else ())
        ],
        "next": _step(checked) if checked else None,
    }
    return envelope("Migration", body, diagnostics)


def _summary(checked: Checked) -> dict[str, int]:
    return {
        "releases": checked.releases,
        "live": checked.live,
        "compiled": checked.compiled,
        "applied": checked.applied,
        **{
            f"{severity}s": sum(one.severity == severity for one in checked.findings)
            for severity in ("error", "warning", "note")
        },
    }


def _step(checked: Checked) -> dict[str, Any]:
    step = checked.step
    return {
        "step": step.name,
        "number": step.number,
        "title": step.title,
        "commands": "\n".join(step.script),
        "dump": step.dump,
    }
