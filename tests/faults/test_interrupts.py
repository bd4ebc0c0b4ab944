"""Ctrl-C and SIGTERM while a command waits for a server: it ends at once, with its child processes and files."""

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

from kubocd_gen.processes.children import running
from tests.support.fault_server import FaultServer, silent
from tests.support.processes import children, gone
from tests.support.workspace import WEB_MANIFEST, Workspace, files_below

pytestmark = pytest.mark.slow

# A host, and a function that tells whether a client is waiting for it.
Server = Callable[[], AbstractContextManager[tuple[str, Callable[[], bool]]]]
# kcd-gen with time limits of an hour: if it doesn't end at once, the test doesn't end either.
PATIENT = """
from kubocd_gen.network import transport
transport.CONNECT_TIMEOUT = 3600
from kubocd_gen.cli import main
main()
"""
RELEASE = """\
apiVersion: kubocd.kubotal.io/v1alpha1
kind: Release
metadata: {{name: web, namespace: default}}
spec: {{package: {{repository: '{host}/demo/web', tag: 1.0.0, insecure: true, timeout: 60m}}}}
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
def a_silent_server() -> Iterator[tuple[str, Callable[[], bool]]]:
    with FaultServer() as server:
        for method in ("GET", "HEAD"):
            server.script(f"{method} *", silent)
        yield server.host, lambda: bool(server.asked)


@contextmanager
def connections_swallowed() -> Iterator[tuple[str, Callable[[], bool]]]:
    """A port whose queue is full: a connecting client waits until the time limit."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        port = listening.getsockname()[1]
        before = connecting(port)
        yield f"127.0.0.1:{port}", lambda: connecting(port) > before


def connecting(port: int) -> int:
    """Return how many sockets of this machine are waiting to connect to a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(row[2] == f"0100007F:{port:04X}" and row[3] == "02" for row in rows)  # SYN_SENT


@contextmanager
def kcd_gen_process(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """kcd-gen in a separate process, with its own home and temporary directories in `directory`."""
    home = directory / "home"
    home.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", PATIENT, *arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(home), "TMPDIR": "."},
        start_new_session=True,
    ) as process:
        yield process


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
    with server() as (host, is_asked):
        (tmp_path / "release.yaml").write_text(RELEASE.format(host=host))
        (tmp_path / "manifest.yaml").write_text(MANIFEST.format(host=host))
        home = tmp_path / "home"
        with kcd_gen_process(tmp_path, *command.split()) as process:
            while not is_asked():
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            assert process.wait() == 128 + number
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "manifest.yaml", "release.yaml"]
    assert [path for path in home.rglob("*") if path.is_file()] == []


def is_helm(process: int) -> bool:
    """Whether the process is helm yet: while it is loaded from a busy disk, the process that starts it can't end."""
    try:
        return Path(f"/proc/{process}/exe").readlink().name.startswith("helm")
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", ["1", "3"])
def test_an_interrupted_build_ends_the_helm_process_it_waits_for(
    tmp_path: Path, number: signal.Signals, jobs: str
) -> None:
    workspace = Workspace(tmp_path)
    endless = "{{ range until 60000 }}{{ range until 60000 }}{{ end }}{{ end }}"
    workspace.package()
    workspace.release("good")
    assert workspace.build().exit == 0
    before = files_below(workspace.root)
    workspace.package(
        WEB_MANIFEST.replace("{{ .Parameters.host }}", endless), reference="registry.example.com/demo/bad:1.0.0"
    )
    workspace.release("bad", package="registry.example.com/demo/bad:1.0.0")
    inputs = files_below(workspace.root)
    command = (
        "build --offline --source sources --output output --vendor packages --limit helm-time=10m --limit cpu-time=10m"
    )
    with kcd_gen_process(workspace.root, *command.split(), "--jobs", jobs) as process:
        while not any(map(is_helm, started := children(process.pid))) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait() == 128 + number
    assert gone(started)
    assert files_below(workspace.output) == {
        path.removeprefix("output/"): data for path, data in before.items() if path.startswith("output/")
    }
    assert {path for path in files_below(workspace.root) if not path.startswith("home/")} == set(inputs)


COMPUTING = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from kubocd_gen.processes.children import interruptible, running, scratch

def compute():
    with scratch("computing-"), running(["sleep", "3600"]):
        print("ready", flush=True)
        while True:
            sum(range(1000))

with interruptible():
    {run}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "run",
    [
        "compute()",
        "ThreadPoolExecutor(1).submit(compute).result()",
        "with ThreadPoolExecutor(1) as pool: pool.submit(compute)",
    ],
)
def test_an_interrupted_computation_ends_its_programs_and_removes_scratch_directories(
    tmp_path: Path, run: str, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COMPUTING.format(run=run)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        started = children(process.pid)
        process.send_signal(number)
        # If no thread outlives the block, Python itself ends: by SIGINT as a shell expects it, without a handler.
        assert process.wait() in (128 + number, -number)
    assert started
    assert gone(started)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_program_is_ended_with_its_children() -> None:
    with running(["sh", "-c", "sleep 60 & echo $!; wait"]) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
    assert process.returncode == -signal.SIGKILL
    assert gone([child])
