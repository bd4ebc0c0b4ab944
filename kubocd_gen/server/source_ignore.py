"""`.sourceignore`: what Flux leaves out of the artifact that it makes of a checkout.

Its lines are those of `.gitignore`, and a line that begins with `/` counts from the folder that holds the file. What
Flux leaves out by itself (`.git/`, pictures, `*.zip`, `*.tar.gz`, files of CI) stays left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

NAME = ".sourceignore"
_SPECIAL = re.compile(r"[\\*?\[\] ]")
_HEADING = (
    "# Charts and records of kcd-gen: the server's image carries the charts, and nothing in the cluster reads the rest."
)


def ignored_folder(path: str) -> str:
    """The line for a folder, `path` being relative to the file's own."""
    return f"/{_SPECIAL.sub(lambda found: chr(92) + found.group(), path)}/"


def with_lines(text: str | None, lines: Sequence[str]) -> str:
    """The file's text with those of `lines` at its end that it lacks; unchanged where it has them all.

    At the end, because of lines that match one path the last one counts.
    """
    present = {line.rstrip() for line in (text or "").splitlines()}
    missing = [line for line in lines if line not in present]
    if not missing:
        return text or ""
    parts = [text.rstrip("\n"), ""] if text and text.strip() else []
    heading = [] if _HEADING in present else [_HEADING]
    if not heading:
        parts = parts[:1]
    return "\n".join([*parts, *heading, *missing]) + "\n"
