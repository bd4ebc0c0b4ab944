"""Keep the tests' state out of the user's directories, and configure Hypothesis.

Run by hand, property tests search briefly and with a different seed each time; where THOROUGH_TESTS or CI is set, they
search further and always the same way. `HYPOTHESIS_PROFILE=long python -m pytest tests/unit` tries 20,000 examples of
each property.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from kubocd_gen.helm import batch_run as attempt
from tests.support.thorough import THOROUGH

# A slow or busy machine is not a failure, and in CI the result depends on the change alone, not on chance.
by_hand = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("by-hand", by_hand)
settings.register_profile("ci", by_hand, max_examples=200, derandomize=True, print_blob=True)
settings.register_profile("long", by_hand, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if THOROUGH else "by-hand"))


@pytest.fixture(scope="session", autouse=True)
def state_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the write journals of the tests, and of the processes they start, in a temporary directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_fsync() -> Iterator[None]:
    """Skip fsync: it waits for the disk, and no test can observe what it does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop endless templates after a third of the usual processor time."""
    for name in ("_BATCH_TIME", "_PIECE_TIME", "_ALONE"):
        monkeypatch.setattr(attempt, name, getattr(attempt, name) / 3)
    monkeypatch.setattr(attempt.Runner.seconds, "__defaults__", (attempt._BATCH_TIME,))
