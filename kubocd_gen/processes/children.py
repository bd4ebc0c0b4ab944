"""The programs that kcd-gen runs (helm, git, cosign, credential helpers). They end when kcd-gen does.

Each program runs in its own session, so it can be killed together with its children. Signals from a terminal (Ctrl-C),
from `kill` or from a canceled CI job don't reach it there, so kcd-gen kills all programs when it is interrupted. That
also unblocks the threads that wait for them.

A signal raises an exception in the main thread, which cleans up. Other threads notice it when they start a program. A
thread that only computes does not: after GRACE the process exits without it. Output is written in a way that allows an
exit at any time (`output.journal`), and temporary directories are removed here.

Programs are found only in absolute directories of PATH, so that a checkout can't provide its own git or helm. Go
programs such as helm and kubectl do the same: https://go.dev/blog/path-security.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:  # a command that runs no program does not import what is for programs
    import subprocess
    from pathlib import Path
    from types import FrameType


class Process(Protocol):
    """A process that kcd-gen has started. `returncode` is None while it is running."""

    pid: int
    returncode: int | None


_STEP = 0.05  # seconds between two looks at a program whose pipes stay open
GRACE = 0.6  # seconds that threads have to end after a signal
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_running: set[Process] = set()
_scratch: set[Path] = set()
_interrupted = threading.Event()
_runs_until_interrupted = threading.Event()
_postponing: list[bool] = []  # not empty while the main thread starts a program
_postponed_errors: list[BaseException] = []
_making = threading.Lock()  # held while a scratch directory is created


@contextlib.contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    directory: Path | None = None,
    talk: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program `command` in `directory`, with pipes for its output and, with `talk`, for its input.

    Leaving the block kills the program, if it is still running, together with its children. Raises OSError, and, after
    kcd-gen was interrupted, KeyboardInterrupt in any thread.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt
    import subprocess

    process = None
    try:
        with _postponed():  # otherwise a signal could come between the start of the program and its registration
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=None if environment is None else dict(environment),
                stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            _running.add(process)
        if _interrupted.is_set():  # the program may have been started after all others were killed
            raise KeyboardInterrupt
        yield process
    finally:
        if process is not None:
            _kill(process)
            with process:  # closes its pipes and waits for it
                _running.discard(process)


@contextlib.contextmanager
def _postponed() -> Iterator[None]:
    """Postpone the exception of a signal to the end of the block. Only the main thread gets one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _postponing.append(True)
    try:
        yield
    finally:
        _postponing.clear()
        if _postponed_errors:
            raise _postponed_errors.pop()


def outputs(
    process: subprocess.Popen[bytes], given: bytes = b"", *, timeout: float, most: int = 1 << 20
) -> tuple[bytes, bytes]:
    """Return what a program of `running` prints to stdout and stderr until it ends; `given` is its short input.

    `Popen.communicate` waits until no process has the pipes open, so it hangs if the program ends before a child that
    it has started, such as the agent of a credential store. Here, only the program itself must end. Output after `most`
    bytes is discarded. Raises subprocess.TimeoutExpired after `timeout` seconds.
    """
    import selectors
    import subprocess

    until = time.monotonic() + timeout
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # it does not read its input, or has ended
            process.stdin.write(given)
            process.stdin.close()
    taken = {stream.fileno(): bytearray() for stream in (process.stdout, process.stderr) if stream is not None}
    with selectors.DefaultSelector() as open_pipes:
        for pipe in taken:
            os.set_blocking(pipe, False)
            open_pipes.register(pipe, selectors.EVENT_READ)
        ended = False
        while open_pipes.get_map() and not ended:
            if time.monotonic() >= until:
                raise subprocess.TimeoutExpired(process.args, timeout)
            open_pipes.select(_STEP)
            ended = process.poll() is not None  # asked before reading: the pipes then contain all that it has written
            for pipe, printed in taken.items():
                if pipe in open_pipes.get_map() and not _drain(pipe, printed, most):
                    open_pipes.unregister(pipe)
    process.wait(max(0.0, until - time.monotonic()))
    out, err = (b"" if stream is None else bytes(taken[stream.fileno()]) for stream in (process.stdout, process.stderr))
    return out, err


def _drain(pipe: int, taken: bytearray, most: int) -> bool:
    """Read what is in a pipe now, at most some MiB; return False at its end."""
    for _ in range(64):
        try:
            chunk = os.read(pipe, 1 << 16)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        taken += chunk[: most - len(taken)]
    return True


def limit(process: subprocess.Popen[bytes], name: str, most: int) -> None:
    """Set a resource limit of a running program, such as RLIMIT_AS in bytes. Has no effect on systems except Linux."""
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(OSError, ValueError):  # it has already ended, or has a lower limit
            resource.prlimit(process.pid, getattr(resource, name), (most, most))


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """End the block and its programs on Ctrl-C (KeyboardInterrupt), SIGTERM and SIGHUP (SystemExit)."""
    _interrupted.clear()
    _runs_until_interrupted.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in _INTERRUPTS:
        handler = signal.getsignal(number)
        if handler in (signal.default_int_handler, signal.SIG_DFL):  # not if `nohup` has the signal ignored
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
            # This thread has cleaned up. Do not wait for the others: after a signal in `join`, Python treats a running
            # thread as ended, and would stop it at any point.
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            if isinstance(error, SystemExit) and isinstance(error.code, int):
                end_at_once(error.code)
            end_interrupted()
        raise
    finally:
        over.set()
        signal.set_wakeup_fd(wakeup)
        os.close(writer)
        for number, handler in before.items():
            signal.signal(number, handler)


def run_until_interrupted() -> None:
    """Let Ctrl-C, the usual way to stop this command, end it with the exit code 0, also if that takes too long."""
    _runs_until_interrupted.set()


def end_interrupted() -> NoReturn:
    """Exit after Ctrl-C without waiting for threads."""
    if _runs_until_interrupted.is_set():
        end_at_once(0, "")  # a line break after the ^C that the terminal prints
    end_at_once(128 + signal.SIGINT, "interrupted")


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """Create a directory for temporary files and remove it at the end of the block, or when kcd-gen is interrupted."""
    import shutil
    import tempfile
    from pathlib import Path

    directory = Path(tempfile.gettempdir(), prefix + os.urandom(8).hex()).absolute()
    with _making:
        if _interrupted.is_set():
            raise KeyboardInterrupt
        _scratch.add(directory)  # before it exists, because kcd-gen can end at any point
        directory.mkdir(mode=0o700)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        _scratch.discard(directory)


@contextlib.contextmanager
def registered(process: Process) -> Iterator[None]:
    """Kill the process, a leader of its group, if kcd-gen is interrupted during the block."""
    _running.add(process)
    try:
        yield
    finally:
        _running.discard(process)


def programs() -> list[int]:
    """Return the process IDs of the running programs."""
    return [process.pid for process in list(_running)]


def end_at_once(code: int, *lines: str) -> NoReturn:
    """Kill all programs, print `lines` to stderr and exit immediately. Can be called from any thread."""
    _interrupted.set()
    if _making.acquire(timeout=GRACE):  # from now on none is created
        _making.release()
    for _ in range(3):  # a thread may be about to start another, or to write another file
        for process in list(_running):
            _kill(process)
        for directory in list(_scratch):
            import shutil  # `scratch` has imported it, so this cannot wait for another thread

            shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.write(2, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
    os._exit(code)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    code = 128 + number
    if _interrupted.is_set():  # the second signal
        end_at_once(0 if number == signal.SIGINT and _runs_until_interrupted.is_set() else code)
    _interrupted.set()
    for process in list(_running):
        _kill(process)
    error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(code)
    if not _postponing:
        raise error
    _postponed_errors.append(error)


def _end_late(reader: int, numbers: Collection[int], over: threading.Event) -> None:
    """End kcd-gen GRACE seconds after a signal if the main thread does not: it can miss one when it starts to wait."""
    with open(reader, "rb", buffering=0) as signals:
        while number := signals.read(1):
            if number[0] in numbers:
                if over.wait(GRACE):
                    return
                if number[0] == signal.SIGINT:
                    end_interrupted()
                end_at_once(128 + number[0])


def _kill(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has already ended
            os.killpg(process.pid, signal.SIGKILL)


def absolute_search_path(environment: Mapping[str, str]) -> str:
    """Return PATH without relative entries such as `.`, `node_modules/.bin` and empty ones."""
    entries = environment.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if os.path.isabs(entry))  # noqa: PTH117 - strings


def drop_relative_entries() -> None:
    """Remove relative entries from this process's PATH."""
    # An empty PATH would mean the current directory.
    os.environ["PATH"] = absolute_search_path(os.environ) or os.defpath
