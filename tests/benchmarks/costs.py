"""What a run of a program costs: wall time, CPU time and memory, of all its processes."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_INTERVAL = 0.005  # seconds between two samples of the memory


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run. `codes` are the exit codes that it may have."""

    words: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    codes: tuple[int, ...] = (0,)

    def start(self, log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.words, cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU time in seconds. CPU time is that of the process and of all others that it has started."""

    wall: float
    processor: float


def run(command: Command, log: Path) -> Cost:
    """Run a program once; its output goes to `log`. Raises RuntimeError if it fails."""
    with log.open("wb") as output:
        began = time.perf_counter()
        process = command.start(output.fileno())
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    _check(process.returncode, command, log)
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def peak_memory(command: Command, log: Path) -> int | None:
    """Run a program once and return the most memory in bytes that its processes had at the same time.

    None if the system does not tell it. Memory that processes share is counted once. The samples cost time, so a run
    whose memory is measured is not timed.
    """
    peak: int | None = None
    with log.open("wb") as output:
        process = command.start(output.fileno())
        while process.poll() is None:
            now = proportional([process.pid])
            if now is not None:
                peak = now if peak is None else max(peak, now)
            time.sleep(_INTERVAL)
    _check(process.returncode, command, log)
    return peak


def proportional(processes: Sequence[int]) -> int | None:
    """Return the memory of processes and their children in bytes (their PSS), or None if nothing reports it."""
    total, waiting, seen = None, list(processes), set[int]()
    while waiting:
        process = waiting.pop()
        if process in seen:
            continue
        seen.add(process)
        with contextlib.suppress(OSError, ValueError):  # the process has just ended
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total = (total or 0) + int(line.split()[1]) * 1024
            for children in Path(f"/proc/{process}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
    return total


def median(costs: Sequence[Cost]) -> Cost:
    """Return the medians of wall and CPU time."""
    return Cost(statistics.median(one.wall for one in costs), statistics.median(one.processor for one in costs))


def _check(code: int, command: Command, log: Path) -> None:
    if code not in command.codes:
        text = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"exit code {code} of {' '.join(command.words)}:\n{text}")
