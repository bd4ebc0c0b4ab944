"""Ctrl-C and SIGTERM while a command waits for a server: it ends at once, with its programs, and leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from kubocd_gen.processes import running
from tests.support.fault_server import FaultServer, silent

Server = Callable[[], AbstractContextManager[str]]
AT_ONCE = 5.0  # seconds, on a busy machine; every time limit is longer
RELEASE = """\
apiVersion: kubocd.kubotal.io/v1alpha1
kind: Release
metadata: {{name: web, namespace: default}}
spec: {{package: {{repository: '{host}/demo/web', tag: 1.0.0, insecure: true}}}}
"""
MANIFEST = """\
apiVersion: v1alpha1
name: web
tag: 1.0.0
modules:
  - name: main
    source: {{git: {{url: 'http://{host}/charts', branch: main, path: web}}}}
"""


@contextmanager
def a_silent_server() -> Iterator[str]:
    with FaultServer() as server:
        for method in ("GET", "HEAD"):
            server.script(f"{method} *", silent)
        yield server.host


@contextmanager
def connections_swallowed() -> Iterator[str]:
    """A port whose queue is full: who connects waits until the time limit."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("server", [a_silent_server, connections_swallowed])
@pytest.mark.parametrize(
    "command",
    [
        "build --source release.yaml --output out",
        "package manifest.yaml --repo-prefix example.com/packages --output layout",
    ],
)
def test_a_command_that_waits_ends_at_once(
    tmp_path: Path, command: str, server: Server, number: signal.Signals
) -> None:
    with server() as host:
        (tmp_path / "release.yaml").write_text(RELEASE.format(host=host))
        (tmp_path / "manifest.yaml").write_text(MANIFEST.format(host=host))
        home = tmp_path / "home"
        home.mkdir()
        with subprocess.Popen(
            [sys.executable, "-m", "kubocd_gen", *command.split()],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(home), "TMPDIR": "."},
            start_new_session=True,
        ) as process:
            time.sleep(2.5)
            assert process.poll() is None
            process.send_signal(number)
            began = time.monotonic()
            assert process.wait(30) == 128 + number
            assert time.monotonic() - began < AT_ONCE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "manifest.yaml", "release.yaml"]
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_program_ends_with_what_it_has_started() -> None:
    with running(["sh", "-c", "sleep 60 & echo $!; wait"]) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        for _ in range(500):  # init has to take note of its end
            os.kill(child, 0)
            time.sleep(0.01)
