"""`kcd-gen serve` as a process: its output, how it ends, what helm gets from it, and builds on change."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubocd_gen.helm.process import find_helm
from tests.support.requests import Answer, ask
from tests.support.workspace import Workspace, kcd_gen

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LONG = 30.0  # seconds for anything that takes a second


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server: its port, and the files of its output."""

    process: subprocess.Popen[bytes]
    port: int
    out: Path
    err: Path

    def get(self, path: str) -> Answer:
        return ask(self.port, f"GET {path} HTTP/1.1\r\nHost: localhost:{self.port}\r\n\r\n".encode())

    def index(self, release: str = "web") -> str:
        return self.get(f"/hr/default/{release}/index.yaml").body.decode()

    def page(self) -> str:
        return self.get("/").body.decode()


@contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[Serving]:
    out, err = directory / ".out", directory / ".err"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KCD_", "HELM_"))}
    environment = {**clean, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(directory / ".cache")}
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "kubocd_gen", "serve", "--port", "0", *arguments],
            cwd=directory,
            env=environment,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        until(lambda: b"\n" in out.read_bytes() or process.poll() is not None)
        first = out.read_text().partition("\n")[0]
        found = re.search(r":([0-9]+)/", first)
        assert found, (first, err.read_text())
        yield Serving(process, int(found[1]), out, err)
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition is met, and fail after a timeout."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.05)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def built(workspace: Workspace) -> Workspace:
    """The workspace, built once."""
    workspace.package()
    workspace.release("web")
    assert workspace.build().exit == 0
    return workspace


def test_the_first_line_contains_the_address(built: Workspace) -> None:
    with serving(built.root, "--output", "output") as server:
        assert server.out.read_text() == f"Serving output at http://127.0.0.1:{server.port}/ (press Ctrl-C to stop)\n"
        assert server.err.read_text() == ""
        assert "entries:" in server.index()
        server.get("/hr/nothing")
        until(lambda: "GET /hr/nothing 404\n" in server.err.read_text())


def test_the_page_of_the_documentation(built: Workspace) -> None:
    page = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^Serving .*$", page, re.MULTILINE)
    (built.root / "output").rename(built.root / "prod")
    (built.root / "deploy").mkdir()
    (built.root / "prod").rename(built.root / "deploy/prod")
    with serving(built.root, "--output", "deploy/prod") as server:
        assert server.out.read_text() == line.replace("8080", str(server.port)) + "\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_ends_at_once(built: Workspace, number: signal.Signals, code: int) -> None:
    with serving(built.root, "--output", "output") as server:
        with socket.create_connection(("127.0.0.1", server.port), 5):  # a silent client does not delay the end
            server.process.send_signal(number)
            assert server.process.wait(5) == code
        assert "Traceback" not in server.err.read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_ends_at_once_while_it_waits_for_a_change(built: Workspace, number: signal.Signals, code: int) -> None:
    with serving(built.root, *WATCH) as server:
        until(lambda: "compiled;" in server.out.read_text())
        time.sleep(0.5)  # so that the system is asked for changes; otherwise it would end anyway
        server.process.send_signal(number)
        assert server.process.wait(5) == code
        assert "Traceback" not in server.err.read_text()


def test_helm_pulls_every_chart(tmp_path: Path) -> None:
    fixture = ROOT / "fixtures/quickstart"
    arguments = ("--source", str(fixture / "cluster"), "--vendor", str(fixture / "packages"), "--output", "out")
    assert kcd_gen("build", *arguments, directory=tmp_path).exit == 0

    def helm(*arguments: str) -> str:
        done = subprocess.run([str(find_helm()), *arguments], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    environment |= {f"HELM_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    with serving(tmp_path, "--output", "out") as server:
        (add,) = re.findall(r"helm repo add (\S+) (http://\S+)<", server.page())
        helm("repo", "add", *add)
        (found,) = json.loads(helm("search", "repo", f"{add[0]}/", "--output", "json"))
        helm("pull", found["name"], "--version", found["version"], "--destination", str(tmp_path))
    (chart,) = (tmp_path / "out/hr/default/podinfo1").glob("*.tgz")
    assert (tmp_path / chart.name).read_bytes() == chart.read_bytes()


def test_unusable_arguments_are_an_error(built: Workspace, tmp_path: Path) -> None:
    def serve(*arguments: str) -> tuple[int, str]:
        outcome = kcd_gen("serve", *arguments, directory=built.root)
        return outcome.exit, outcome.err

    code, text = serve("--output", "nowhere")
    assert code == 1
    assert "nowhere: error[missing-output]" in text
    code, text = serve("--source", "sources", "--output", "output")
    assert code == 2
    assert "--source requires --watch" in text
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, text = serve("--output", "output", "--port", str(taken.getsockname()[1]))
    assert code == 1
    assert "error[unusable-address]" in text
    assert "--port 0" in text
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters:\n"
    clusters = "- {name: a, sources: [a], output: oa}\n- {name: b, sources: [b], output: ob}\n"
    (built.root / "kcd-gen.yaml").write_text(head + clusters)
    code, text = serve()
    assert code == 2
    assert "choose one with --cluster: a, b" in text


def test_another_address_than_loopback_is_a_warning(built: Workspace) -> None:
    with serving(built.root, "--output", "output", "--host", "0.0.0.0") as server:  # noqa: S104 - that is the matter
        until(lambda: "warning[exposed-address]" in server.err.read_text())
        assert server.get("/healthz").status == 200


WATCH = ("--watch", "--source", "sources", "--output", "output", "--vendor", "packages", "--offline")


def test_a_change_triggers_a_build(workspace: Workspace) -> None:
    workspace.package()
    workspace.release("web")
    with serving(workspace.root, *WATCH) as server:
        until(lambda: server.get("/hr/default/web/index.yaml").status == 200)
        workspace.release("shop")  # a new file
        until(lambda: server.get("/hr/default/shop/index.yaml").status == 200)
        (workspace.root / "sources/default-web.yaml").unlink()
        until(lambda: server.get("/hr/default/web/index.yaml").status == 404)
        saved = workspace.root / "sources/.new"  # as editors save
        saved.write_text((workspace.root / "sources/default-shop.yaml").read_text().replace("name: shop", "name: cafe"))
        saved.replace(workspace.root / "sources/default-shop.yaml")
        until(lambda: server.get("/hr/default/cafe/index.yaml").status == 200)
        # The files exist before the build has reported it.
        until(lambda: re.search(r'"cafe-main".*compiled;', server.out.read_text(), re.DOTALL) is not None)
        printed = server.out.read_text()
        assert 'Created HelmRelease "shop-main"' in printed
        assert re.search(r"^\d\d:\d\d:\d\d sources/default-shop.yaml changed$", printed, re.MULTILINE)
        count = printed.count("compiled;")
        time.sleep(1.5)  # several polls: its own output is not a change
        assert server.out.read_text().count("compiled;") == count


def test_the_old_output_is_served_while_the_sources_have_an_error(workspace: Workspace) -> None:
    workspace.package()
    workspace.release("web")
    with serving(workspace.root, *WATCH) as server:
        until(lambda: server.get("/hr/default/web/index.yaml").status == 200)
        before = server.index()
        workspace.release("web", "parameters: {replicaz: <b>2</b>}\n")
        until(lambda: "The last build failed" in server.page())
        assert "unknown-parameter" in server.page()
        assert "error[unknown-parameter]" in server.err.read_text()
        assert server.index() == before
        workspace.release("web", "parameters: {replicas: 2}\n")
        until(lambda: "The last build failed" not in server.page())


def test_sources_that_disappear_and_return_are_built(workspace: Workspace) -> None:
    workspace.package()
    workspace.release("web")
    with serving(workspace.root, *WATCH) as server:
        until(lambda: server.get("/hr/default/web/index.yaml").status == 200)
        (workspace.root / "sources").rename(workspace.root / "elsewhere")
        until(lambda: "error[missing-source]" in server.err.read_text())
        assert server.get("/hr/default/web/index.yaml").status == 200
        workspace.release("shop")
        shutil.copy(workspace.root / "elsewhere/default-web.yaml", workspace.root / "sources/default-web.yaml")
        until(lambda: server.get("/hr/default/shop/index.yaml").status == 200)


def test_checking_out_another_branch_triggers_a_build(workspace: Workspace) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *identity, *arguments], cwd=workspace.root, check=True, capture_output=True)

    workspace.package()
    workspace.release("web")
    git("init", "-b", "main")
    git("add", "sources")
    git("commit", "-m", "one")
    git("checkout", "-b", "many")
    for number in range(30):
        workspace.release(f"web{number}")
    git("add", "sources")
    git("commit", "-m", "many")
    git("checkout", "main")
    with serving(workspace.root, *WATCH) as server:
        until(lambda: server.get("/hr/default/web/index.yaml").status == 200)
        git("checkout", "many")
        until(lambda: all(server.get(f"/hr/default/web{n}/index.yaml").status == 200 for n in (0, 15, 29)))
        git("checkout", "main")
        until(lambda: server.get("/hr/default/web29/index.yaml").status == 404)


def test_the_project_file_is_watched(workspace: Workspace) -> None:
    workspace.package()
    workspace.release("web")
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\nclusters:\n"
    project = workspace.root / "kcd-gen.yaml"
    project.write_text(head + "- {name: a, sources: [sources], output: one}\n")
    with serving(workspace.root, "--watch", "--offline") as server:
        until(lambda: server.get("/hr/default/web/index.yaml").status == 200)
        project.write_text("kind: [\n")
        until(lambda: "kcd-gen.yaml:" in server.err.read_text())
        project.write_text(head + "- {name: a, sources: [sources], output: two}\n")
        until((workspace.root / "two/hr/default/web/index.yaml").exists)
        until(lambda: "of <code>two</code>" in server.page())
