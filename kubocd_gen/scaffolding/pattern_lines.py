"""Add lines to files of Git patterns (`.gitattributes`, `.sourceignore`) that can have other lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kubocd_gen.scaffolding.files import ScaffoldFile, present

_SPECIAL = re.compile(r"[\\*?\[\]]")


def literal(path: str) -> str:
    """Return a pattern that matches only `path`, with special characters escaped."""
    return _SPECIAL.sub(lambda found: chr(92) + found.group(), path)


def pattern_file(root: Path, name: str, lines: Sequence[str], heading: str) -> ScaffoldFile:
    """Plan the file `name` of the checkout at `root` with `lines` in it. Raises ProblemsError `unusable-file`."""
    before = present(root / name, root)
    text = before.decode("utf-8", "surrogateescape") if before else None
    after = with_lines(text, lines, heading).encode("utf-8", "surrogateescape")
    return ScaffoldFile(root / name, after, before, is_shared=True)


def with_lines(text: str | None, lines: Sequence[str], heading: str) -> str:
    """Return the text of a file with the missing `lines` appended below `heading`; unchanged if none is missing.

    They are appended, because the last line that matches a path takes precedence.
    """
    present = {line.rstrip() for line in (text or "").splitlines()}
    missing = [line for line in lines if line not in present]
    if not missing:
        return text or ""
    parts = [text.rstrip("\n"), ""] if text and text.strip() else []
    headings = [] if heading in present else [heading]
    if not headings:
        parts = parts[:1]
    return "\n".join([*parts, *headings, *missing]) + "\n"
