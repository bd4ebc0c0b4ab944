"""A real registry and an independent client: Debian's docker-registry, skopeo and htpasswd."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

USER, SECRET = "alice", "open:sesame"


@dataclass(frozen=True, slots=True)
class Running:
    """A running registry: its `127.0.0.1:port`, and with TLS the CA that signed its certificate."""

    host: str
    log: Path
    ca_file: Path | None = None

    def requests(self) -> list[str]:
        """Return the requests so far, as `HEAD /v2/demo/web/manifests/1.0.0`; each is logged before its answer ends."""
        return re.findall(r'"([A-Z]+ /v2/[^ "]*) HTTP', self.log.read_text())


def program(name: str, package: str) -> str:
    """Return the path of a required program. Fails if it is missing: a skipped test would look like success."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        skip_without_servers(f"needs {name}")
        raise AssertionError(f"these tests need {name}: apt-get install {package}")
    return found


def skip_without_servers(why: str) -> None:
    """Skip the test if `make test` has announced it."""
    if "WITHOUT_SERVERS" in os.environ:
        pytest.skip(why)


@contextmanager
def run_registry(directory: Path, *, login: bool = False, ca: CertificateAuthority | None = None) -> Iterator[Running]:
    """Run a registry with its data in `directory`; with `login`, for USER alone; with `ca`, over TLS."""
    directory.mkdir(parents=True, exist_ok=True)
    binary = program("docker-registry", "docker-registry")
    for _ in range(3):  # another process can take the free port first
        port = _free_port()
        config = [
            "version: 0.1",
            "log: {level: info}",
            f"storage: {{filesystem: {{rootdirectory: {directory / 'data'}}}, delete: {{enabled: true}}}}",
            f"http: {{addr: '127.0.0.1:{port}', secret: tests" + (_tls(ca) if ca else "") + "}",
        ]
        if login:
            passwords = directory / "htpasswd"
            line = _output(program("htpasswd", "apache2-utils"), "-Bbn", "-C", "4", USER, SECRET)
            passwords.write_text(line)
            config.append(f"auth: {{htpasswd: {{realm: tests, path: {passwords}}}}}")
        (directory / "config.yml").write_text("\n".join(config) + "\n")
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary, "serve", str(directory / "config.yml")],
                stdout=output,
                stderr=output,
                env={"PATH": os.defpath, "HOME": str(directory), "OTEL_TRACES_EXPORTER": "none"},
            )
        try:
            if _is_up(port, process):
                yield Running(f"127.0.0.1:{port}", log, ca.certificate if ca else None)
                return
        finally:
            process.terminate()
            process.wait(10)
    raise AssertionError(f"docker-registry did not start: {log.read_text()}")


def skopeo(*arguments: str, home: Path) -> str:
    """Run skopeo and return its output. It only has the credentials and configuration in `arguments`."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "TMPDIR": str(home)}
    return _output(program("skopeo", "skopeo"), "--insecure-policy", *arguments, environment=environment)


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A private CA and its certificate for 127.0.0.1 and localhost."""

    certificate: Path
    server: Path
    key: Path


def make_authority(directory: Path, *, strict: bool = True) -> CertificateAuthority:
    """Create an authority with openssl in `directory`; unless `strict`, without the key usage of RFC 5280."""
    directory.mkdir(parents=True, exist_ok=True)
    openssl = program("openssl", "openssl")
    ca, ca_key, server, key = (directory / name for name in ("ca.pem", "ca.key", "server.pem", "server.key"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")
    usage = ("-addext", "keyUsage=critical,keyCertSign") if strict else ()
    is_ca = ("-addext", "basicConstraints=critical,CA:TRUE", *usage)
    _output(
        openssl, "req", "-x509", *curve, "-subj", "/CN=kcd-gen tests", "-keyout", str(ca_key), "-out", str(ca), *is_ca
    )
    names = directory / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    request = directory / "server.csr"
    _output(openssl, "req", *curve[:5], "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(request))
    signing = ("-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial", "-days", "30", "-extfile", str(names))
    _output(openssl, "x509", "-req", "-in", str(request), *signing, "-out", str(server))
    return CertificateAuthority(ca, server, key)


def _tls(ca: CertificateAuthority) -> str:
    return f", tls: {{certificate: {ca.server}, key: {ca.key}}}"


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _is_up(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _output(*command: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"{Path(command[0]).name}: {done.stderr}")
    return done.stdout
