"""nginx's configuration, apart from single requests."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubocd_gen.server.container import CONFIGURATION, CONTENT_ROOT, PORT, SCRATCH, configuration, nginx_conf
from tests.support.nginx import run_nginx
from tests.support.registry import program
from tests.support.requests import CHART, CHART_PATH, INDEX, INDEX_PATH, ask, parse, request, write_content


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return write_content(tmp_path)


def test_the_configuration_is_for_the_container() -> None:
    files = configuration()
    assert list(files) == [CONFIGURATION, "/etc/nginx/listen-ipv6.conf"]
    assert files["/etc/nginx/listen-ipv6.conf"] == f"listen [::]:{PORT};\n"
    conf = files[CONFIGURATION]
    assert f"root {CONTENT_ROOT};" in conf
    assert f"listen {PORT};" in conf
    assert f"pid {SCRATCH}/nginx.pid;" in conf
    assert not any(line.strip().startswith(("user ", "daemon ", "load_module ")) for line in conf.splitlines())


def test_it_writes_only_to_its_scratch_directory(content: Path, tmp_path: Path) -> None:
    with run_nginx(content, tmp_path / "nginx") as nginx:
        ask(nginx.port, request(CHART_PATH))
        assert {path.name for path in (tmp_path / "nginx/scratch").iterdir()} == {
            *("nginx.pid", "client-body", "proxy", "fastcgi", "uwsgi", "scgi")
        }
        opened = {
            path.readlink()
            for path in Path(f"/proc/{nginx.process.pid}/fd").iterdir()
            if path.readlink().is_absolute() and "/dev/" not in str(path.readlink())
        }
        # The test itself has the log and the error file there.
        assert {path.parent for path in opened} <= {tmp_path / "nginx"}, opened
        assert nginx.stop() == 0
        assert nginx.errors.read_text() == ""


def test_ipv4_is_enough(content: Path, tmp_path: Path) -> None:
    # As on a node whose kernel has no IPv6: the path that shows it does not exist.
    with run_nginx(content, tmp_path / "nginx", if_ipv6=f"{tmp_path}/[n]owhere/..") as nginx:
        assert ask(nginx.port, request("/healthz")).status == 200
        with pytest.raises(OSError, match=r"refused|assign|family"):
            socket.create_connection(("::1", nginx.port), 5)


def test_ipv6_is_used_if_available(content: Path, tmp_path: Path) -> None:
    has_ipv6 = Path("/proc/sys/net/ipv6").is_dir()
    with run_nginx(content, tmp_path / "nginx") as nginx:
        wildcard = "0" * 32 + f":{nginx.port:04X}"
        listening = Path("/proc/net/tcp6").read_text() if has_ipv6 else ""
        assert (wildcard in listening) == has_ipv6


def test_without_content_it_is_live_but_not_ready(tmp_path: Path) -> None:
    root = tmp_path / "output"
    with run_nginx(root, tmp_path / "nginx") as nginx:
        for step in range(3):
            if step == 1:
                root.mkdir()
            if step == 2:
                (root / "hr").touch()
            assert ask(nginx.port, request("/healthz")).status == 200
            assert ask(nginx.port, request("/readyz")).status == 503
            assert ask(nginx.port, request(INDEX_PATH)).status == 404
        (root / "hr").unlink()
        write_content(tmp_path)
        assert ask(nginx.port, request("/readyz")).status == 200
        assert ask(nginx.port, request(INDEX_PATH)).body == INDEX


def test_a_symlinked_root_can_be_replaced(tmp_path: Path) -> None:
    # As git-sync publishes a checkout: `current` is replaced with a symlink to the next one.
    for name in ("one", "two"):
        write_content(tmp_path / name)
        (tmp_path / name / "output/hr/default/web/index.yaml").write_text(f"name: {name}\n")
    (tmp_path / "current").symlink_to("one")
    with run_nginx(tmp_path / "current/output", tmp_path / "nginx") as nginx:
        assert ask(nginx.port, request(INDEX_PATH)).body == b"name: one\n"
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "current")
        assert ask(nginx.port, request(INDEX_PATH)).body == b"name: two\n"
        assert ask(nginx.port, request("/readyz")).status == 200
        for path in ("/hr/default/web/link.tgz", "/hr/default/web/inside.tgz", "/hr/linked/web/index.yaml"):
            assert ask(nginx.port, request(path)).status == 404


def test_a_symlinked_hr_is_not_served(content: Path, tmp_path: Path) -> None:
    (content / "hr").rename(tmp_path / "elsewhere")
    (content / "hr").symlink_to(tmp_path / "elsewhere")
    with run_nginx(content, tmp_path / "nginx") as nginx:
        assert ask(nginx.port, request(INDEX_PATH)).status == 404
        assert ask(nginx.port, request("/readyz")).status == 503  # and logs it


def test_a_download_is_completed_before_it_stops(content: Path, tmp_path: Path) -> None:
    big = content / "hr/default/web/big-1.0.0.tgz"
    big.write_bytes(bytes(range(256)) * 4096 * 64)  # more than the buffers of the sockets
    with run_nginx(content, tmp_path / "nginx") as nginx:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.connect(("127.0.0.1", nginx.port))
            connection.sendall(request("/hr/default/web/big-1.0.0.tgz"))
            received = connection.recv(65536)
            with ThreadPoolExecutor(1) as threads:
                stopped = threads.submit(nginx.stop)
                refused = _refuses_within(nginx.port, 5)
                assert nginx.process.poll() is None, "it stopped during a download"
                parts = [received]
                while chunk := connection.recv(1 << 20):
                    parts.append(chunk)
                assert stopped.result() == 0
        assert refused
        assert parse(b"".join(parts)).body == big.read_bytes()


def _refuses_within(port: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_a_slow_client_is_disconnected_and_others_are_served(content: Path, tmp_path: Path) -> None:
    sooner = ("client_header_timeout 10s;", "client_header_timeout 1s;")
    with run_nginx(content, tmp_path / "nginx", instead=sooner) as nginx:
        slow = [socket.create_connection(("127.0.0.1", nginx.port), 30) for _ in range(100)]
        for connection in slow:
            connection.sendall(b"GET /hr/default/web/index.yaml HTTP/1.1\r\nX-")
        assert ask(nginx.port, request(CHART_PATH)).body == CHART
        for connection in slow:
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1000) == b""
            connection.close()


def test_nginx_accepts_the_configuration_without_warnings(tmp_path: Path) -> None:
    # `nginx -t` also warns of deprecated directives.
    conf = tmp_path / "nginx.conf"
    (tmp_path / "scratch").mkdir()
    conf.write_text(nginx_conf(root=str(tmp_path), scratch=str(tmp_path / "scratch"), directory=str(tmp_path)))
    done = subprocess.run(
        [program("nginx", "nginx-light"), "-e", "/dev/stderr", "-t", "-c", str(conf)], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "warn" not in done.stderr, done.stderr
