"""Run kcd-gen and kill it: each run is a separate process, forked from one that has imported everything.

`Driver` starts `python -m tests.faults.output.driver`, which reads a line of JSON for each run and prints one.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGING = ".kcd-gen/.staging"

_CHANGES = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir")


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: its exit code (negative: the signal), its output, and the number of points to kill it at."""

    code: int
    output: str
    points: int


class Driver:
    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.output.driver"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(
        self,
        directory: Path,
        arguments: Sequence[str],
        *,
        point: int | None = None,
        seconds: float | None = None,
        limit: int | None = None,
    ) -> RunResult:
        """Run kcd-gen with `arguments`; SIGKILL it at change number `point` of the output, or after `seconds`.

        Once it begins to write, no file can become larger than `limit`.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {
            "directory": str(directory),
            "arguments": list(arguments),
            "point": point,
            "seconds": seconds,
            "limit": limit,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return RunResult(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate()


def _serve() -> None:
    # Only import what starts no thread: a fork copies no threads.
    import kubocd_gen.cli.build  # noqa: F401

    os.fsync = lambda fd: None  # written data survives the process; only a power cut would lose it

    for line in sys.stdin:
        order = json.loads(line)
        output, counted = (Path(order["directory"]) / name for name in (".output", ".points"))
        for path in (output, counted):
            path.write_text("")
        child = os.fork()
        if not child:
            _run(order, output, counted)
        if order["seconds"] is not None:
            time.sleep(order["seconds"])
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ended = {"code": code, "output": output.read_text(), "points": int(counted.read_text() or 0)}
        print(json.dumps(ended), flush=True)  # noqa: T201


def _run(order: dict[str, Any], output_file: Path, counted: Path) -> None:
    from kubocd_gen.cli import main

    code: Any = 70
    try:
        os.chdir(order["directory"])
        output = os.open(output_file, os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = ["kcd-gen", *order["arguments"]]
        points = _kill_at(order["point"], order["limit"])
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
        counted.write_text(str(points[0]))
    finally:
        os._exit(code)


def _kill_at(point: int | None, limit: int | None) -> list[int]:
    """Count the disk changes once the staging directory appears, and kill the process at number `point`.

    With the first of them, set the `limit` of a file's size.
    """
    made, lock = [0], threading.Lock()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            counts = bool(made[0]) and isinstance(arguments[2], int) and bool(arguments[2] & os.O_CREAT)
        else:
            counts = event in _CHANGES and (bool(made[0]) or arguments[0] == Path(STAGING).name)
        if not counts:
            return
        with lock:
            made[0] += 1
            if made[0] == 1 and limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            if made[0] == point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return made


if __name__ == "__main__":
    _serve()
