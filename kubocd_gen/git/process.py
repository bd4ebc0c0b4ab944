"""A git process whose output is read while it runs, with limits on time, memory, disk space and output.

Ten objects can expand to 10^9 names, and a pack of one megabyte to gigabytes. So every wait has a time limit, and no
output is kept that is larger than a valid response.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.budget.limits import GIB, MIB
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.setup import Setup, git_binary
from kubocd_gen.processes.children import running
from kubocd_gen.processes.timing import timed, without_user_info

_log = logging.getLogger(__name__)

SECONDS = 60.0  # for one command, or for all responses of one process; all of them only read the disk
OUTPUT = 64 * MIB  # a million file names
_MESSAGES = 64 << 10  # stderr, which includes messages of the server
_MEMORY = 512 * MIB  # heap of one process: large files are streamed, but a delta and its base are held in memory
_CPU = 40  # seconds of one process; indexing a large repository of 250 MB needs half of it
LARGEST_FILE = 2 * GIB  # the maximum size of a file that a fetch writes
_PIECE = 1 << 16
_LIMITS = {
    signal.SIGXCPU: f"it exceeded the limit of {_CPU} seconds of CPU time",
    signal.SIGXFSZ: f"it exceeded the file size limit of {LARGEST_FILE // GIB} GiB",
}
# The limits are set before git starts, so that its child processes inherit them. Limits that the system lacks are
# ignored. Sizes are in KiB (-d) and in blocks of 512 bytes (-f).
_LIMITED = (
    f"for limit in '-d {_MEMORY >> 10}' '-f {LARGEST_FILE >> 9}' '-t {_CPU}' '-c 0'; do"
    ' ulimit $limit 2>/dev/null; done; exec "$@"'
)


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a git process that ended by itself."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def reason(self) -> str:
        """The first line of its error message, or the limit that ended it."""
        for number, limit in _LIMITS.items():
            if self.status == -number or f"died of signal {number:d}" in self.stderr:
                return limit
        if "out of memory" in self.stderr.lower():
            return f"it exceeded the memory limit of {_MEMORY // MIB} MiB"
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        message = next((line for line in lines if line.startswith("fatal:")), lines[0] if lines else "")
        return message.removeprefix("fatal: ")[:300] or f"exit code {self.status}"


def run(
    setup: Setup,
    *arguments: str,
    name: str,
    directory: Path | None = None,
    given: bytes = b"",
    most: int = OUTPUT,
    seconds: float = SECONDS,
    watch: Callable[[], None] = lambda: None,
) -> Done:
    """Run git until it ends; `given` is its input, `name` its subcommand for messages.

    `watch` is called several times a second; an exception from it ends the run. Raises ProblemsError `git-failed` if a
    limit is exceeded, and `git-missing`.
    """
    with timed(_log, f"git {name}") as details, started(setup, arguments, name, seconds, directory) as talk:
        stdout = talk.all(given, most, watch)
        done = Done(talk.status(), stdout, talk.messages)
        details.append(f"exit code {done.status}, {len(stdout)} bytes")
        return done


@contextmanager
def started(
    setup: Setup, arguments: Sequence[str], name: str, seconds: float, directory: Path | None = None
) -> Iterator[Talk]:
    """Start a git process with limits, which runs for as long as the context lasts; see `run` and `Talk`.

    Raises ProblemsError `git-failed`, `git-missing`.
    """
    binary = git_binary("a Git repository is read", "install git", setup.variables)
    command = ["/bin/sh", "-c", _LIMITED, "git", *setup.command(binary, arguments)]
    _log.debug("git %s", without_user_info(" ".join(arguments)))  # credentials are not among the arguments
    with ExitStack() as stack:
        try:
            process = stack.enter_context(running(command, setup.variables, directory=directory, talk=True))
        except OSError as error:
            raise ProblemsError.of("git-failed", f"cannot start git: {error.strerror}") from error
        yield Talk(process, seconds, name)


class Talk:
    """The pipes of a git process. `left` is the total time in seconds that remains for waiting for it."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float, name: str) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise AssertionError("all are pipes")
        self.left = seconds
        self._seconds = seconds
        self._name = name
        self._process = process
        self._in, self._out, self._err = process.stdin, process.stdout, process.stderr
        self._taken = bytearray()
        self._messages = bytearray()
        self._selector = selectors.PollSelector()  # unlike others, it has no descriptor that must be closed
        self._selector.register(self._out, selectors.EVENT_READ)
        self._selector.register(self._err, selectors.EVENT_READ)

    @property
    def messages(self) -> str:
        """What was read from its stderr so far."""
        return self._messages.decode("utf-8", "replace")

    def all(self, given: bytes, most: int, watch: Callable[[], None]) -> bytes:
        """Write `given` to its input and return its output when it has closed stdout and stderr."""
        waiting = memoryview(given)
        if waiting:
            self._selector.register(self._in, selectors.EVENT_WRITE)
        else:
            self._in.close()
        while self._open():
            for key in self._ready(0.2):
                if key.fileobj is self._in:
                    waiting = waiting[_write(key.fd, waiting) :]
                    if not waiting:
                        self._selector.unregister(self._in)
                        self._in.close()
                else:
                    self._read(key)
            if len(self._taken) > most:
                raise self._failed(f"printed more than the limit of {most // MIB} MiB")
            watch()
        return bytes(self._taken)

    def status(self) -> int:
        """Return the exit status, after it has closed its outputs."""
        try:
            return self._process.wait(max(1.0, self.left))
        except subprocess.TimeoutExpired:
            raise self._failed(f"did not finish within {self._seconds:g} seconds") from None

    def ask(self, line: bytes) -> None:
        """Write a short line to its input. If it has ended, reading the response fails."""
        _write(self._in.fileno(), memoryview(line))

    def line(self) -> bytes | None:
        """Return the next line of its output; None if it has ended."""
        while (end := self._taken.find(b"\n")) < 0:
            if len(self._taken) > _PIECE:
                raise self._failed("printed a line that is too long")
            if not self._more():
                return None
        line = bytes(self._taken[:end])
        del self._taken[: end + 1]
        return line

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes of its output. Raises ProblemsError `git-failed` if it ends before."""
        while size:
            if not self._taken and not self._more():
                raise self._failed(f"stopped: {Done(self.status(), b'', self.messages).reason}")
            piece = bytes(self._taken[:size])
            del self._taken[: len(piece)]
            size -= len(piece)
            yield piece

    def _more(self) -> bool:
        """Read more of its output; return False if it has closed stdout and stderr."""
        before = len(self._taken)
        while self._open() and len(self._taken) == before:
            for key in self._ready(self.left):
                self._read(key)
        return len(self._taken) > before

    def _open(self) -> bool:
        return any(key.fileobj is not self._in for key in self._selector.get_map().values())

    def _ready(self, longest: float) -> list[selectors.SelectorKey]:
        begun = time.monotonic()
        ready = self._selector.select(max(0.0, min(longest, self.left)))
        self.left -= time.monotonic() - begun
        if self.left <= 0:
            raise self._failed(f"did not finish within {self._seconds:g} seconds")
        return [key for key, _ in ready]

    def _read(self, key: selectors.SelectorKey) -> None:
        data = os.read(key.fd, _PIECE)
        if not data:
            self._selector.unregister(key.fileobj)
        elif key.fileobj is self._out:
            self._taken += data
        elif len(self._messages) < _MESSAGES:
            self._messages += data

    def _failed(self, what: str) -> ProblemsError:
        return ProblemsError.of("git-failed", f"'git {self._name}' {what}")


def _write(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data[:4096])  # a writable pipe accepts at least this many bytes without blocking
    except BrokenPipeError:
        return len(data)
