"""One run of helm: a clean environment, limits on time, memory and output, and nothing of the user's in reach."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubocd_gen.processes import limit, running

# helm starts in 1 GiB of addresses, and renders a batch with 32 MiB of JSON in 3. A template that prints for ever gets
# here in seconds, before it troubles the machine.
ADDRESS_SPACE = 3 << 30
# A thousand Releases print 20 MB. What is beyond is a template out of hand, and would be held in memory here.
OUTPUT = 192 << 20
_MESSAGES = 1 << 20  # stderr: enough for a Go crash's stack

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
            return "it did not end in time"
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
    variables: Mapping[str, str] | None = None,
) -> Run:
    """Run helm in `home`, an existing scratch folder that it takes for the user's. `timeout` is in seconds.

    `variables` are set over its environment, which has nothing of the user's. Raises OSError where it can't be started.
    """
    with running([str(binary), *arguments], {**_environment(home), **(variables or {})}, folder=home) as process:
        limit(process, "RLIMIT_AS", ADDRESS_SPACE)
        stdout, stderr, stopped = _read(process, time.monotonic() + timeout)
    return Run(process.returncode, stdout, stderr.decode("utf-8", "replace"), stopped)


def _environment(home: Path) -> dict[str, str]:
    folder = str(home)
    return {
        "HOME": folder,
        "TMPDIR": folder,
        "TZ": "UTC",
        # A run lives for a moment: Go's collector, by default busy from 4 MiB on, takes a fifth of it. Under the limit
        # of the address space it works as always.
        "GOGC": "400",
        "GOMEMLIMIT": "1GiB",
        "HELM_CACHE_HOME": f"{folder}/cache",
        "HELM_CONFIG_HOME": f"{folder}/config",
        "HELM_DATA_HOME": f"{folder}/data",
        "HELM_PLUGINS": f"{folder}/plugins",
        "KUBECONFIG": f"{folder}/kubeconfig",
    }


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes, Stop | None]:
    out, err = process.stdout, process.stderr
    if out is None or err is None:
        raise AssertionError("both are pipes")
    taken = {out.fileno(): bytearray(), err.fileno(): bytearray()}
    stopped: Stop | None = None
    with selectors.DefaultSelector() as selector:
        for descriptor in taken:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map() and stopped is None:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                stopped = "timeout"
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fd)
                elif key.fd == out.fileno() or len(taken[key.fd]) < _MESSAGES:
                    taken[key.fd] += data
            if len(taken[out.fileno()]) > OUTPUT:
                stopped = "output"
    if stopped is None:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            stopped = "timeout"
    return bytes(taken[out.fileno()]), bytes(taken[err.fileno()]), stopped
