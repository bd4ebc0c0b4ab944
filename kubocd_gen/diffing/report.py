"""Render a comparison as a JSON document, described by `schemas/kcd-gen/comparison-v1alpha1.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.compiler.value_changes import ABSENT, Change, path_text
from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.diagnostics.text import envelope
from kubocd_gen.diffing.lines import View
from kubocd_gen.diffing.records import Comparison, Danger, ReleaseDifference, ResourceDifference, Side
from kubocd_gen.diffing.shared_changes import Repeat


def comparison_report(view: View | None, diagnostics: Sequence[Problem]) -> dict[str, Any]:
    """Return the report as JSON-like data. `view` is None if errors in `diagnostics` prevented the comparison."""
    comparison = view.comparison if view else None
    body = {
        "version": {"kcd-gen": __version__},
        "revision": {"name": comparison.revision, "commit": comparison.commit} if comparison else None,
        "charts": comparison.charts if comparison else False,
        "summary": _summary(comparison) if comparison else None,
        "releases": [_release(one) for one in comparison.releases] if comparison else [],
        "repeats": [_repeat(one) for one in view.repeats] if view else [],
    }
    return envelope("Comparison", body, diagnostics)


def _summary(comparison: Comparison) -> dict[str, int]:
    return {
        "releasesBefore": comparison.totals[0],
        "releasesAfter": comparison.totals[1],
        **{status: comparison.count(status) for status in ("changed", "added", "removed")},
        "values": comparison.values,
        "dangers": len(comparison.dangers),
    }


def _release(release: ReleaseDifference) -> dict[str, Any]:
    return {
        "cluster": release.cluster,
        "namespace": release.namespace,
        "name": release.name,
        "status": release.status,
        "old": _side(release.old),
        "new": _side(release.new),
        "resources": [_resource(one) for one in release.resources],
        "dangers": [_danger(one) for one in release.dangers],
    }


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "package": side.package,
        "digest": side.digest,
        "protected": side.protected,
        "suspended": side.suspended,
        "charts": dict(side.charts),
    }


def _resource(resource: ResourceDifference) -> dict[str, Any]:
    return {
        "kind": resource.kind,
        "namespace": resource.namespace,
        "name": resource.name,
        "status": resource.status,
        "renderedBy": resource.rendered_by,
        "changes": [_change(one) for one in resource.changes],
        "value": resource.value,
    }


def _change(change: Change) -> dict[str, Any]:
    return {"path": path_text(change.path), **_values(change.old, change.new)}


def _values(old: Any, new: Any) -> dict[str, Any]:
    """Return the old and new value, omitting an absent one, because null is a value."""
    return {name: value for name, value in (("old", old), ("new", new)) if value is not ABSENT}


def _repeat(repeat: Repeat) -> dict[str, Any]:
    return {
        "path": repeat.path,
        **_values(repeat.old, repeat.new),
        "values": len(repeat.occurrences),
        "releases": [{"cluster": one.cluster, "namespace": one.namespace, "name": one.name} for one in repeat.releases],
    }


def _danger(danger: Danger) -> dict[str, Any]:
    return {"code": danger.code, "message": danger.message}
