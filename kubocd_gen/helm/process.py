"""The helm binary, and its runs: with a clean environment, limits, and no access to the user's files.

A run is limited in time, memory and output. Time is CPU time, if the system reports it: on a busy machine, a normal run
takes longer, but needs no more CPU time. The CPU time of all runs is spent from the budget.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import platform
import re
import selectors
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.files.paths import hint_of
from kubocd_gen.processes.children import limit, running, scratch
from kubocd_gen.processes.timing import timed

_log = logging.getLogger(__name__)

_INSTALL = "install Helm 3.14 or later (https://helm.sh/docs/intro/install), or set KCD_GEN_HELM to the path of helm"
HELM_HINT = "use Helm 3.14 or later, chosen with --helm (KCD_GEN_HELM); 'kcd-gen version' shows which one is used"
_OLDEST = (3, 14)  # the oldest supported version
_VERSION_LINE = re.compile(r"^v?([0-9]+\.[0-9]+\.[0-9]+\S*)\s*$", re.MULTILINE)
_VERSION = 30  # seconds until `helm version` has printed its version

# A thousand Releases print 20 MB, in two batches. More is a runaway template, whose output would be held in memory.
OUTPUT = 48 << 20
_MESSAGES = 64 << 10  # stderr: enough for the start of a Go stack trace, and for the message of `fail`
_SPACES = re.compile(r"(\s{20})\s+")
_LOOK = 0.05  # seconds between two checks of helm's CPU time
_WAIT = 4.0  # on a busy machine, helm may run for this factor times its CPU time limit, plus _STUCK seconds
_STUCK = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")
_SAYS_TIME = Path("/proc/self/stat").exists()
_LATEST = 10  # seconds of CPU time over the limit, after which the system kills helm if kcd-gen has not
# helm needs 64 MiB to start, and up to 30 times the size of its input.
_LEAST = 144 << 20
_TIMES_INPUT = 30
_PART = 0.55  # of the run's memory, for all helm processes; the rest is for their output and kcd-gen itself

Stop = Literal["timeout", "output"]


def find_helm(explicit: str | None = None) -> Path:
    """Return the absolute path of the helm binary to run.

    `explicit` is the user's choice (--helm or KCD_GEN_HELM): a path, or a name to look up on PATH. Without it, a
    binary installed by pip next to this Python takes precedence over the one on PATH, because the lock file of the
    virtual environment pins it. Raises ProblemsError `helm-missing`.
    """
    if explicit:
        # Path.expanduser would turn `./helm`, a file, into `helm`, a name to look up on PATH.
        found = shutil.which(os.path.expanduser(explicit))  # noqa: PTH111
        if found is None:
            raise ProblemsError(_not_executable(explicit))
        return Path(found).absolute()
    directories = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"))
    found = shutil.which("helm", path=os.pathsep.join(directories)) or shutil.which("helm")
    if found is None:
        raise ProblemsError.of(
            "helm-missing", "helm was not found, but is needed to render package templates", hint=_INSTALL
        )
    return Path(found).absolute()


def _not_executable(name: str) -> Problem:
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - as in find_helm
    if os.sep in name and path.is_file():
        hint = f"if it is the helm binary, run: chmod +x {shlex.quote(str(path))}"
        return Problem("helm-missing", f"'{name}' is not executable", hint=hint)
    if os.sep in name and path.is_dir():
        return Problem("helm-missing", f"'{name}' is a directory", hint="pass the path of the helm binary in it")
    return Problem("helm-missing", f"'{name}' is not an executable helm binary", hint=_INSTALL)


def old_helm(version: str) -> Problem | None:
    """Return a problem if this version of helm is older than the oldest supported one, otherwise None."""
    found = re.match(r"([0-9]+)\.([0-9]+)\.", version)
    if found is None or (int(found[1]), int(found[2])) >= _OLDEST:
        return None
    message = f"helm {version} is older than {'.'.join(map(str, _OLDEST))}, the oldest supported version"
    return Problem("old-helm", message, hint=HELM_HINT)


def helm_version(helm: Path) -> str:
    """Return the version that `helm version` prints, without the leading `v`, such as `3.17.3`.

    Helm runs in the same clean environment as when it renders: a broken registry login or Kubernetes configuration of
    the user does not matter. A wrapper of helm can print other lines, too. Raises ProblemsError `helm-missing` if the
    command fails.
    """
    try:
        with scratch("kcd-gen-helm-") as home:
            run = run_helm(helm, ["version", "--template", "{{.Version}}"], home, _VERSION)
    except ProblemsError as error:
        hint = error.problem.hint if error.problem.hint != HELM_HINT else _INSTALL
        raise ProblemsError.of("helm-missing", error.problem.message, hint=hint) from error
    except OSError as error:
        raise unwritable_input(error) from error
    versions = _VERSION_LINE.findall(run.stdout.decode("utf-8", "replace"))
    if run.succeeded and versions:
        version: str = versions[-1]
        return version
    reason = "it printed no version" if run.succeeded else run.summary
    raise ProblemsError.of("helm-missing", f"'{helm}' did not report its version: {reason}", hint=_INSTALL)


def unwritable_input(error: OSError, directory: Path | None = None) -> ProblemsError:
    """Return the error of a run whose input can't be written to `directory`, by default that for temporary files."""
    import tempfile

    where = directory or tempfile.tempdir or "$TMPDIR"
    return ProblemsError.of(
        "helm-failed",
        f"cannot write helm's input to '{where}': {error.strerror}",
        hint=hint_of(error) if directory else "free disk space there, or set TMPDIR to another directory",
    )


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a helm run. `stopped` is the limit that ended it; None if it ended by itself."""

    returncode: int
    stdout: bytes
    stderr: str
    stopped: Stop | None

    @property
    def succeeded(self) -> bool:
        return self.stopped is None and self.returncode == 0

    @property
    def out_of_memory(self) -> bool:
        """Whether helm ended by itself because it could not get more memory.

        From Go 1.26 on (helm 3.22 and 4.2), its runtime can crash instead where it does not check an allocation. It
        reports the invalid pointer of a program, which would be a bug in helm, as a panic.
        """
        return self.stopped is None and any(
            "out of memory" in line or "cannot allocate memory" in line or line == "SIGSEGV: segmentation violation"
            for line in self._errors
        )

    @property
    def summary(self) -> str:
        """The first line of helm's error message, or how it ended."""
        if self.stopped == "timeout":
            return "it timed out"
        lines = self._errors
        return lines[0].removeprefix("Error: ") if lines else f"exit code {self.returncode}"

    @property
    def _errors(self) -> list[str]:
        # At every start, some builds of helm 3 log that a library could not reserve 4 GiB, which it does not need.
        return [line for line in self.stderr.splitlines() if line.strip() and "Starlark failed to allocate" not in line]


def run_helm(
    binary: Path,
    arguments: Sequence[str],
    home: Path,
    timeout: float,
    *,
    memory: int = 1 << 30,
    spend: Callable[[float], None] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Run:
    """Run helm in `home`, an existing temporary directory that becomes its home directory.

    `memory` is in bytes. `timeout` is in seconds of CPU time, and `spend` is called during the run with the CPU time
    used since its last call. Without `spend`, `timeout` is wall-clock time, because a helm that waits for a server
    uses no CPU time. `variables` are added to the environment, which contains none of the user's variables. Raises
    ProblemsError `helm-failed` if helm can't be started, and what `spend` raises.
    """
    environment = {**_environment(home, memory), **(variables or {})}
    _log.debug("%s %s", binary, " ".join(arguments))
    try:
        with (
            timed(_log, " ".join(("helm", *arguments[:1]))) as details,
            running([str(binary), *arguments], environment, directory=home) as process,
        ):
            limit(process, "RLIMIT_DATA", memory)
            # If kcd-gen is killed, the system still ends helm.
            limit(process, "RLIMIT_CPU", math.ceil(timeout) + _LATEST)
            stdout, stderr, stopped = _read(process, timeout, spend)
            details.append(stopped or f"exit code {process.returncode}, {len(stdout)} bytes")
    except OSError as error:
        message = f"cannot start '{binary}': {error.strerror}"
        raise ProblemsError.of("helm-failed", message, hint=_start_hint(error, binary)) from error
    message = _SPACES.sub(r"\1", stderr.decode("utf-8", "replace"))
    return Run(process.returncode, stdout, message, stopped)


def _start_hint(error: OSError, binary: Path) -> str:
    if error.errno == errno.ENOEXEC:
        system = f"{platform.system()} on {platform.machine()}"
        return f"use the helm binary for {system}, or start the script with a line such as #!/bin/sh"
    if error.errno == errno.ENOENT and binary.exists():
        return "check the interpreter in the first line of the script, or the loader that the binary needs"
    return HELM_HINT


def _environment(home: Path, memory: int) -> dict[str, str]:
    directory = str(home)
    return {
        "HOME": directory,
        "TMPDIR": directory,
        "TZ": "UTC",
        # Runs are short, and Go's garbage collector, which starts at 4 MiB by default, takes a fifth of the time. Near
        # GOMEMLIMIT it works as usual.
        "GOGC": "400",
        "GOMEMLIMIT": str(memory * 3 // 4),
        "HELM_CACHE_HOME": f"{directory}/cache",
        "HELM_CONFIG_HOME": f"{directory}/config",
        "HELM_DATA_HOME": f"{directory}/data",
        "HELM_PLUGINS": f"{directory}/plugins",
        "KUBECONFIG": f"{directory}/kubeconfig",
    }


def _read(
    process: subprocess.Popen[bytes], timeout: float, spend: Callable[[float], None] | None
) -> tuple[bytes, bytes, Stop | None]:
    out, err = process.stdout, process.stderr
    if out is None or err is None:
        raise AssertionError("both are pipes")
    taken = {out.fileno(): bytearray(), err.fileno(): bytearray()}
    clock = _Clock(process.pid, spend)
    deadline = time.monotonic() + (timeout * _WAIT + _STUCK if spend else timeout)
    stopped: Stop | None = None
    with selectors.DefaultSelector() as selector:
        for descriptor in taken:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map() and stopped is None:
            ready = selector.select(_LOOK)
            if clock.look() > timeout or time.monotonic() > deadline:
                stopped = "timeout"
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fd)
                elif key.fd == out.fileno() or len(taken[key.fd]) < _MESSAGES:
                    taken[key.fd] += data
            if len(taken[out.fileno()]) > OUTPUT:
                stopped = "output"
    clock.look(last=True)
    if stopped is None:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            stopped = "timeout"
    if stopped == "output":
        taken[out.fileno()].clear()
    return bytes(taken[out.fileno()]), bytes(taken[err.fileno()]), stopped


class _Clock:
    """The CPU time of a process in seconds; wall-clock time since its start if the system does not report it."""

    def __init__(self, process: int, spend: Callable[[float], None] | None) -> None:
        self._path = f"/proc/{process}/stat"
        self._spend = spend
        self._started = time.monotonic()
        self._looked = 0.0
        self._taken = 0.0

    def look(self, *, last: bool = False) -> float:
        """Return the seconds so far, at most _LOOK / 2 old unless `last`, and spend those since the previous call."""
        now = time.monotonic() - self._started
        if now - self._looked < _LOOK / 2 and not last:
            return self._taken
        self._looked = now
        try:
            fields = Path(self._path).read_bytes().rpartition(b")")[2].split()
            taken = (int(fields[11]) + int(fields[12])) / _TICKS
        except (OSError, IndexError, ValueError):
            taken = self._taken if _SAYS_TIME else now
        spent, self._taken = self._taken, max(taken, self._taken)
        if self._spend:
            self._spend(self._taken - spent)
        return self._taken


class HelmPool:
    """Runs `binary`, at most `jobs` processes at a time. One pool is shared by a whole compilation."""

    def __init__(self, binary: Path, *, jobs: int = 2, budget: Budget | None = None) -> None:
        self.binary = binary.absolute()  # helm runs in a temporary directory
        self.jobs = max(1, jobs)
        self.budget = budget or Budget()
        self.memory = max(_LEAST, int(self.budget.limits.memory * _PART))
        self._free = self.memory
        self._running = 0
        self._waiting: list[object] = []
        self._changed = threading.Condition()

    def run(
        self,
        arguments: Sequence[str],
        home: Path,
        timeout: float,
        *,
        size: int = 0,
        whole: bool = False,
        free: float = 0.0,
    ) -> Run:
        """Run helm as soon as enough memory is free.

        `size` is the size of its input in bytes; `whole` gives it all memory. The first `free` seconds of CPU time are
        not counted in the budget. Raises ProblemsError `helm-failed` if helm can't be started, and BudgetExceededError.
        """
        left = free

        def spend(seconds: float) -> None:
            nonlocal left
            counted, left = max(0.0, seconds - left), max(0.0, left - seconds)
            self.budget.spend("helm-time", counted)

        wanted = self.memory if whole else min(self.memory, _LEAST + _TIMES_INPUT * size)
        with self._room(wanted):
            self.budget.check()
            return run_helm(self.binary, arguments, home, timeout, memory=wanted, spend=spend)

    @contextmanager
    def _room(self, wanted: int) -> Iterator[None]:
        """Reserve `wanted` bytes, first come first served, so a run that needs all memory is not starved."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                while self._waiting[0] is not turn or self._free < wanted or self._running >= self.jobs:
                    self._changed.wait(0.5)  # with a timeout, so that signals are handled
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
            self._free -= wanted
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._running -= 1
                self._changed.notify_all()
