"""Processes of the cluster: started on loopback addresses, with a log each, and stopped in reverse order."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_START_SECONDS = 180
_STOP_SECONDS = 20


class ClusterError(Exception):
    """The cluster did not do what it must; the message is for people."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running process and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def check(self) -> None:
        """Raise ClusterError if the process has ended."""
        if self.process.poll() is not None:
            raise ClusterError(f"{self.name} ended with {self.process.returncode}; {self.log}:\n{self.tail()}")


@contextmanager
def run(
    command: Sequence[str | Path],
    directory: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run a program until the block ends, and wait until it is `ready`. Its log and HOME are in `directory`."""
    name = Path(command[0]).name
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "log"
    clean = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(directory), "TMPDIR": str(directory)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(argument) for argument in command],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**clean, **(environment or {})},
        )
    running = Running(name, process, log)
    try:
        wait(ready, _START_SECONDS, f"{name} did not start; {log}", running)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(ready: Callable[[], bool], seconds: float, message: str, *processes: Running) -> None:
    """Wait until `ready` returns True. Raises ClusterError after `seconds`, or if one of the processes ends."""
    deadline = time.monotonic() + seconds
    while not ready():
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            raise ClusterError(message)
        time.sleep(0.25)


def answers(url: str) -> Callable[[], bool]:
    """Return a function that tests whether a server on a loopback address answers a request with success."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def test() -> bool:
        try:
            with opener.open(url, timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    return test
