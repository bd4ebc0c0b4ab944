"""Render a comparison as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from kubocd_gen.diagnostics.problems import printable
from kubocd_gen.diffing.lines import (
    ReleaseView,
    View,
    headline,
    release_name,
    repeat_lines,
    repeat_occurrences,
    repeat_title,
    signed,
)

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def text_lines(view: View) -> Iterator[str]:
    """Yield the lines of the report; none if nothing differs. Dangers and the summary come last, next to the prompt."""
    comparison = view.comparison
    if not comparison.releases:
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
    if comparison.dangers:
        yield "dangers:"
        several = len(comparison.clusters) > 1
        for danger in comparison.dangers:
            cluster = f"{danger.cluster}: " if several else ""
            yield printable(f"  {cluster}{danger.release}: {danger.message} [{danger.code}]")
        yield ""
    yield printable(f"compared with {comparison.revision}: {headline(comparison)}")


def _release(one: ReleaseView, view: View) -> Iterator[str]:
    release = one.release
    yield f"{_SIGNS[release.status]} {release_name(release, view.comparison)}"
    yield from signed(one.facts, "    ")
    for resource in one.resources:
        if not resource.lines and (resource.repeated or resource.resource.status == "changed"):
            continue
        yield printable(f"  {_SIGNS[resource.resource.status]} {resource.resource.label}")
        yield from signed(resource.lines, "    ")
