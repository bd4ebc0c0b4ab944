"""Convert help texts and descriptions in the code to Markdown."""

from __future__ import annotations

import re


def prose(text: str) -> str:
    """Return `text` as one line of Markdown: special characters are escaped, and options become code.

    Raises ValueError for an unbalanced backtick.
    """
    pieces = " ".join(text.split()).split("`")
    if len(pieces) % 2 == 0:
        raise ValueError(f"unbalanced backtick: '{text}'")
    for index in range(0, len(pieces), 2):  # the pieces in between are code already
        plain = re.sub(r"([\\*<|\[])", r"\\\1", pieces[index])
        pieces[index] = re.sub(r"(?<![\w-])(--[a-z][a-z-]*[a-z])", r"`\1`", plain)
    for index in range(1, len(pieces), 2):
        pieces[index] = pieces[index].replace("|", r"\|")
    return "`".join(pieces)
