"""What a process has started, and whether it is gone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path


def children(process: int) -> list[int]:
    """Return all that a process has started, and what that has started."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *children(child)]
    return found


def gone(processes: Iterable[int]) -> bool:
    """Return whether they have ended; init takes note of an end a little later, and is waited for."""
    for number in processes:
        for _ in range(6000):
            if not Path(f"/proc/{number}").exists():
                break
            time.sleep(0.01)
        else:
            return False
    return True
