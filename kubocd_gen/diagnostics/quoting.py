"""Text that strangers wrote, made fit to stand in a message."""

from __future__ import annotations

from kubocd_gen.diagnostics.problems import printable

_LONGEST = 200  # characters; a name longer than this is an attack or a mistake, and its start says which


def shown(text: str) -> str:
    """`text` in single quotes, with Python escapes for what a terminal would not print plainly, cut when very long."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"'{printable(cut)}'"
