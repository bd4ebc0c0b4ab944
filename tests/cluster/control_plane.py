"""The control plane: etcd, an API server, and the controllers of Kubernetes that Flux's objects depend on."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.processes import LOOPBACK, ClusterError, answers, run
from tests.cluster.programs import Built
from tests.support.nginx import free_port

Object = dict[str, Any]
# Pods are created, but nothing schedules or runs them; `pods.py` reports them as running.
_CONTROLLERS = (
    "deployment-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "serviceaccount-controller",
    "statefulset-controller",
)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl as an administrator of the cluster."""

    program: Path
    kubeconfig: Path
    home: Path

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl and return its output. Raises ClusterError with its messages."""
        environment = {"HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            [str(self.program), *arguments],
            input=given,
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def objects(self, kinds: Iterable[str]) -> list[Object]:
        """Return the objects of these kinds (`helmreleases.helm.toolkit.fluxcd.io`) in all namespaces."""
        found: list[Object] = json.loads(self("get", ",".join(kinds), "-A", "-o", "json"))["items"]
        return found

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects as a client would, with strict validation."""
        self("apply", "--server-side", "--validate=strict", "-f", "-", given=yaml.safe_dump_all(objects))


@contextmanager
def control_plane(programs: Mapping[str, Built], directory: Path) -> Iterator[Kubectl]:
    """Run the control plane, and yield a kubectl for it; the controller manager is optional in `programs`."""
    with ExitStack() as stack:
        etcd = _etcd(stack, programs["etcd"].path, directory / "etcd")
        kubectl = _api_server(stack, programs, directory, etcd)
        if manager := programs.get("kube-controller-manager"):
            _controller_manager(stack, manager.path, directory, kubectl.kubeconfig)
        yield kubectl


def _etcd(stack: ExitStack, program: Path, directory: Path) -> str:
    client, peer = (f"http://{LOOPBACK}:{free_port()}" for _ in range(2))
    command: list[str | Path] = [
        program,
        *("--name", "default", "--data-dir", directory / "data", "--unsafe-no-fsync", "--log-level", "warn"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
    ]
    stack.enter_context(run(command, directory, answers(f"{client}/health")))
    return client


def _api_server(stack: ExitStack, programs: Mapping[str, Built], directory: Path, etcd: str) -> Kubectl:
    own = directory / "kube-apiserver"
    own.mkdir(parents=True)
    key, tokens, kubeconfig = own / "service-accounts.pem", own / "tokens.csv", directory / "kubeconfig"
    generate = ["openssl", "genpkey", "-algorithm", "RSA", "-out", str(key)]
    subprocess.run(generate, check=True, capture_output=True)
    token, port = secrets.token_hex(16), free_port()
    tokens.touch(0o600)
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    kubeconfig.touch(0o600)
    # The API server signs its own certificate, which is therefore its authority, too.
    kubeconfig.write_text(_kubeconfig(port, own / "apiserver.crt", token))
    command: list[str | Path] = [
        programs["kube-apiserver"].path,
        *(f"--etcd-servers={etcd}", f"--bind-address={LOOPBACK}", f"--advertise-address={LOOPBACK}"),
        *(f"--secure-port={port}", f"--cert-dir={own}", f"--token-auth-file={tokens}"),
        *("--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none"),
        *(f"--service-account-issuer=https://{LOOPBACK}:{port}", f"--service-account-key-file={key}"),
        f"--service-account-signing-key-file={key}",
    ]
    kubectl = Kubectl(programs["kubectl"].path, kubeconfig, directory)
    stack.enter_context(run(command, own, lambda: _is_ready(kubectl)))
    return kubectl


def _is_ready(kubectl: Kubectl) -> bool:
    try:
        return kubectl("get", "--raw", "/readyz") == "ok"
    except ClusterError:
        return False


def _kubeconfig(port: int, authority: Path, token: str) -> str:
    cluster = {"server": f"https://{LOOPBACK}:{port}", "certificate-authority": str(authority)}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
            "current-context": "tests",
        }
    )


def _controller_manager(stack: ExitStack, program: Path, directory: Path, kubeconfig: Path) -> None:
    own, port = directory / "kube-controller-manager", free_port()
    command: list[str | Path] = [
        program,
        *(f"--kubeconfig={kubeconfig}", "--leader-elect=false", f"--controllers={','.join(_CONTROLLERS)}"),
        *(f"--bind-address={LOOPBACK}", f"--secure-port={port}", f"--cert-dir={own}"),
    ]
    # Its health endpoint has a certificate that nobody else knows; a default service account shows that it works.
    kubectl_ready = own / "log"
    stack.enter_context(run(command, own, lambda: "Serving securely" in kubectl_ready.read_text()))
