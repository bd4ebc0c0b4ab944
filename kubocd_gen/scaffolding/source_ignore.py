"""`.sourceignore`: what Flux leaves out of the artifact that it makes of a checkout.

Its lines are those of `.gitignore`, and a line that begins with `/` counts from the folder that holds the file. What
Flux leaves out by itself (`.git/`, pictures, `*.zip`, `*.tar.gz`, files of CI) stays left out.
"""

from __future__ import annotations

from kubocd_gen.scaffolding.pattern_lines import literal

NAME = ".sourceignore"
HEADING = (
    "# Charts and records of kcd-gen: the server's image carries the charts, and nothing in the cluster reads the rest."
)


def ignored_folder(path: str) -> str:
    """The line for a folder, `path` being relative to the file's own."""
    return f"/{literal(path).replace(' ', chr(92) + ' ')}/"
