"""Download charts from nginx with fifty clients while `kcd-gen build` keeps replacing them, and check every byte.

    python -m tests.server.load [SECONDS]

Each client does what Flux does: it reads an index and downloads the charts in it. The only permitted effect of a build
is that a chart is gone by then; in that case the next index must not list it either.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.support.images import chart_archive, chart_index, package_layer
from tests.support.nginx import run_nginx
from tests.support.requests import parse
from tests.support.workspace import Workspace

CLIENTS = 50
RELEASES = 12
VERSIONS = 40
CHARTS = ("web", "worker")


@dataclass(slots=True)
class Seen:
    """What the clients saw: seconds of each request by kind, charts that were gone, and errors."""

    indexes: list[float] = field(default_factory=list)
    charts: list[float] = field(default_factory=list)
    size: int = 0
    moved: int = 0
    versions: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    builds: int = 0

    def percentiles(self) -> dict[str, float]:
        """Return p50 and p99 in milliseconds."""
        found = {}
        for name, times in (("index", sorted(self.indexes)), ("chart", sorted(self.charts))):
            for percent in (50, 99):
                found[f"{name} p{percent}"] = round(times[len(times) * percent // 100] * 1000, 1)
        return found


def write_packages(workspace: Workspace) -> frozenset[bytes]:
    """Write the packages app:1.0.0 and up, with charts that exceed one buffer; return every index in them."""
    indexes = set()
    chance = random.Random(7)  # noqa: S311
    for version in range(VERSIONS):
        charts = {
            f"{name}-1.0.{version}.tgz": chart_archive(
                {
                    f"{name}/Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: 1.0.{version}\n".encode(),
                    f"{name}/data": chance.randbytes(chance.randrange(10_000, 200_000)),
                }
            )
            for name in CHARTS
        }
        manifest = {
            "apiVersion": "v1alpha1",
            "name": "app",
            "tag": f"1.0.{version}",
            "modules": [
                {
                    "name": name,
                    "source": {
                        "helmRepository": {
                            "url": "https://charts.example.com",
                            "chart": name,
                            "version": f"1.0.{version}",
                        }
                    },
                }
                for name in CHARTS
            ],
        }
        by_module = {name: {"name": name, "version": f"1.0.{version}"} for name in CHARTS}
        status = {"apiVersion": "v1alpha1", "chartByModule": by_module}
        layer = package_layer(yaml.safe_dump(manifest), yaml.safe_dump(status), charts)
        workspace.layers[f"registry.example.com/demo/app:1.0.{version}"] = layer
        indexes.add(chart_index(charts).encode())
    workspace.package()  # writes the layout
    return frozenset(indexes)


def write_releases(workspace: Workspace, version: int) -> None:
    """Write every Release; the versions are rotated by `version`."""
    for number in range(RELEASES):
        package = f"registry.example.com/demo/app:1.0.{(version + number) % VERSIONS}"
        workspace.release(f"app{number}", package=package)


async def build_again_and_again(workspace: Workspace, seen: Seen, keep_going: Callable[[Seen], bool]) -> None:
    where = ("--source", "sources", "--output", "output", "--vendor", "packages")
    environment = {**os.environ, "XDG_CACHE_HOME": str(workspace.root / ".cache")}
    while keep_going(seen):
        write_releases(workspace, seen.builds + 1)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kubocd_gen", "build", "--offline", "--quiet", *where),
            cwd=workspace.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        seen.builds += 1
        if process.returncode != 0:
            seen.errors.append(f"build: {output.decode()}")
            return


class Client:
    """One connection, kept alive as long as the server allows."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = parse(await reader.readuntil(b"\r\n\r\n"), is_head=True)
        body = await reader.readexactly(int(answer.header("content-length") or ""))
        if answer.header("connection") == "close":
            self.close()
        return answer.status, body

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


async def work(
    port: int, known: frozenset[bytes], seen: Seen, keep_going: Callable[[Seen], bool], chance: random.Random
) -> None:
    client = Client(port)
    try:
        while keep_going(seen):
            await install(client, f"/hr/default/app{chance.randrange(RELEASES)}", known, seen)
    except (OSError, EOFError, asyncio.IncompleteReadError, AssertionError) as error:
        seen.errors.append(repr(error))
    finally:
        client.close()


async def install(client: Client, repository: str, known: frozenset[bytes], seen: Seen) -> None:
    """Read an index and download its charts, as Flux does."""
    index = await read_index(client, repository, known, seen)
    for name in CHARTS:
        entry = index[name][0]
        started = time.perf_counter()
        status, body = await client.get(f"{repository}/{entry['urls'][0]}")
        seen.charts.append(time.perf_counter() - started)
        seen.size += len(body)
        if status == 404:
            seen.moved += 1
            later = await read_index(client, repository, known, seen)
            assert later[name][0]["version"] != entry["version"], f"{repository}: {name} is missing"
            return
        assert status == 200, f"{repository}: {name}: {status}"
        assert hashlib.sha256(body).hexdigest() == entry["digest"], f"{repository}: {name} is not what its index says"


Entries = dict[str, list[dict[str, str]]]


async def read_index(client: Client, repository: str, known: frozenset[bytes], seen: Seen) -> Entries:
    started = time.perf_counter()
    status, body = await client.get(f"{repository}/index.yaml")
    seen.indexes.append(time.perf_counter() - started)
    assert status == 200, f"{repository}/index.yaml: {status}"
    assert body in known, f"{repository}/index.yaml is no index that there ever was"
    entries: Entries = yaml.load(body, Loader=yaml.CSafeLoader)["entries"]
    seen.versions.add(entries["web"][0]["version"])
    return entries


async def _run_all(
    workspace: Workspace, port: int, known: frozenset[bytes], keep_going: Callable[[Seen], bool]
) -> Seen:
    seen = Seen()
    clients = (work(port, known, seen, keep_going, random.Random(number)) for number in range(CLIENTS))  # noqa: S311
    await asyncio.gather(build_again_and_again(workspace, seen, keep_going), *clients)
    return seen


def load(directory: Path, keep_going: Callable[[Seen], bool]) -> Seen:
    """Run the clients and the builds as long as `keep_going` returns True."""
    workspace = Workspace(directory / "workspace")
    known = write_packages(workspace)
    write_releases(workspace, 0)
    assert workspace.build().exit == 0
    with run_nginx(workspace.output, directory / "nginx") as nginx:
        seen = asyncio.run(_run_all(workspace, nginx.port, known, keep_going))
        assert nginx.stop() == 0
        seen.errors += nginx.errors.read_text().splitlines()
        return seen


def main() -> int:
    """Return exit status 0 if no client saw an error."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as directory:
        until = time.monotonic() + seconds
        seen = load(Path(directory), lambda _: time.monotonic() < until)
    requests = len(seen.indexes) + len(seen.charts)
    print(f"{CLIENTS} clients, {seconds:.0f} s: {requests} requests, {seen.size >> 20} MiB, {len(seen.errors)} errors")
    print(f"{seen.builds} builds of {RELEASES} Releases, {len(seen.versions)} versions seen, {seen.moved} charts gone")
    print("milliseconds: " + json.dumps(seen.percentiles()))
    for error in seen.errors[:20]:
        print(error)
    return 1 if seen.errors else 0


if __name__ == "__main__":
    sys.exit(main())
