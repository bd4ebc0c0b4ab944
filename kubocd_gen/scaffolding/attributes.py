"""`.gitattributes`: Git must not touch the bytes of what is written, and reviews show generated files folded."""

from __future__ import annotations

import re

from kubocd_gen.scaffolding.pattern_lines import literal

NAME = ".gitattributes"
HEADING = "# What kcd-gen writes: the same bytes everywhere, and folded in reviews (on GitHub, on GitLab)."

# A digest of each index.yaml stands in the resources, a vendored package is known by the digests of its parts, and
# `build --check` compares bytes: no line breaks may change.
_WRITTEN = "-text linguist-generated gitlab-generated"
_FOLDERS = ("flux", "hr", ".kcd-gen")
_TO_QUOTE = re.compile(r"[\x00-\x20\"\x7f]")


def lines_for_output(output: str) -> list[str]:
    """The lines for an output, its path being relative to the file's own folder, as in the other functions here."""
    below = f"/{literal(output)}/" if output else "/"
    lines = [f"{_quoted(f'{below}{folder}/**')} {_WRITTEN}" for folder in _FOLDERS]
    # No differences in text of archives, and none that a merge would try to combine; of the list, both sides' lines.
    lines.append(f"{_quoted(f'{below}hr/**/*.tgz')} binary")
    lines.append(f"{_quoted(f'{below}flux/kustomization.yaml')} merge=union")
    return lines


def line_for_file(path: str) -> str:
    return f"{_quoted(f'/{literal(path)}')} {_WRITTEN}"


def line_for_folder(path: str) -> str:
    return f"{_quoted(f'/{literal(path)}/**')} {_WRITTEN}"


def _quoted(pattern: str) -> str:
    """The pattern in C's quotes, where without them it would end at a space."""
    if not _TO_QUOTE.search(pattern):
        return pattern
    escaped = pattern.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\{ord(found.group()):03o}", escaped) + '"'
