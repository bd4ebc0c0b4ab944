"""Build images with buildah and run them with crun, restricted as in Kubernetes, without a container engine.

The container has its own network, a read-only root with only /tmp writable, the image's user, no capabilities and no
way to gain any. A relay listens on a port of 127.0.0.1 and forwards to port 8080 in the container.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kubocd_gen.server.container import PORT
from tests.support.nginx import is_up
from tests.support.registry import program, skip_without_servers

# Without root, use root in a user namespace with the subordinate ids of the system.
_AS_ROOT = () if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--map-auto")

# crun refuses the mix of cgroup versions that some machines mount, and needs no cgroups here.
_START = """\
umount --recursive /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null || true
exec "$0" "$@"
"""


@cache
def _may_run_containers() -> bool:
    """Whether the kernel allows new namespaces; in a container it may not. tests/servers.sh does the same check."""
    namespaces = ["unshare", *_AS_ROOT[1:], "--mount", "--net", "true"]
    return subprocess.run(namespaces, capture_output=True).returncode == 0


def run_as_root(*command: str | Path) -> str:
    """Run a command that needs root, at least over files, and return its output."""
    if not _may_run_containers():
        skip_without_servers("needs namespaces")
    done = subprocess.run([*_AS_ROOT, *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@dataclass(frozen=True, slots=True)
class Images:
    """buildah with its own storage in `directory`."""

    directory: Path

    def buildah(self, *arguments: str | Path) -> str:
        storage = ("--root", self.directory / "storage", "--runroot", self.directory / "run", "--storage-driver", "vfs")
        return run_as_root(program("buildah", "buildah"), *storage, *arguments)

    def remove(self) -> None:
        run_as_root("rm", "-rf", self.directory)

    def make_base(self) -> str:
        """Make an image with Debian's nginx, its linked libraries, users and /tmp; return its name."""
        nginx = program("nginx", "nginx-light")
        root = self.directory / "base"
        linked = re.findall(r"/\S+", subprocess.run(["ldd", nginx], capture_output=True, text=True).stdout)
        for name in (*linked, "/etc/passwd", "/etc/group"):
            target = root / name.removeprefix("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, target)
        (root / "usr/sbin").mkdir(parents=True)
        shutil.copy(nginx, root / "usr/sbin/nginx")
        (root / "tmp").mkdir()
        (root / "tmp").chmod(0o1777)
        container = self.buildah("from", "scratch").strip()
        self.buildah("copy", "--chown", "0:0", container, root, "/")
        self.buildah("config", "--env", "PATH=/usr/sbin:/usr/bin", container)
        self.buildah("commit", "--timestamp", "0", container, "localhost/base:1")
        self.buildah("rm", container)
        return "localhost/base:1"

    def build(self, context: Path, base: str, timestamp: int) -> str:
        """Build the Containerfile in `context` and return the image's name."""
        self.buildah(
            *("build", "--isolation", "chroot", "--build-arg", f"BASE={base}", "--timestamp", str(timestamp)),
            *("--file", context / "server/Containerfile", "--tag", "localhost/charts:1", context),
        )
        return "localhost/charts:1"

    def layout(self, image: str, name: str) -> Path:
        """Export an image of the storage as an OCI image layout."""
        self.buildah("push", image, f"oci:{self.directory / name}:image")
        return self.directory / name


def read_blob(layout: Path, digest: str) -> Any:
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())


def unpack(layout: Path, directory: Path) -> dict[str, Any]:
    """Unpack the files of the only image in an OCI layout to `directory` and return its runtime config."""
    descriptor = json.loads((layout / "index.json").read_bytes())["manifests"][0]
    manifest = read_blob(layout, descriptor["digest"])
    if "manifests" in manifest:
        manifest = read_blob(layout, manifest["manifests"][0]["digest"])
    directory.mkdir(parents=True)
    for layer in manifest["layers"]:
        run_as_root("tar", "-xpf", layout / "blobs" / layer["digest"].replace(":", "/"), "-C", directory)
    config: dict[str, Any] = read_blob(layout, manifest["config"]["digest"])["config"]
    return config


@dataclass(frozen=True, slots=True)
class Container:
    """A running container: the port to reach it on, and the process that forwards signals to it."""

    port: int
    process: subprocess.Popen[bytes]
    directory: Path  # its first process, /proc/<pid>
    log: Path
    errors: Path
    stop_signal: signal.Signals

    def status(self) -> dict[str, str]:
        """Return the kernel's status of its first process."""
        lines = (line.partition(":") for line in (self.directory / "status").read_text().splitlines())
        return {name: value.strip() for name, _, value in lines}

    def user(self) -> tuple[int, int]:
        """Return the user and group it runs as, as numbered inside the container."""
        pairs = []
        for kind in ("uid", "gid"):
            outside = int(self.status()[kind.capitalize()].split()[0])
            for line in (self.directory / f"{kind}_map").read_text().splitlines():
                inside, first, length = map(int, line.split())
                if first <= outside < first + length:
                    pairs.append(inside + outside - first)
        user, group = pairs
        return user, group

    def stop(self) -> int:
        """Stop it with the image's stop signal and return the exit code."""
        self.process.send_signal(self.stop_signal)
        return self.process.wait(30)


@contextmanager
def run_container(layout: Path, directory: Path) -> Iterator[Container]:
    """Run the image of an OCI layout; the container's files are stored in `directory`."""
    crun = program("crun", "crun")
    config = unpack(layout, directory / "rootfs")
    (directory / "config.json").write_text(json.dumps(_runtime(config)))
    log, errors, pid_file = directory / "log", directory / "errors", directory / "pid"
    command = [crun, "--root", str(directory / "state"), "--cgroup-manager=disabled", "run", "--bundle", str(directory)]
    command += ["--pid-file", str(pid_file), f"kcd-gen-{os.getpid()}"]
    private = ["unshare", *_AS_ROOT[1:], "--mount", "--propagation", "private", "sh", "-c", _START]
    with log.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen([*private, *command], stdout=out, stderr=err, stdin=subprocess.DEVNULL)
    relay = None
    try:
        pid = _wait_for_file(pid_file, process, errors)
        relay = subprocess.Popen(
            [sys.executable, "-m", "tests.support.relay", str(pid), str(PORT)], stdout=subprocess.PIPE
        )
        assert relay.stdout is not None
        port = int(relay.stdout.readline())
        assert is_up(port, process), errors.read_text()
        stop_signal = signal.Signals[config.get("StopSignal", "SIGTERM")]
        yield Container(port, process, Path(f"/proc/{pid}"), log, errors, stop_signal)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(10)
        if relay is not None:
            relay.terminate()
            relay.communicate()
        run_as_root("rm", "-rf", directory / "rootfs")


def _wait_for_file(path: Path, process: subprocess.Popen[bytes], errors: Path) -> int:
    for _ in range(200):
        if path.exists() and (text := path.read_text()):
            return int(text)
        assert process.poll() is None, errors.read_text()
        time.sleep(0.05)
    raise AssertionError("crun did not write a process id")


def _runtime(config: dict[str, Any]) -> dict[str, Any]:
    """Return an image's config in the runtime specification's form, with Kubernetes' restricted securityContext."""
    user, _, group = config["User"].partition(":")
    nothing: dict[str, list[str]] = {
        kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
    }
    tmpfs = {"type": "tmpfs", "source": "tmpfs"}
    hardened = ["nosuid", "nodev", "noexec"]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": True},
        "process": {
            "user": {"uid": int(user), "gid": int(group or user)},
            "args": [*config.get("Entrypoint", ()), *(config.get("Cmd") or ())],
            "env": config["Env"],
            "cwd": config.get("WorkingDir") or "/",
            "capabilities": nothing,
            "noNewPrivileges": True,
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", **tmpfs, "options": ["nosuid", "mode=755", "size=1m"]},
            {"destination": "/tmp", **tmpfs, "options": [*hardened, "mode=1777", "size=1m"]},  # noqa: S108
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
            "readonlyPaths": ["/proc/sys", "/proc/bus"],
            "maskedPaths": ["/proc/kcore"],
        },
    }
