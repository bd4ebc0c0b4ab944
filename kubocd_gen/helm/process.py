"""One run of helm: a clean environment, limits on time, memory and output, and nothing of the user's in reach.

Time is that of the processor, where the system says how much a program has had: on a busy machine an honest run takes
long and a template without end takes as much as anywhere. What all runs take together is spent from the budget.
"""

from __future__ import annotations

import logging
import math
import os
import re
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubocd_gen.processes.children import limit, running
from kubocd_gen.processes.timing import timed

_log = logging.getLogger(__name__)

# A thousand Releases print 20 MB, in two batches. What is beyond is a template out of hand, and held in memory here.
OUTPUT = 48 << 20
_MESSAGES = 64 << 10  # stderr: enough for the beginning of a Go crash's stack, and for what a template says with `fail`
_SPACES = re.compile(r"(\s{20})\s+")
_LOOK = 0.05  # seconds between two looks at the time that helm has taken
_WAIT = 4.0  # times the time that helm may take, and _STUCK seconds: so long it is waited for on a busy machine
_STUCK = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")
_SAYS_TIME = Path("/proc/self/stat").exists()

_LATEST = 10  # seconds of the processor after which the system ends a helm that kcd-gen should have ended

Stop = Literal["timeout", "output"]


@dataclass(frozen=True, slots=True)
class Run:
    """What helm did. `stopped` names the limit that ended it, None where it ended by itself."""

    returncode: int
    stdout: bytes
    stderr: str
    stopped: Stop | None

    @property
    def out_of_memory(self) -> bool:
        return any("out of memory" in line or "cannot allocate memory" in line for line in self._complaints)

    @property
    def summary(self) -> str:
        """The first line that helm complained with."""
        if self.stopped == "timeout":
            return "it timed out"
        lines = self._complaints
        return lines[0].removeprefix("Error: ") if lines else f"exit code {self.returncode}"

    @property
    def _complaints(self) -> list[str]:
        # Some builds of helm 3 log at every start that a library could not reserve 4 GiB of addresses: it needs none.
        return [line for line in self.stderr.splitlines() if line.strip() and "Starlark failed to allocate" not in line]


def run_helm(
    binary: Path,
    arguments: Sequence[str],
    home: Path,
    timeout: float,
    *,
    memory: int = 1 << 30,
    spend: Callable[[float], None] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Run:
    """Run helm in `home`, an existing scratch folder that it takes for the user's.

    `memory` is in bytes. `timeout` is in seconds of the processor, and `spend` is called with those that it takes,
    while it does; without it `timeout` is by the clock: a helm that waits for a server takes none. `variables` are set
    over its environment, which has nothing of the user's. Raises OSError where it can't be started, and what `spend`
    raises.
    """
    environment = {**_environment(home, memory), **(variables or {})}
    _log.debug("%s %s", binary, " ".join(arguments))
    with (
        timed(_log, " ".join(("helm", *arguments[:1]))) as details,
        running([str(binary), *arguments], environment, folder=home) as process,
    ):
        limit(process, "RLIMIT_DATA", memory)
        # For the case that kcd-gen is killed, and nobody is left to end it.
        limit(process, "RLIMIT_CPU", math.ceil(timeout) + _LATEST)
        stdout, stderr, stopped = _read(process, timeout, spend)
        details.append(stopped or f"exit code {process.returncode}, {len(stdout)} bytes")
    said = _SPACES.sub(r"\1", stderr.decode("utf-8", "replace"))
    return Run(process.returncode, stdout, said, stopped)


def _environment(home: Path, memory: int) -> dict[str, str]:
    folder = str(home)
    return {
        "HOME": folder,
        "TMPDIR": folder,
        "TZ": "UTC",
        # A run lives for a moment: Go's collector, by default busy from 4 MiB on, takes a fifth of it. Near the limit
        # of memory it works as always.
        "GOGC": "400",
        "GOMEMLIMIT": str(memory * 3 // 4),
        "HELM_CACHE_HOME": f"{folder}/cache",
        "HELM_CONFIG_HOME": f"{folder}/config",
        "HELM_DATA_HOME": f"{folder}/data",
        "HELM_PLUGINS": f"{folder}/plugins",
        "KUBECONFIG": f"{folder}/kubeconfig",
    }


def _read(
    process: subprocess.Popen[bytes], timeout: float, spend: Callable[[float], None] | None
) -> tuple[bytes, bytes, Stop | None]:
    out, err = process.stdout, process.stderr
    if out is None or err is None:
        raise AssertionError("both are pipes")
    taken = {out.fileno(): bytearray(), err.fileno(): bytearray()}
    clock = _Clock(process.pid, spend)
    deadline = time.monotonic() + (timeout * _WAIT + _STUCK if spend else timeout)
    stopped: Stop | None = None
    with selectors.DefaultSelector() as selector:
        for descriptor in taken:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map() and stopped is None:
            ready = selector.select(_LOOK)
            if clock.look() > timeout or time.monotonic() > deadline:
                stopped = "timeout"
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fd)
                elif key.fd == out.fileno() or len(taken[key.fd]) < _MESSAGES:
                    taken[key.fd] += data
            if len(taken[out.fileno()]) > OUTPUT:
                stopped = "output"
    clock.look(last=True)
    if stopped is None:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            stopped = "timeout"
    if stopped == "output":
        taken[out.fileno()].clear()
    return bytes(taken[out.fileno()]), bytes(taken[err.fileno()]), stopped


class _Clock:
    """The seconds of the processor that a program has had; those since its start where the system does not say it."""

    def __init__(self, process: int, spend: Callable[[float], None] | None) -> None:
        self._path = f"/proc/{process}/stat"
        self._spend = spend
        self._started = time.monotonic()
        self._looked = 0.0
        self._taken = 0.0

    def look(self, *, last: bool = False) -> float:
        """The seconds so far, to some hundredths but for the `last` time. Those since the last look are spent."""
        now = time.monotonic() - self._started
        if now - self._looked < _LOOK / 2 and not last:
            return self._taken
        self._looked = now
        try:
            fields = Path(self._path).read_bytes().rpartition(b")")[2].split()
            taken = (int(fields[11]) + int(fields[12])) / _TICKS
        except (OSError, IndexError, ValueError):
            taken = self._taken if _SAYS_TIME else now
        spent, self._taken = self._taken, max(taken, self._taken)
        if self._spend:
            self._spend(self._taken - spent)
        return self._taken
