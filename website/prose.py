"""Texts of the code as Markdown."""

from __future__ import annotations

import re


def prose(text: str) -> str:
    """A text of one line, for a paragraph or a table: what it does not mean to say is escaped, and options are code."""
    line = re.sub(r"\s+", " ", text).strip()
    plain = re.sub(r"([\\*<|\[])", r"\\\1", line)
    return re.sub(r"(?<![\w`-])(--[a-z][a-z-]*[a-z])", r"`\1`", plain)
