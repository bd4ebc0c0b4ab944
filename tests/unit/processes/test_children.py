"""Scratch directories are removed however kcd-gen ends, and programs are only found in absolute directories."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kubocd_gen.processes.children import drop_relative_entries, scratch

# Create scratch directories endlessly in two threads, and print a line once both have started.
_PROGRAM = """
import contextlib, threading
from kubocd_gen.processes.children import interruptible, scratch

def make():
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            with scratch("scratch-test-"):
                pass

with scratch("scratch-test-"):
    pass  # finds where temporary files go
with interruptible():
    threads = [threading.Thread(target=make) for _ in range(2)]
    for one in threads:
        one.start()
    print("ready", flush=True)
    for one in threads:
        one.join()
"""


def test_a_scratch_directory_is_removed_afterwards() -> None:
    with scratch("scratch-test-") as one, scratch("scratch-test-") as other:
        assert one != other
        assert one.stat().st_mode & 0o777 == 0o700
        (one / "file").write_text("x")
    assert not one.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("run", range(5))
def test_a_signal_at_any_time_leaves_no_scratch_directory(number: signal.Signals, run: int, tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        try:
            process.wait(60)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (".:/usr/bin::node_modules/.bin:./bin:/bin:", "/usr/bin:/bin"),
        ("/usr/bin", "/usr/bin"),
        (".", os.defpath),
        ("", os.defpath),
    ],
)
def test_relative_entries_of_the_path_are_dropped(monkeypatch: pytest.MonkeyPatch, before: str, after: str) -> None:
    monkeypatch.setenv("PATH", before)
    drop_relative_entries()
    assert os.environ["PATH"] == after


def test_programs_in_the_working_directory_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("git", "cosign"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".:{os.defpath}")
    assert shutil.which("git") == "./git"
    drop_relative_entries()
    assert shutil.which("cosign") is None or Path(str(shutil.which("cosign"))).is_absolute()
    assert Path(str(shutil.which("git"))).is_absolute()


SIGNALED_WHILE_STARTING = """
import os, signal, subprocess
from kubocd_gen.processes import children
real = subprocess.Popen
def start(*arguments, **options):
    process = real(*arguments, **options)
    print(process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    return process
subprocess.Popen = start
with children.interruptible(), children.running(["sleep", "60"]):
    print("not reached")
"""


def test_a_signal_while_a_program_starts_ends_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALED_WHILE_STARTING], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 143
    (pid,) = done.stdout.split()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
