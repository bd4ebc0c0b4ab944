"""Render a comparison as Markdown for a comment on a pull request, with collapsible sections and a limited length.

All strings from sources are in code blocks or spans, with fences longer than any run of backticks in them, or escaped
in HTML. Therefore they can't end the code, create a link, mention a user or hide a line.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from kubocd_gen.diagnostics.problems import printable
from kubocd_gen.diffing.lines import (
    Line,
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
from kubocd_gen.diffing.shared_changes import Repeat

LIMIT = 65_000
"""The maximum length in bytes, and therefore in characters: GitHub's limit for a comment is 65,536 characters."""

_RESERVED = 400  # bytes for the note at the end of a truncated comment
_LINES = 60  # of one Release
_LISTED = 60  # Releases with a shared change, and dangers
_TABLE = 150  # rows
_UNFOLDED = 10  # a table with more rows is collapsed
_CAUTION = "⚠️"


def markdown(view: View, *, limit: int = LIMIT) -> str:
    """Return the comment; an empty string if nothing differs."""
    comparison = view.comparison
    if not comparison.differs:
        return ""
    parts = [_repeat(one, view) for one in view.repeats]
    parts += [_release(one, view) for one in view.releases if not one.is_shared]
    text = f"{_head(view)}\n{_table(view)}" if comparison.releases else _head(view)
    if comparison.namespaces:
        lines = list(namespace_lines(comparison))
        more = [f"… and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
        text += f"\n#### Namespaces\n\n{_fenced([*signed(lines[:_LISTED]), *more], 'diff')}"
    if comparison.dangers:
        text += f"\n{_dangers(view)}"
    if len(text.encode()) > limit - _RESERVED:
        text = text.encode()[: limit - _RESERVED].decode("utf-8", "ignore").rpartition("\n")[0] + "\n"
    for index, part in enumerate(parts):
        if len(text.encode()) + len(part.encode()) + 1 > limit - _RESERVED:
            return (
                f"{text}\n… and {plural(len(parts) - index, 'section')} more; run `kcd-gen diff` to see all of them.\n"
            )
        text = f"{text}\n{part}"
    return text


def _head(view: View) -> str:
    comparison = view.comparison
    dangers = f" {_CAUTION}" if comparison.dangers else ""
    against = f"Compared with {_code(comparison.revision)} ({_code(comparison.commit[:12])})"
    return f"### What this change does{dangers}\n\n{against}: {headline(comparison)}.\n"


def _table(view: View) -> str:
    """Return a table of the Releases with changes of their own, and the number of the others."""
    own = [one for one in view.releases if not one.is_shared]
    rows = [_row(one, view) for one in own]
    others = len(view.releases) - len(own)
    shared = (
        f"{plural(others, 'Release')} only {'has' if others == 1 else 'have'} changes that several Releases share.\n"
    )
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
    several = view.comparison.several
    lines = []
    for danger in dangers[:_LISTED]:
        release = f"{danger.cluster}: {danger.release}" if several else danger.release
        lines.append(f"- {_code(release)}: {_code(danger.message)} ({danger.code})")
    if len(dangers) > _LISTED:
        lines.append(f"- … and {len(dangers) - _LISTED} more")
    return f"#### {_CAUTION} {plural(len(dangers), 'danger')}\n\n" + "\n".join(lines) + "\n"


def _repeat(repeat: Repeat, view: View) -> str:
    lines = repeat_lines(repeat)
    occurrences = list(repeat_occurrences(repeat, view.comparison))
    shown = [f"{name}: {paths}" for name, paths in occurrences[:_LISTED]]
    if len(occurrences) > _LISTED:
        shown.append(f"… and {plural(len(occurrences) - _LISTED, 'Release')} more")
    title = f"{repeat_title(repeat)}: {' → '.join(_inline(line.text) for line in lines[:2])}"
    return _folded(title, [_fence(lines), "In:", "", _fenced(shown)])


def _release(one: ReleaseView, view: View) -> str:
    release = one.release
    lines = list(one.facts)
    for resource in one.resources:
        if resource.is_shown:
            sign = {"added": "+", "removed": "-", "changed": " "}[resource.resource.status]
            lines.append(Line(sign, printable(resource.resource.label)))
            lines += [Line(line.sign, f"  {line.text}") for line in resource.lines]
    count = sum(line.sign != " " for line in lines)
    title = f"{_inline(release_name(release, view.comparison))} {release.status}, {plural(count, 'line')}"
    parts = [_fence(lines[:_LINES])]
    if len(lines) > _LINES:
        parts.append(f"… and {plural(len(lines) - _LINES, 'line')} more\n")
    if one.repeated:
        parts.append(f"{plural(one.repeated, 'more value')} in the shared changes above.\n")
    return _folded(title, parts)


def _folded(summary: str, parts: Sequence[str]) -> str:
    """Return a collapsed section. `summary` is HTML."""
    return f"<details><summary>{summary}</summary>\n\n" + "\n".join(parts) + "\n</details>\n"


def _fence(lines: Sequence[Line]) -> str:
    return _fenced([f"{line.sign} {line.text}" for line in lines], "diff")


def _fenced(lines: Sequence[str], language: str = "") -> str:
    fence = "`" * max(3, _longest_run(lines) + 1)
    return "\n".join((f"{fence}{language}", *lines, fence, ""))


def _code(text: str) -> str:
    """Return a code span."""
    shown = printable(text)
    backticks = "`" * (_longest_run([shown]) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or len(backticks) > 1 else ""
    return f"{backticks}{pad}{shown}{pad}{backticks}"


def _inline(text: str) -> str:
    """Return an HTML code element, shortened to 80 characters."""
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    return f"<code>{html.escape(printable(shown))}</code>"


def _longest_run(lines: Sequence[str]) -> int:
    return max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
