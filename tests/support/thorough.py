"""How far the tests search: briefly by hand, further where THOROUGH_TESTS is set, as `.ci/run` and CI do."""

from __future__ import annotations

import os

THOROUGH = bool(os.environ.get("THOROUGH_TESTS") or os.environ.get("CI"))


def count(by_hand: int, thorough: int) -> int:
    """Return the number of examples, points or texts that a test looks at in this run."""
    return thorough if THOROUGH else by_hand
