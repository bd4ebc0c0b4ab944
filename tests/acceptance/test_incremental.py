"""An incremental build has the same result as a full one, byte for byte, whatever has changed since the last build.

`INCREMENTAL_SEEDS=7,8 INCREMENTAL_EDITS=500 python -m pytest tests/acceptance/test_incremental.py` searches further.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.edits import EDITS
from tests.support.incremental import check
from tests.support.thorough import count

SEEDS = [int(seed) for seed in os.environ.get("INCREMENTAL_SEEDS", "1,2,3,4").split(",")]
LENGTH = int(os.environ.get("INCREMENTAL_EDITS", count(5, 25)))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_incremental_build_has_the_result_of_a_full_one(tmp_path: Path, seed: int) -> None:
    world = check(seed, LENGTH, EDITS, tmp_path)
    assert world.builds == LENGTH + 1
    assert world.restored > 2 * LENGTH  # the state is used: a build restores up to 18 Releases
