"""Measure the cost of hostile input: the time and memory of all of kcd-gen's processes for each kind.

    python -m tests.benchmarks.hostile [WORD…]

prints the table of docs/limits.md; with WORDs, only the rows that contain one of them. It fails if a row exceeds a
minute or a gibibyte, or if a run neither succeeds nor ends with an error of its own.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.budget.watchdog import resident
from tests.benchmarks.hostile_inputs import Input, chosen

MAX_SECONDS = 60.0
MAX_MEMORY = 1 << 30
_TIMEOUT = 300.0  # seconds after which a run is killed
_INTERVAL = 0.02  # seconds between two samples of the memory


@dataclass(frozen=True, slots=True)
class Cost:
    """`ended` is the code of the first error, or another outcome of the run."""

    wall: float
    processor: float
    memory: int
    ended: str

    @property
    def within_limits(self) -> bool:
        return self.wall <= MAX_SECONDS and self.memory <= MAX_MEMORY and self.ended != "no error"


def main() -> int:
    """Print the table."""
    print("| input | time | of it, processor | memory | ends |\n|---|---|---|---|---|", flush=True)
    failures = 0
    for name, made in chosen(sys.argv[1:]):
        cost = measure(made)
        failures += not cost.within_limits
        figures = f"{cost.wall:.1f} s | {cost.processor:.1f} s | {cost.memory >> 20} MiB"
        print(f"| {name} | {figures} | {cost.ended} |{'' if cost.within_limits else ' TOO MUCH'}", flush=True)
    return 1 if failures else 0


def measure(made: Input) -> Cost:
    """Run kcd-gen once with its own input."""
    with tempfile.TemporaryDirectory(prefix="kcd-gen-hostile-") as name:
        directory = Path(name)
        command = [sys.executable, "-m", "kubocd_gen", *made(directory), "--no-progress"]
        environment = {**os.environ, "HOME": name, "XDG_CACHE_HOME": f"{name}/cache"}
        before, began, peak = _processor_time(), time.monotonic(), 0
        with (
            (directory / "log").open("wb") as log,
            subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=subprocess.STDOUT) as process,
        ):
            while process.poll() is None:
                peak = max(peak, resident([process.pid]))
                if time.monotonic() - began > _TIMEOUT:
                    process.terminate()
                time.sleep(_INTERVAL)
        wall = time.monotonic() - began
        text = (directory / "log").read_text(errors="replace")
        return Cost(wall, _processor_time() - before, peak, _ended(process.returncode, text))


def _ended(returncode: int, text: str) -> str:
    if returncode == 0:
        return "completed"
    found = re.search(r"error\[([a-z-]+)\]", text)
    if not found:
        return "no error"
    limit = re.search(r"--limit ([a-z-]+)=", text)
    return f"`{found[1]}`" + (f" (`{limit[1]}`)" if limit and found[1] in ("run-limit", "package-limit") else "")


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
