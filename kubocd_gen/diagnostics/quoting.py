"""Quote untrusted strings in messages."""

from __future__ import annotations

from kubocd_gen.diagnostics.problems import printable

_LONGEST = 200  # characters; a longer name is an attack or a mistake, and its start shows which


def shown(text: str) -> str:
    """Return `text` in single quotes, with escapes for unprintable characters, and truncated if it is very long."""
    shortened = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"'{printable(shortened)}'"
