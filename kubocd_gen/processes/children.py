"""The programs that kcd-gen runs (helm, git, cosign, credential helpers): they end when it does, and not later.

Each runs in a session of its own, so that what it starts can be ended with it; a terminal's Ctrl-C does not reach it
there, nor would `kill` or a CI that cancels a job. So whoever ends kcd-gen ends them all, and the threads that wait for
them are free.

A signal raises an exception in the main thread, which cleans up on its way. Other threads hear of it when they start a
program, and one that computes does not: after GRACE the process ends without them. What is written is written so that
it can end anywhere (`output.journal`), and scratch folders are removed here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

GRACE = 0.6  # seconds for the threads to end after a signal
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_running: set[subprocess.Popen[bytes]] = set()
_scratch: set[Path] = set()
_interrupted = threading.Event()
_making = threading.Lock()  # held while a scratch directory is made


@contextlib.contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
    talk: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """The program `command`, its output in pipes, its input a pipe where we `talk` to it. Raises OSError.

    Whoever leaves the block before it has ended kills it, with all that it has started. Once kcd-gen is interrupted it
    starts no other: KeyboardInterrupt, in any thread.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt
    with subprocess.Popen(
        command,
        cwd=folder,
        env=None if environment is None else dict(environment),
        stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        _running.add(process)
        try:
            yield process
        finally:
            _running.discard(process)
            _kill(process)


def limit(process: subprocess.Popen[bytes], name: str, most: int) -> None:
    """Give a running program a limit of `resource`, such as RLIMIT_AS in bytes; on Linux, elsewhere there is no way."""
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(OSError, ValueError):  # it has ended already, or runs under a lower one
            resource.prlimit(process.pid, getattr(resource, name), (most, most))


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """What runs inside ends, with its programs, on Ctrl-C (KeyboardInterrupt), SIGTERM and SIGHUP (SystemExit)."""
    _interrupted.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in _INTERRUPTS:
        handler = signal.getsignal(number)
        if handler in (signal.default_int_handler, signal.SIG_DFL):  # `nohup` has the signal ignored: so be it
            before[number] = signal.signal(number, _interrupt)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    over = threading.Event()
    threading.Thread(target=_end_late, args=(reader, frozenset(before), over), daemon=True).start()
    try:
        yield
    except BaseException as error:
        if before and _interrupted.is_set():
            # Everything is cleaned up in this thread. Others are not waited for: after a signal within `join`, Python
            # takes a thread that runs for one that has ended, and would stop it anywhere.
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            if isinstance(error, SystemExit) and isinstance(error.code, int):
                end_at_once(error.code)
            end_at_once(128 + signal.SIGINT, "interrupted")
        raise
    finally:
        over.set()
        signal.set_wakeup_fd(wakeup)
        os.close(writer)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder for temporary files, removed at the end, however kcd-gen ends."""
    folder = Path(tempfile.gettempdir(), prefix + os.urandom(8).hex()).absolute()
    with _making:
        if _interrupted.is_set():
            raise KeyboardInterrupt
        _scratch.add(folder)  # before it exists: kcd-gen can end between any two lines, and removes what is registered
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _scratch.discard(folder)


def programs() -> list[int]:
    """The process IDs of the programs that run now."""
    return [process.pid for process in list(_running)]


def end_at_once(code: int, *lines: str) -> NoReturn:
    """End kcd-gen from any thread, its programs first, with `lines` on standard error. Nothing is waited for."""
    _interrupted.set()
    if _making.acquire(timeout=GRACE):  # from here on none is made
        _making.release()
    for _ in range(3):  # a thread may be about to start another, or to write another file
        for process in list(_running):
            _kill(process)
        for folder in list(_scratch):
            shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.write(2, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
    os._exit(code)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    code = 128 + number
    if _interrupted.is_set():  # asked for a second time
        end_at_once(code)
    _interrupted.set()
    for process in list(_running):
        _kill(process)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(code)


def _end_late(reader: int, numbers: Collection[int], over: threading.Event) -> None:
    """End kcd-gen GRACE after a signal, if the main thread has not done it: it can miss one as it begins to wait."""
    with open(reader, "rb", buffering=0) as signals:
        while number := signals.read(1):
            if number[0] in numbers:
                _interrupted.set()
                if over.wait(GRACE):
                    return
                end_at_once(128 + number[0], *(["interrupted"] if number[0] == signal.SIGINT else []))


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has just ended
            os.killpg(process.pid, signal.SIGKILL)
