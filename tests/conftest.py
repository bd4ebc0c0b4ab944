"""A directory for state that is not the user's; and how property tests search.

They search the same everywhere in CI, anew with each run by hand, and long when asked to:
`HYPOTHESIS_PROFILE=long python -m pytest tests/unit` looks at 20,000 examples of each property.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A slow or busy machine is no failure, and a change is judged by what it changes, not by luck.
by_hand = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("by-hand", by_hand)
settings.register_profile("ci", by_hand, max_examples=1_000, derandomize=True, print_blob=True)
settings.register_profile("long", by_hand, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "by-hand"))


@pytest.fixture(scope="session", autouse=True)
def state_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests, and what they start, keep journals of writes in a directory of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
