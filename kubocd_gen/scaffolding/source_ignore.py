"""Lines for `.sourceignore`: files that Flux excludes from the artifact of a checkout.

The syntax is that of `.gitignore`; a line with a leading `/` is relative to the directory of the file. Flux's default
exclusions (`.git/`, images, `*.zip`, `*.tar.gz`, CI files) still apply.
"""

from __future__ import annotations

from kubocd_gen.scaffolding.pattern_lines import literal

NAME = ".sourceignore"
HEADING = (
    "# Charts, which are in the image of the chart server, and kcd-gen's inventory, which the cluster does not need."
)


def ignored_directory(path: str) -> str:
    """Return the line for a directory; `path` is relative to the directory of `.sourceignore`."""
    return f"/{literal(path).replace(' ', chr(92) + ' ')}/"
