"""Miniature chart sources: a static Helm repository over HTTP, Git repositories, and charts on disk."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.images import chart_archive, chart_index
from tests.support.registry import program

CONFIG_MAP = b"""apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {values: {{ .Values | toJson | quote }}}
"""


def chart_files(name: str = "web", version: str = "1.0.0", **more: str) -> dict[str, bytes]:
    """Return the files of a small chart, by path in its directory; `more` are additional lines of Chart.yaml."""
    lines = "".join(f"{key}: {value}\n" for key, value in more.items())
    return {
        "Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\n{lines}".encode(),
        "values.yaml": b"{}\n",
        "templates/values.yaml": CONFIG_MAP,
    }


def archive(name: str = "web", version: str = "1.0.0", **more: str) -> bytes:
    """Return the archive of the same chart, as a Helm repository serves it."""
    return chart_archive({f"{name}/{path}": data for path, data in chart_files(name, version, **more).items()})


def write_files(directory: Path, files: Mapping[str, bytes]) -> Path:
    """Write `files` below `directory`."""
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def write_repository(directory: Path, charts: Mapping[str, bytes]) -> Path:
    """Write a Helm repository of chart archives, given by file name."""
    return write_files(directory, {**charts, "index.yaml": chart_index(charts).encode()})


@dataclass(slots=True)
class Static:
    """A server of the files in a directory. Records the requested paths in order."""

    host: str
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@contextmanager
def serve(directory: Path, *, login: tuple[str, str] | None = None) -> Iterator[Static]:
    """Serve the files in `directory` over HTTP on a free loopback port; with `login`, only to that user."""
    static = Static("")
    wanted = f"Basic {base64.b64encode(':'.join(login).encode()).decode()}" if login else None

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            static.asked.append(self.path)
            if wanted and self.headers.get("Authorization") != wanted:
                self.send_error(401)
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(directory)))
    static.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield static
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def git(directory: Path, *arguments: str) -> str:
    """Run git in a repository, without any user configuration."""
    who = {f"GIT_{one}_{key}": value for one in ("AUTHOR", "COMMITTER") for key, value in _PERSON.items()}
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1", **who}
    command = [program("git", "git"), "-C", str(directory), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


_PERSON = {"NAME": "A", "EMAIL": "a@example.com", "DATE": "2025-01-01T00:00:00Z"}


def git_repository(directory: Path, files: Mapping[str, bytes], *, tag: str = "v1", branch: str = "main") -> str:
    """Create a repository with a single commit of `files` and return its URL."""
    write_files(directory, files)
    git(directory, "init", "--quiet", f"--initial-branch={branch}")
    commit_all(directory)
    git(directory, "tag", "--annotate", "--message", tag, tag)
    return f"file://{directory}"


def commit_all(directory: Path) -> None:
    """Commit everything in the directory."""
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "a commit")
