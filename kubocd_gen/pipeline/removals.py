"""The guard against removing much at once, which is more often a mistake than meant: a wrong path, a renamed directory.

Flux uninstalls what a build removes, so the user confirms the number.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from kubocd_gen.diagnostics.problems import Position, Problem

_FEWEST = 3  # removals that need no confirmation as long as something else is left: up to 2
_SHARE = 0.5  # of all; if at least this share is removed, _FEWEST applies
_LISTED = 5  # names in the message


def mass_removal(
    removed: Collection[str], total: int, allowed: int, subject: str, noun: str, position: Position | None = None
) -> Problem | None:
    """Return the error for removing all of `total`, or at least three that are at least half of them; None if allowed.

    `allowed` is the number of removals that the user has confirmed. `subject` and `noun` are words of the message, such
    as "this build" and "Release".
    """
    count = len(removed)
    if count <= allowed or not (count == total or (count >= _FEWEST and count >= total * _SHARE)):
        return None
    names = ", ".join(islice(sorted(removed), _LISTED)) + (f" and {count - _LISTED} more" if count > _LISTED else "")
    share = (
        f"the only {noun}"
        if total == 1
        else f"all {total} {noun}s"
        if count == total
        else f"{count} of {total} {noun}s"
    )
    hint = f"check that no source is missing; if this is intended, add --allow-removals {count}"
    return Problem("mass-removal", f"{subject} would remove {share}: {names}", position, hint)
