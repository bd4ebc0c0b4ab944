"""A build in a child process, under a real fault: `python -c CHILD <root> limit|kill <number>`."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from kubocd_gen.files import directory
from tests.unit.output.outputs import release

OLD = (release("web"), release("gone"), release("same"))
NEW = (release("web", version="2.0.0", replicas=2), release("new"), release("same"))

EXCHANGE = "exchange"  # as a Directory knows it

_CHILD = """
import sys
from pathlib import Path
from tests.unit.output import faults, outputs

getattr(faults, sys.argv[2])(int(sys.argv[3]))
outputs.build(Path(sys.argv[1]), *faults.NEW)
"""


def build_new(root: Path, fault: str, number: int) -> subprocess.CompletedProcess[str]:
    """Build NEW at `root` in a child process that first calls the function `fault` of this module with `number`."""
    command = [sys.executable, "-c", _CHILD, str(root), fault, str(number)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def limit_file_size(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def kill_at(number: int) -> None:
    """SIGKILL this process in front of its move `number`: renames, exchanges, links and removals of files."""
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
    """`kill_at` on a file system where folders can't change places."""
    setattr(directory, EXCHANGE, lambda one, other: False)
    kill_at(number)
