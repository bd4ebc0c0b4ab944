"""Ctrl-C and SIGTERM while a command waits for a server: it ends at once, with its programs, and leaves nothing."""

from __future__ import annotations

import contextlib
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
from tests.support.workspace import WEB_MANIFEST, Workspace, files_below

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


@contextmanager
def kcd_gen_process(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """kcd-gen in a process of its own, with a home and scratch folders of its own in `folder`."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "kubocd_gen", *arguments],
        cwd=folder,
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
    with server() as host:
        (tmp_path / "release.yaml").write_text(RELEASE.format(host=host))
        (tmp_path / "manifest.yaml").write_text(MANIFEST.format(host=host))
        home = tmp_path / "home"
        with kcd_gen_process(tmp_path, *command.split()) as process:
            time.sleep(2.5)
            assert process.poll() is None
            process.send_signal(number)
            began = time.monotonic()
            assert process.wait(30) == 128 + number
            assert time.monotonic() - began < AT_ONCE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "manifest.yaml", "release.yaml"]
    assert [path for path in home.rglob("*") if path.is_file()] == []


def children(process: int) -> list[int]:
    """All that a process has started, and what that has started."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *children(child)]
    return found


def is_helm(process: int) -> bool:
    """Whether helm runs there already: until it is loaded from a busy disk, the process that starts it can't end."""
    try:
        return Path(f"/proc/{process}/exe").readlink().name.startswith("helm")
    except OSError:
        return False


def gone(processes: list[int]) -> bool:
    """Whether they are, soon: init has to take note of it."""
    for _ in range(500):
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_build_ends_with_the_helm_that_it_waits_for(tmp_path: Path, number: signal.Signals, jobs: str) -> None:
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
        began = time.monotonic()
        assert process.wait(30) == 128 + number
        assert time.monotonic() - began < AT_ONCE
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
    with scratch("computing-"), running(["sleep", "60"]):
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
def test_who_computes_ends_with_programs_and_scratch_folders(tmp_path: Path, run: str, number: signal.Signals) -> None:
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
        began = time.monotonic()
        # Where no thread outlives the block, Python itself ends: by SIGINT as a shell expects it, without a handler.
        assert process.wait(30) in (128 + number, -number)
        assert time.monotonic() - began < AT_ONCE
    assert started
    assert gone(started)
    assert list(tmp_path.iterdir()) == []


def test_a_program_ends_with_what_it_has_started() -> None:
    with running(["sh", "-c", "sleep 60 & echo $!; wait"]) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        for _ in range(500):  # init has to take note of its end
            os.kill(child, 0)
            time.sleep(0.01)
