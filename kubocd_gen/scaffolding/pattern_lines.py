"""Lines of Git's pattern files (`.gitattributes`, `.sourceignore`), which are added to a file that may have others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kubocd_gen.scaffolding.files import ScaffoldFile, present

_SPECIAL = re.compile(r"[\\*?\[\]]")


def literal(path: str) -> str:
    """`path` as a pattern that matches it alone, whatever characters its names have."""
    return _SPECIAL.sub(lambda found: chr(92) + found.group(), path)


def pattern_file(root: Path, name: str, lines: Sequence[str], heading: str) -> ScaffoldFile:
    """The file `name` of the checkout at `root` with `lines` in it. Raises ProblemsError `unusable-file`."""
    before = present(root / name, root)
    text = before.decode("utf-8", "surrogateescape") if before else None
    after = with_lines(text, lines, heading).encode("utf-8", "surrogateescape")
    return ScaffoldFile(root / name, after, before, is_shared=True)


def with_lines(text: str | None, lines: Sequence[str], heading: str) -> str:
    """The file's text with those of `lines` at its end that it lacks, below `heading`; unchanged where it has them all.

    At the end, because of lines that match one path the last one counts.
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
