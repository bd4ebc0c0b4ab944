"""The image built from the Containerfile, run as in a cluster and queried with helm."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import pytest
import yaml

from kubocd_gen.helm.process import find_helm
from kubocd_gen.oci.layer import file_time
from kubocd_gen.server.container import BASE, CONFIGURATION, CONTENT_ROOT, USER, configuration, containerfile
from tests.support.container import Container, Images, run_as_root, run_container, unpack
from tests.support.requests import ask, parse, request
from tests.support.workspace import kcd_gen

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
# A real platform, if it is next to the checkout.
PLATFORM = CHECKOUT.parent / "shared/parity/cases/okdp"
CASES = ("quickstart", "okdp") if PLATFORM.is_dir() else ("quickstart",)
RECIPES = ("Containerfile", "kcd-gen image")
TIME = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Deployed:
    """An output, the image built from it, and the running container."""

    output: Path
    recipe: str
    layout: Path
    container: Container

    @property
    def repositories(self) -> list[str]:
        """Return `<namespace>/<release>` of each repository."""
        return sorted(
            str(path.parent.relative_to(self.output / "hr")) for path in self.output.glob("hr/*/*/index.yaml")
        )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    made = Images(tmp_path_factory.mktemp("images"))
    yield made
    made.remove()


@pytest.fixture(scope="module")
def base(images: Images) -> str:
    return images.make_base()


@pytest.fixture(scope="module", params=[(case, recipe) for case in CASES for recipe in RECIPES], ids="-".join)
def deployed(
    request: pytest.FixtureRequest, images: Images, base: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    case, recipe = request.param
    directory = tmp_path_factory.mktemp(case)
    output = compile_case(case, directory)
    layout = make_image(case, recipe, output, images, base)
    with run_container(layout, directory / "container") as container:
        yield Deployed(output, recipe, layout, container)


def make_image(case: str, recipe: str, output: Path, images: Images, base: str) -> Path:
    """Return the image of an output as a layout, built by buildah or by kcd-gen."""
    if recipe == "Containerfile":
        write_recipe(output)
        return images.layout(images.build(output, base, TIME), f"{case}-layout")
    layout = output.parent / "layout"
    base_layout = images.layout(base, f"{case}-base")
    arguments = (*sources(case, output.parent), "--base", f"oci:{base_layout}:image", "--output", str(layout))
    outcome = kcd_gen("image", *arguments, "--offline", directory=output.parent)
    assert outcome.exit == 0, outcome
    return layout


def sources(case: str, directory: Path) -> tuple[str, ...]:
    """Return the flags for the example or the platform."""
    if case == "quickstart":
        cluster, vendor = CHECKOUT / "fixtures/quickstart/cluster", CHECKOUT / "fixtures/quickstart/packages"
    else:
        cluster, vendor = PLATFORM / "cluster", directory / "packages"
        if not vendor.exists():
            program = str(PLATFORM.parent.parent / "layout.py")
            subprocess.run([sys.executable, program, str(PLATFORM), str(vendor)], check=True)
    return ("--source", str(cluster), "--vendor", str(vendor))


def compile_case(case: str, directory: Path) -> Path:
    """Return the output of the example or of the platform."""
    arguments = (*sources(case, directory), "--output", "out", "--offline", "--quiet")
    outcome = kcd_gen("build", *arguments, directory=directory)
    assert outcome.exit == 0, outcome
    return directory / "out"


def write_recipe(output: Path) -> None:
    """Write the output's server/ directory for a container engine."""
    (output / "server").mkdir()
    (output / "server/Containerfile").write_text(containerfile())
    for path, text in configuration().items():
        (output / "server" / Path(path).name).write_text(text)


def test_the_base_is_pinned_and_can_be_another() -> None:
    assert re.fullmatch(r"[a-z.]+/[a-z/-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}", BASE)
    lines = containerfile("registry.example.com/nginx@sha256:" + "0" * 64).splitlines()
    assert "ARG BASE=registry.example.com/nginx@sha256:" + "0" * 64 in lines
    assert "FROM ${BASE}" in lines


def test_it_runs_without_privileges(deployed: Deployed) -> None:
    status = deployed.container.status()
    assert deployed.container.user() == (USER, USER)
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert "nginx" not in deployed.container.errors.read_text()


def test_it_is_ready_and_logs_requests(deployed: Deployed) -> None:
    port = deployed.container.port
    assert [ask(port, request(path)).status for path in ("/healthz", "/readyz", "/", "/hr/")] == [200, 200, 404, 404]
    ask(port, request("/the-last-one"))
    for _ in range(100):
        lines = [json.loads(line) for line in deployed.container.log.read_text().splitlines()]
        if any(line["uri"] == "/the-last-one" for line in lines):
            break
        time.sleep(0.02)
    assert lines[-1]["status"] == 404


def test_every_compiled_file_is_served_unchanged(deployed: Deployed) -> None:
    files = [path for path in (deployed.output / "hr").rglob("*") if path.is_file()]
    assert len(files) > len(deployed.repositories) > 0
    for path in files:
        answer = ask(deployed.container.port, request(f"/{path.relative_to(deployed.output)}"))
        data = path.read_bytes()
        assert (answer.status, answer.body) == (200, data)
        modified = TIME if deployed.recipe == "Containerfile" else file_time(data)
        assert answer.header("last-modified") == formatdate(modified, usegmt=True)


def test_helm_finds_and_pulls_every_chart(deployed: Deployed, tmp_path: Path) -> None:
    def helm(*arguments: str) -> str:
        done = subprocess.run([str(find_helm()), *arguments], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    environment |= {f"HELM_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    for number, repository in enumerate(deployed.repositories):
        name = f"r{number}"
        (tmp_path / name).mkdir()
        helm("repo", "add", name, f"http://127.0.0.1:{deployed.container.port}/hr/{repository}")
        entries = yaml.safe_load((deployed.output / "hr" / repository / "index.yaml").read_bytes())["entries"]
        offered = {(f"{name}/{chart}", entry["version"]) for chart, versions in entries.items() for entry in versions}
        found = json.loads(helm("search", "repo", f"{name}/", "--versions", "--devel", "--output", "json"))
        assert {(entry["name"], entry["version"]) for entry in found} == offered
        for chart, version in sorted(offered):
            helm("pull", chart, "--version", version, "--destination", str(tmp_path / name))
        pulled = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        assert pulled == {path.name: path.read_bytes() for path in (deployed.output / "hr" / repository).glob("*.tgz")}


def test_the_image_has_the_expected_content(deployed: Deployed, tmp_path: Path) -> None:
    root = tmp_path / "root"
    config = unpack(deployed.layout, root)
    try:
        listed = run_as_root("find", root / CONTENT_ROOT[1:], root / "etc/nginx", "-printf", "%P %U:%G %m %T@\\n")
        lines = [line.split(" ") for line in listed.splitlines()]
        expected = {str(path.relative_to(deployed.output)) for path in (deployed.output / "hr").rglob("*")}
        assert {name for name, *_ in lines} == {"", "hr", *expected, *(Path(name).name for name in configuration())}
        assert all(owner == "0:0" for _, owner, *_ in lines)
        directories = ("",) if deployed.recipe == "kcd-gen image" else ("", "hr")  # buildah creates these itself
        assert all(int(mode, 8) & 0o222 == 0 for name, _, mode, _ in lines if name not in directories)
        assert (root / CONFIGURATION[1:]).read_text() == configuration()[CONFIGURATION]
    finally:
        run_as_root("rm", "-rf", root)
    assert (config["User"], config["StopSignal"]) == (f"{USER}:{USER}", "SIGQUIT")
    assert not config.get("Cmd")


def test_the_same_output_makes_the_same_image(images: Images, base: str, tmp_path: Path) -> None:
    output = compile_case("quickstart", tmp_path)
    write_recipe(output)
    first = (images.layout(images.build(output, base, TIME), "first") / "index.json").read_text()
    for path in output.rglob("*"):
        os.utime(path, (0, 0))
    images.buildah("rmi", "localhost/charts:1")
    assert (images.layout(images.build(output, base, TIME), "second") / "index.json").read_text() == first


def test_a_download_is_completed_before_it_stops(images: Images, base: str, tmp_path: Path) -> None:
    output = compile_case("quickstart", tmp_path)
    write_recipe(output)
    big = output / "hr/default/podinfo1/big-1.0.0.tgz"
    big.write_bytes(os.urandom(1 << 20) * 64)  # more than the buffers of sockets and relay
    layout = images.layout(images.build(output, base, TIME), "big")
    with run_container(layout, tmp_path / "container") as container:
        with socket.create_connection(("127.0.0.1", container.port), 30) as connection:
            connection.sendall(request("/hr/default/podinfo1/big-1.0.0.tgz"))
            parts = [connection.recv(65536)]
            with ThreadPoolExecutor(1) as threads:
                stopped = threads.submit(container.stop)
                time.sleep(1)
                assert not stopped.done(), "it stopped during a download"
                while chunk := connection.recv(1 << 20):
                    parts.append(chunk)
                assert stopped.result() == 0
        assert parse(b"".join(parts)).body == big.read_bytes()
