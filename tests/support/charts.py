"""Where charts come from, in miniature: a static Helm repository over HTTP, Git repositories, charts on disk."""

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
    """The files of a small chart below its folder; `more` are further lines of Chart.yaml."""
    lines = "".join(f"{key}: {value}\n" for key, value in more.items())
    return {
        "Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\n{lines}".encode(),
        "values.yaml": b"{}\n",
        "templates/values.yaml": CONFIG_MAP,
    }


def archive(name: str = "web", version: str = "1.0.0", **more: str) -> bytes:
    """The archive of the same chart, as a Helm repository has it."""
    return chart_archive({f"{name}/{path}": data for path, data in chart_files(name, version, **more).items()})


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """`files` below `folder`."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_repository(folder: Path, charts: Mapping[str, bytes]) -> Path:
    """A Helm repository with chart archives by file name."""
    return write_files(folder, {**charts, "index.yaml": chart_index(charts).encode()})


@dataclass(slots=True)
class Static:
    """A server of the files in a folder, and the paths that it was asked for, in order."""

    host: str
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@contextmanager
def serve(folder: Path, *, login: tuple[str, str] | None = None) -> Iterator[Static]:
    """The files in `folder` over HTTP on a free port of the loopback; with `login`, for this user and secret alone."""
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

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    static.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield static
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a repository, as somebody with no configuration."""
    who = {f"GIT_{one}_{key}": value for one in ("AUTHOR", "COMMITTER") for key, value in _PERSON.items()}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **who}
    command = [program("git", "git"), "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


_PERSON = {"NAME": "A", "EMAIL": "a@example.com", "DATE": "2025-01-01T00:00:00Z"}


def git_repository(folder: Path, files: Mapping[str, bytes], *, tag: str = "v1", branch: str = "main") -> str:
    """A repository whose one commit has `files`; its URL."""
    write_files(folder, files)
    git(folder, "init", "--quiet", f"--initial-branch={branch}")
    commit_all(folder)
    git(folder, "tag", "--annotate", "--message", tag, tag)
    return f"file://{folder}"


def commit_all(folder: Path) -> None:
    """What lies in the folder, as a commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a commit")
