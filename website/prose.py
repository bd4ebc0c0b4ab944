"""Texts of the code as Markdown."""

from __future__ import annotations

import re


def prose(text: str) -> str:
    """A text of one line, for a paragraph or a table: what it does not mean to say is escaped, and options are code."""
    pieces = " ".join(text.split()).split("`")
    if len(pieces) % 2 == 0:
        raise ValueError(f"a backquote is not closed: {text}")
    for at in range(0, len(pieces), 2):  # between them stands what is code already
        plain = re.sub(r"([\\*<|\[])", r"\\\1", pieces[at])
        pieces[at] = re.sub(r"(?<![\w-])(--[a-z][a-z-]*[a-z])", r"`\1`", plain)
    for at in range(1, len(pieces), 2):
        pieces[at] = pieces[at].replace("|", r"\|")
    return "`".join(pieces)
