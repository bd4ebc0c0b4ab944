"""One run of helm, with a clean environment, limits on time, memory and output, and no access to the user's files.

Time is CPU time, if the system reports it: on a busy machine, a normal run takes longer, but needs no more CPU time.
The CPU time of all runs is spent from the budget.
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

# A thousand Releases print 20 MB, in two batches. More is a runaway template, whose output would be held in memory.
OUTPUT = 48 << 20
_MESSAGES = 64 << 10  # stderr: enough for the start of a Go stack trace, and for the message of `fail`
_SPACES = re.compile(r"(\s{20})\s+")
_LOOK = 0.05  # seconds between two checks of helm's CPU time
_WAIT = 4.0  # on a busy machine, helm may run for this factor times its CPU time limit, plus _STUCK seconds
_STUCK = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")
_SAYS_TIME = Path("/proc/self/stat").exists()

_LATEST = 10  # seconds of CPU time over the limit, after which the system kills helm if kcd-gen has not

Stop = Literal["timeout", "output"]


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a helm run. `stopped` is the limit that ended it; None if it ended by itself."""

    returncode: int
    stdout: bytes
    stderr: str
    stopped: Stop | None

    @property
    def out_of_memory(self) -> bool:
        return any("out of memory" in line or "cannot allocate memory" in line for line in self._errors)

    @property
    def summary(self) -> str:
        """The first line of helm's error message, or how it ended."""
        if self.stopped == "timeout":
            return "it timed out"
        lines = self._errors
        return lines[0].removeprefix("Error: ") if lines else f"exit code {self.returncode}"

    @property
    def _errors(self) -> list[str]:
        # At every start, some builds of helm 3 log that a library could not reserve 4 GiB, which it does not need.
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
    """Run helm in `home`, an existing temporary directory that becomes its home directory.

    `memory` is in bytes. `timeout` is in seconds of CPU time, and `spend` is called during the run with the CPU time
    used since its last call. Without `spend`, `timeout` is wall-clock time, because a helm that waits for a server
    uses no CPU time. `variables` are added to the environment, which contains none of the user's variables. Raises
    OSError if helm can't be started, and what `spend` raises.
    """
    environment = {**_environment(home, memory), **(variables or {})}
    _log.debug("%s %s", binary, " ".join(arguments))
    with (
        timed(_log, " ".join(("helm", *arguments[:1]))) as details,
        running([str(binary), *arguments], environment, directory=home) as process,
    ):
        limit(process, "RLIMIT_DATA", memory)
        # If kcd-gen is killed, the system still ends helm.
        limit(process, "RLIMIT_CPU", math.ceil(timeout) + _LATEST)
        stdout, stderr, stopped = _read(process, timeout, spend)
        details.append(stopped or f"exit code {process.returncode}, {len(stdout)} bytes")
    message = _SPACES.sub(r"\1", stderr.decode("utf-8", "replace"))
    return Run(process.returncode, stdout, message, stopped)


def _environment(home: Path, memory: int) -> dict[str, str]:
    directory = str(home)
    return {
        "HOME": directory,
        "TMPDIR": directory,
        "TZ": "UTC",
        # Runs are short, and Go's garbage collector, which starts at 4 MiB by default, takes a fifth of the time. Near
        # GOMEMLIMIT it works as usual.
        "GOGC": "400",
        "GOMEMLIMIT": str(memory * 3 // 4),
        "HELM_CACHE_HOME": f"{directory}/cache",
        "HELM_CONFIG_HOME": f"{directory}/config",
        "HELM_DATA_HOME": f"{directory}/data",
        "HELM_PLUGINS": f"{directory}/plugins",
        "KUBECONFIG": f"{directory}/kubeconfig",
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
    """The CPU time of a process in seconds; wall-clock time since its start if the system does not report it."""

    def __init__(self, process: int, spend: Callable[[float], None] | None) -> None:
        self._path = f"/proc/{process}/stat"
        self._spend = spend
        self._started = time.monotonic()
        self._looked = 0.0
        self._taken = 0.0

    def look(self, *, last: bool = False) -> float:
        """Return the seconds so far, at most _LOOK / 2 old unless `last`, and spend those since the previous call."""
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
