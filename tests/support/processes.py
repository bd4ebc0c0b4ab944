"""Find the descendants of a process, and check that they have ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path


def children(process: int) -> list[int]:
    """Return all descendants of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *children(child)]
    return found


def gone(processes: Iterable[int]) -> bool:
    """Return whether they have ended. Waits a little, because init reaps processes with a delay."""
    for number in processes:
        for _ in range(6000):
            if not Path(f"/proc/{number}").exists():
                break
            time.sleep(0.01)
        else:
            return False
    return True
