"""How property tests search: the same everywhere in CI, anew with each run by hand."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A slow or busy machine is no failure, and a change is judged by what it changes, not by luck.
by_hand = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("by-hand", by_hand)
settings.register_profile("ci", by_hand, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "by-hand")
