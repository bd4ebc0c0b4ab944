"""A computation in a copy of this process, for the second processor: Python threads compute one after another.

The copy inherits everything, and returns its result through a file. It has only one thread, and locks that other
threads held stay locked in it, so it must not log, print, or use what threads share; if it hangs or fails, the caller
computes the result itself.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import IO, Generic, NoReturn, TypeVar

from kubocd_gen.processes.children import registered

Result = TypeVar("Result")

_STEP = 0.002  # seconds between two looks at the copy


class CopyError(Exception):
    """The copy failed, was killed, or took too long."""


def can_copy() -> bool:
    """Return whether a copy is possible and worthwhile: on Linux, with a second processor."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1


class Copy(Generic[Result]):
    """A copy of this process that computes `work()`. `seconds` limit its CPU time.

    As a context manager, it is killed at the end of the block if it is still running. Raises CopyError.
    """

    def __init__(self, work: Callable[[], Result], seconds: int) -> None:
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        except OSError as error:
            raise CopyError(f"it cannot be started: {error.strerror}") from error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about threads: see above
                self.pid = os.fork()
        except OSError as error:  # a limit on processes
            self._file.close()
            raise CopyError(f"it cannot be started: {error.strerror}") from error
        self.returncode: int | None = None
        if self.pid == 0:
            _compute(work, self._file, seconds)
        self._registered = registered(self)
        self._registered.__enter__()

    def __enter__(self) -> Copy[Result]:
        return self

    def __exit__(self, *_: object) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.returncode = -signal.SIGKILL
        self._registered.__exit__(None, None, None)
        self._file.close()

    def result(self, patience: float) -> Result:
        """Wait for the result, at most `patience` seconds. Raises CopyError."""
        end = time.monotonic() + patience
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise CopyError("it took too long")
            else:
                time.sleep(_STEP)
        if self.returncode != 0:
            raise CopyError(f"it ended with {self.returncode}")
        self._file.seek(0)
        found: Result = pickle.load(self._file)  # noqa: S301 - written by this program, to a file without a name
        return found


def _compute(work: Callable[[], Result], file: IO[bytes], seconds: int) -> NoReturn:
    """Compute in the copy, and end it without running anything that this process has to do at its end."""
    try:
        signal.set_wakeup_fd(-1)  # it is the other process's
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, 0)  # like a program: signals from a terminal go to kcd-gen, which ends it
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        gc.disable()
        pickle.dump(work(), file, protocol=pickle.HIGHEST_PROTOCOL)
        file.flush()
        os._exit(0)
    finally:
        os._exit(1)
