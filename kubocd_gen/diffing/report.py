"""Render a comparison as text for a terminal, as an HTML page, and as JSON.

The JSON is described by `schemas/kcd-gen/comparison-v1alpha1.json`. The page is self-contained, without scripts or
external resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.compiler.value_changes import ABSENT, path_text
from kubocd_gen.diagnostics.problems import Problem, printable
from kubocd_gen.diagnostics.text import envelope
from kubocd_gen.diffing.lines import (
    ReleaseView,
    View,
    headline,
    namespace_lines,
    plural,
    release_name,
    repeat_lines,
    repeat_occurrences,
    repeat_title,
    signed,
)
from kubocd_gen.diffing.records import Comparison, NamespaceDifference, ReleaseDifference, ResourceDifference
from kubocd_gen.diffing.shared_changes import Repeat
from kubocd_gen.package_data import html_templates

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def text_lines(view: View) -> Iterator[str]:
    """Yield the lines of the report; none if nothing differs. Dangers and the summary come last, next to the prompt."""
    comparison = view.comparison
    if not comparison.differs:
        return
    for repeat in view.repeats:
        yield f"{repeat_title(repeat)}:"
        yield from signed(repeat_lines(repeat), "  ")
        for name, paths in repeat_occurrences(repeat, comparison):
            yield f"    {name}: {paths}"
        yield ""
    for one in view.releases:
        if not one.is_shared:
            yield from _release(one, view)
            yield ""
    if comparison.namespaces:
        yield "namespaces:"
        yield from signed(list(namespace_lines(comparison)), "  ")
        yield ""
    if comparison.dangers:
        yield "dangers:"
        for danger in comparison.dangers:
            cluster = f"{danger.cluster}: " if comparison.several else ""
            yield printable(f"  {cluster}{danger.release}: {danger.message} [{danger.code}]")
        yield ""
    yield _summary_line(comparison)


def _summary_line(comparison: Comparison) -> str:
    until = f"{comparison.until} " if comparison.until else ""
    return printable(f"{until}compared with {comparison.revision}: {headline(comparison)}")


def stat_lines(view: View) -> Iterator[str]:
    """Yield one line for each Release that differs, with the number of its changes, and the summary."""
    comparison = view.comparison
    if not comparison.differs:
        return
    names = [release_name(one, comparison) for one in comparison.releases]
    width = max(map(len, names), default=0)
    for name, one in zip(names, comparison.releases, strict=True):
        yield f"{_SIGNS[one.status]} {name:<{width}} | {printable(', '.join(_changes_of(one)))}"
    yield _summary_line(comparison)


def _changes_of(release: ReleaseDifference) -> Iterator[str]:
    if release.old is None or release.new is None:
        yield release.status
    elif release.old.package != release.new.package:
        before, after = (side.package.rpartition(":")[2] for side in (release.old, release.new))
        yield f"package {before} -> {after}"
    if release.status == "changed":
        if count := sum(len(one.changes) for one in release.resources):
            yield plural(count, "value")
        for status in ("added", "removed"):
            if count := sum(one.status == status for one in release.resources):
                yield f"{plural(count, 'resource')} {status}"
    if release.dangers:
        yield plural(len(release.dangers), "danger")


def _release(one: ReleaseView, view: View) -> Iterator[str]:
    release = one.release
    yield f"{_SIGNS[release.status]} {release_name(release, view.comparison)}"
    yield from signed(one.facts, "    ")
    for resource in one.resources:
        if resource.is_shown:
            yield printable(f"  {_SIGNS[resource.resource.status]} {resource.resource.label}")
            yield from signed(resource.lines, "    ")


def page(view: View) -> str:
    """Return the HTML page, even if nothing differs."""
    environment = html_templates()
    environment.filters["printable"] = printable
    comparison = view.comparison
    return environment.get_template("diff.html.j2").render(
        view=view,
        comparison=comparison,
        headline=headline(comparison) if comparison.differs else "No differences",
        namespaces=list(namespace_lines(comparison)),
        release_name=release_name,
        repeat_title=repeat_title,
        repeat_lines=repeat_lines,
        repeat_occurrences=repeat_occurrences,
    )


def comparison_report(view: View | None, diagnostics: Sequence[Problem]) -> dict[str, Any]:
    """Return the report as JSON-like data. `view` is None if errors in `diagnostics` prevented the comparison."""
    comparison = view.comparison if view else None
    body = {
        "version": {"kcd-gen": __version__},
        "revision": {"name": comparison.revision, "commit": comparison.commit or None} if comparison else None,
        "until": comparison.until if comparison else None,
        "charts": comparison.charts if comparison else False,
        "summary": _summary(comparison) if comparison else None,
        "releases": [release_report(one) for one in comparison.releases] if comparison else [],
        "namespaces": [_namespace(one) for one in comparison.namespaces] if comparison else [],
        "repeats": [repeat_report(one) for one in view.repeats] if view else [],
    }
    return envelope("Comparison", body, diagnostics)


def _namespace(one: NamespaceDifference) -> dict[str, str | None]:
    return {"cluster": one.cluster, "name": one.name, "status": one.status, "createdBy": one.created_by or None}


def _summary(comparison: Comparison) -> dict[str, int]:
    return {
        "releasesBefore": comparison.totals[0],
        "releasesAfter": comparison.totals[1],
        **{status: comparison.count(status) for status in ("changed", "added", "removed")},
        "values": comparison.values,
        "dangers": len(comparison.dangers),
    }


def release_report(release: ReleaseDifference) -> dict[str, Any]:
    """Return the differences of a Release as JSON-like data."""
    return {
        **identity(release.cluster, release.namespace, release.name),
        "status": release.status,
        "old": asdict(release.old) if release.old else None,
        "new": asdict(release.new) if release.new else None,
        "resources": [_resource(one) for one in release.resources],
        "dangers": [{"code": one.code, "message": one.message} for one in release.dangers],
    }


def identity(cluster: str, namespace: str, name: str) -> dict[str, str]:
    """Return what identifies a Release in a report."""
    return {"cluster": cluster, "namespace": namespace, "name": name}


def _resource(resource: ResourceDifference) -> dict[str, Any]:
    changes = [{"path": path_text(one.path), **_values(one.old, one.new)} for one in resource.changes]
    return {
        "kind": resource.kind,
        "namespace": resource.namespace,
        "name": resource.name,
        "status": resource.status,
        "renderedBy": resource.rendered_by,
        "changes": changes,
        "value": resource.value,
    }


def _values(old: Any, new: Any) -> dict[str, Any]:
    """Return the old and new value, omitting an absent one, because null is a value."""
    return {name: value for name, value in (("old", old), ("new", new)) if value is not ABSENT}


def repeat_report(repeat: Repeat) -> dict[str, Any]:
    """Return a change that several Releases share as JSON-like data."""
    return {
        "path": repeat.path,
        **_values(repeat.old, repeat.new),
        "values": len(repeat.occurrences),
        "releases": [identity(one.cluster, one.namespace, one.name) for one in repeat.releases],
    }
