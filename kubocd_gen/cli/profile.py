"""`--profile`: a trace of a run in Chrome's trace event format, which Perfetto and chrome://tracing show.

The events are the operations that `processes/timing.py` also logs, so a trace contains no more than the log.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubocd_gen import __version__
from kubocd_gen.cli.console import print_problems
from kubocd_gen.diagnostics.problems import Position, Problem
from kubocd_gen.files.directory import check_replaceable, write_whole
from kubocd_gen.files.paths import display_path, hint_of
from kubocd_gen.processes.timing import Operation, recording

_NANOSECONDS = 1_000_000_000


def profiled(path: Path, command: str, run: Callable[[], int]) -> int:
    """Return the exit code of `run`, and write its trace to `path`, also if it raises.

    If `path` cannot be replaced, for example because it is a device, nothing is run.
    """
    try:
        check_replaceable(path)
    except OSError as error:
        return print_problems([_unwritable(path, error)])
    trace = Trace(command)
    code = 1  # if `run` raises, which exit code that has is decided later
    try:
        with recording(trace.record):
            code = run()
    finally:
        try:
            write_whole(path, trace.text().encode(), make=True)
        except OSError as error:
            code = code or print_problems([_unwritable(path, error)])
    return code


class Trace:
    """The operations of a run. Thread-safe."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._began = time.monotonic()
        self._main = threading.get_native_id()
        self._threads: dict[int, str] = {}
        self._operations: list[tuple[int, Operation]] = []

    def record(self, operation: Operation) -> None:
        """Add an operation that has ended in this thread."""
        thread = threading.get_native_id()
        self._threads[thread] = threading.current_thread().name
        self._operations.append((thread, operation))

    def text(self) -> str:
        """Return the trace until now as JSON."""
        now = time.monotonic()
        started = process_start(now, self._began)
        process = os.getpid()
        self._threads[self._main] = "main"

        def events() -> Iterator[dict[str, Any]]:
            whole = Operation("kubocd_gen.cli", self._command, started, now - started, ())
            imports = Operation("kubocd_gen.cli", "start", started, self._began - started, ())
            yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": whole.name}}
            for thread, name in self._threads.items():
                yield {"ph": "M", "pid": process, "tid": thread, "name": "thread_name", "args": {"name": name}}
            for thread, one in sorted(
                [(self._main, whole), (self._main, imports), *self._operations],
                key=lambda pair: (pair[1].began, -pair[1].seconds),
            ):
                # Rounded here, so that an event never seems to end after the one that contains it.
                begin, end = (round((at - started) * _NANOSECONDS) for at in (one.began, one.began + one.seconds))
                yield {
                    "ph": "X",
                    "pid": process,
                    "tid": thread,
                    "cat": one.kind.split(".")[1],
                    "name": one.name,
                    "ts": begin / 1000,
                    "dur": (end - begin) / 1000,
                    "args": {"details": ", ".join(one.details)} if one.details else {},
                }

        other = {"version": f"kcd-gen {__version__}", "command": self._command}
        lines = ",\n".join(map(json.dumps, events()))
        return f'{{"displayTimeUnit": "ms", "otherData": {json.dumps(other)}, "traceEvents": [\n{lines}\n]}}\n'


def process_start(now: float, otherwise: float) -> float:
    """Return when this process started, as a time of `time.monotonic` like `now`; `otherwise` if it is not known.

    Linux tells it to a hundredth of a second.
    """
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):  # not on Linux
        return otherwise
    return min(now - age, otherwise) if 0 <= age < 24 * 60 * 60 else otherwise


def _unwritable(path: Path, error: OSError) -> Problem:
    message = f"cannot write the profile: {error.strerror or error}"
    hint = hint_of(error) or "choose the path of a regular file in a directory that you can write to"
    return Problem("unusable-file", message, Position(display_path(path, Path.cwd())), hint)
