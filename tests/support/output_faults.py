"""Run a build in a separate process, under a real fault.

`python -m tests.support.output_faults` reads a line of JSON for each build and prints one. It forks for each build, so
Python starts and imports once. Nothing that starts a thread can run before, because a fork copies no threads.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kubocd_gen.files import directory
from tests.support import outputs
from tests.support.outputs import release

OLD = (release("web"), release("gone"), release("same"))
NEW = (release("web", version="2.0.0", replicas=2), release("new"), release("same"))

EXCHANGE = "exchange"  # the attribute of a Directory


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a build ended: its exit code (negative: the signal), and its output."""

    returncode: int
    stderr: str


def build_new(root: Path, fault: str, number: int) -> RunResult:
    """Build NEW at `root` in a process that first calls the function `fault` of this module with `number`."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([str(root), fault, number]) + "\n")
    server.stdin.flush()
    return RunResult(**json.loads(server.stdout.readline()))


@cache
def _server() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.output_faults"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    return process


def _serve() -> None:
    from tests.support.output_faults import _build  # import by the module's own name, which has the faults

    os.fsync = lambda fd: None  # written data survives the process; only a power cut would lose it
    for line in sys.stdin:
        root, fault, number = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(writer, 2)
            os.close(writer)
            _build(Path(root), fault, number)
        os.close(writer)
        with open(reader, encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
            stderr = stream.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"returncode": code, "stderr": stderr}), flush=True)  # noqa: T201


def _build(root: Path, fault: str, number: int) -> None:
    code = 1
    try:
        globals()[fault](number)
        outputs.build(root, *NEW)
        code = 0
    except Exception:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def limit_file_size(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def kill_at(number: int) -> None:
    """SIGKILL this process right before its move `number`: renames, exchanges, links and removals of files."""
    made = 0

    def dying(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in ("rename", "replace", "link", "unlink"):
        setattr(os, name, dying(getattr(os, name)))
    setattr(directory, EXCHANGE, dying(getattr(directory, EXCHANGE)))


def kill_at_without_exchange(number: int) -> None:
    """`kill_at` on a file system that cannot exchange directories."""
    setattr(directory, EXCHANGE, lambda one, other: False)
    kill_at(number)


if __name__ == "__main__":
    _serve()
