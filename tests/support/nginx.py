"""nginx with kcd-gen's configuration, serving a directory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.server.container import listen_ipv6, nginx_conf
from tests.support.registry import program

# Started by root, nginx switches to another user, who may not enter the tests' directories. With all permissions, only
# the configuration keeps it from reading forbidden files.
_DIRECTIVES = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx on 127.0.0.1 and other addresses; its log, one line of JSON per request, and its errors."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    errors: Path

    def stop(self) -> int:
        """Stop gracefully and return the exit code."""
        self.process.send_signal(signal.SIGQUIT)
        return self.process.wait(30)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def is_up(port: int, process: subprocess.Popen[bytes], host: str = "127.0.0.1") -> bool:
    """Whether the port accepts connections before the process ends."""
    for _ in range(200):
        if process.poll() is not None:
            return False
        try:
            socket.create_connection((host, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


@contextmanager
def run_nginx(
    root: Path, directory: Path, *, if_ipv6: str | None = None, instead: tuple[str, str] = ("", "")
) -> Iterator[Nginx]:
    """Serve `root` with nginx; its own files are in `directory`. `instead` replaces a string of its configuration."""
    binary = program("nginx", "nginx-light")
    for name in ("etc", "scratch"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    log, errors = directory / "log", directory / "errors"
    for _ in range(3):  # another process can take the free port first
        port = free_port()
        conf = nginx_conf(
            root=str(root),
            port=port,
            scratch=str(directory / "scratch"),
            directory=str(directory / "etc"),
            **({} if if_ipv6 is None else {"if_ipv6": if_ipv6}),
        )
        assert instead[0] in conf
        (directory / "etc/nginx.conf").write_text(conf.replace(*instead))
        (directory / "etc/listen-ipv6.conf").write_text(listen_ipv6(port=port))
        with log.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                [binary, "-e", "/dev/stderr", "-c", str(directory / "etc/nginx.conf"), "-g", _DIRECTIVES],
                stdout=out,
                stderr=err,
                env={"PATH": os.defpath},
            )
        try:
            if is_up(port, process):
                yield Nginx(port, process, log, errors)
                return
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(10)
    raise AssertionError(f"nginx did not start: {errors.read_text()}")
