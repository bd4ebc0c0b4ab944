"""A comparison as a comment on a pull request: Markdown that GitHub and GitLab fold, and that never grows too long.

Everything that comes from sources stands in code, in a fence or span longer than any run of back quotes in it, or in
HTML with its characters escaped: it can't end the code, make a link, mention anybody or hide a line.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from kubocd_gen.diagnostics.problems import printable
from kubocd_gen.diffing.lines import (
    Line,
    ReleaseView,
    View,
    headline,
    plural,
    release_name,
    repeat_lines,
    repeat_places,
    repeat_title,
)

LIMIT = 65_000
"""Bytes, and so characters: GitHub takes 65,536 characters in a comment."""

_RESERVED = 400  # bytes for what is said where the text is cut
_LINES = 60  # of one Release
_PLACES = 60  # Releases that share a change, and dangers
_TABLE = 150  # rows, of which
_UNFOLDED = 10  # are seen at once
_CAUTION = "⚠️"


def markdown(view: View, *, limit: int = LIMIT) -> str:
    """The comment; the empty text where nothing differs."""
    comparison = view.comparison
    if not comparison.releases:
        return ""
    blocks = [_head(view), _table(view)]
    if comparison.dangers:
        blocks.append(_dangers(view))
    parts = [_repeat(view, index) for index in range(len(view.repeats))]
    own = [one for one in view.releases if not one.is_told]
    parts += [_release(one, view) for one in own]
    text = "\n".join(blocks)
    if len(text.encode()) > limit - _RESERVED:
        text = text.encode()[: limit - _RESERVED].decode("utf-8", "ignore").rpartition("\n")[0] + "\n"
    for index, part in enumerate(parts):
        if len(text.encode()) + len(part.encode()) + 1 > limit - _RESERVED:
            left = parts[index:]
            return f"{text}\n… and {plural(len(left), 'section')} more; `kcd-gen diff` shows all of them.\n"
        text = f"{text}\n{part}"
    return text


def _head(view: View) -> str:
    comparison = view.comparison
    dangers = f" {_CAUTION}" if comparison.dangers else ""
    against = f"Compared with {_code(comparison.revision)} ({_code(comparison.commit[:12])})"
    return f"### What this change does{dangers}\n\n{against}: {headline(comparison)}.\n"


def _table(view: View) -> str:
    """Each Release with something of its own in a line, and how many there are besides."""
    own = [one for one in view.releases if not one.is_told]
    rows = [_row(one, view) for one in own]
    others = len(view.releases) - len(own)
    shared = f"{plural(others, 'Release')} change{'s' if others == 1 else ''} only in what several have in common.\n"
    if not rows:
        return shared
    head = "| Release | | package | values | dangers |\n|---|---|---|---:|---|\n"
    table = head + "\n".join(rows[:_TABLE]) + "\n"
    if len(rows) > _TABLE:
        table += f"\n… and {plural(len(rows) - _TABLE, 'Release')} more.\n"
    if len(rows) > _UNFOLDED:
        table = f"<details><summary>{plural(len(rows), 'Release')}</summary>\n\n{table}\n</details>\n"
    return f"{table}\n{shared}" if others else table


def _row(one: ReleaseView, view: View) -> str:
    release = one.release
    packages = {side.package.rpartition("/")[2]: None for side in (release.old, release.new) if side}
    values = sum(len(resource.changes) for resource in release.resources)
    cells = (
        _code(release_name(release, view.comparison)),
        release.status,
        " → ".join(map(_code, packages)),
        str(values) if values else "",
        f"{len(release.dangers)} {_CAUTION}" if release.dangers else "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _dangers(view: View) -> str:
    dangers = view.comparison.dangers
    several = len(view.comparison.clusters) > 1
    lines = []
    for danger in dangers[:_PLACES]:
        release = f"{danger.cluster}: {danger.release}" if several else danger.release
        lines.append(f"- {_code(release)}: {_code(danger.message)} ({danger.code})")
    if len(dangers) > _PLACES:
        lines.append(f"- … and {len(dangers) - _PLACES} more")
    return f"#### {_CAUTION} {plural(len(dangers), 'danger')}\n\n" + "\n".join(lines) + "\n"


def _repeat(view: View, index: int) -> str:
    repeat = view.repeats[index]
    lines = repeat_lines(repeat)
    places = list(repeat_places(repeat, view.comparison))
    shown = [f"{name}: {paths}" for name, paths in places[:_PLACES]]
    if len(places) > _PLACES:
        shown.append(f"… and {plural(len(places) - _PLACES, 'Release')} more")
    title = f"{repeat_title(repeat)}: {' → '.join(_inline(line.text) for line in lines[:2])}"
    return _folded(title, [_fence(lines, "diff"), "In:", "", _fenced(shown, "")])


def _release(one: ReleaseView, view: View) -> str:
    release = one.release
    lines = list(one.facts)
    repeated = sum(resource.repeated for resource in one.resources)
    for resource in one.resources:
        if resource.lines or resource.resource.status != "changed":
            sign = {"added": "+", "removed": "-", "changed": " "}[resource.resource.status]
            lines += [Line(sign, printable(resource.resource.label)), *(_indented(line) for line in resource.lines)]
    count = sum(line.sign != " " for line in lines)
    title = f"{_inline(release_name(release, view.comparison))} {release.status}, {plural(count, 'line')}"
    parts = [_fence(lines[:_LINES], "diff")]
    if len(lines) > _LINES:
        parts.append(f"… and {plural(len(lines) - _LINES, 'line')} more\n")
    if repeated:
        parts.append(f"And {plural(repeated, 'value')} told above.\n")
    return _folded(title, parts)


def _indented(line: Line) -> Line:
    return Line(line.sign, f"  {line.text}")


def _folded(summary: str, parts: Sequence[str]) -> str:
    """A block that unfolds. `summary` is HTML."""
    return f"<details><summary>{summary}</summary>\n\n" + "\n".join(parts) + "\n</details>\n"


def _fence(lines: Sequence[Line], language: str) -> str:
    return _fenced([f"{line.sign} {line.text}" for line in lines], language)


def _fenced(lines: Sequence[str], language: str) -> str:
    fence = "`" * max(3, _longest_run(lines) + 1)
    return "\n".join((f"{fence}{language}", *lines, fence, ""))


def _code(text: str) -> str:
    """A code span."""
    shown = printable(text)
    quotes = "`" * (_longest_run([shown]) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or len(quotes) > 1 else ""
    return f"{quotes}{pad}{shown}{pad}{quotes}"


def _inline(text: str) -> str:
    """Code as HTML, cut where it is long."""
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    return f"<code>{html.escape(printable(shown))}</code>"


def _longest_run(lines: Sequence[str]) -> int:
    runs: Iterator[int] = (len(run) for line in lines for run in re.findall("`+", line))
    return max(runs, default=0)
