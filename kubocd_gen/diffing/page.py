"""Render a comparison as a self-contained HTML page, without scripts or external resources."""

from __future__ import annotations

from kubocd_gen.diagnostics.problems import printable
from kubocd_gen.diffing.lines import (
    View,
    headline,
    release_name,
    repeat_lines,
    repeat_occurrences,
    repeat_title,
)
from kubocd_gen.package_data import template_folder


def page(view: View) -> str:
    """Return the page, even if nothing differs."""
    import jinja2  # 50 ms

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder()),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    comparison = view.comparison
    return environment.get_template("diff.html.j2").render(
        headline=headline(comparison) if comparison.releases else "No differences",
        revision=printable(comparison.revision),
        commit=comparison.commit[:12],
        dangers=[
            {"release": printable(one.release), "message": printable(one.message), "code": one.code}
            for one in comparison.dangers
        ],
        repeats=[
            {
                "title": repeat_title(one),
                "lines": repeat_lines(one),
                "occurrences": list(repeat_occurrences(one, comparison)),
            }
            for one in view.repeats
        ],
        releases=[
            {
                "name": release_name(one.release, comparison),
                "status": one.release.status,
                "package": printable(side.package) if (side := one.release.new or one.release.old) else "",
                "facts": one.facts,
                "resources": [
                    {"label": printable(item.resource.label), "status": item.resource.status, "lines": item.lines}
                    for item in one.resources
                    if item.lines or item.resource.status != "changed"
                ],
                "repeated": sum(item.repeated for item in one.resources),
                "is_shared": one.is_shared,
            }
            for one in view.releases
        ],
    )
