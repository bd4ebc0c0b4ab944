"""Flux's custom resource definitions and controllers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster.control_plane import Kubectl
from tests.cluster.processes import LOOPBACK, Running, answers, run
from tests.cluster.programs import Built
from tests.support.nginx import free_port

NAMESPACE = "flux-system"
_SOURCES = ("source-controller", "source-watcher")  # they serve artifacts to the others


def install_definitions(kubectl: Kubectl, definitions: Iterable[Path]) -> None:
    """Create the custom resource definitions in these directories, and the namespace of Flux."""
    names: list[str] = []
    for directory in definitions:
        names += kubectl("apply", "--server-side", "-f", str(directory), "-o", "name").split()
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})


@contextmanager
def controllers(
    kubectl: Kubectl, programs: Mapping[str, Built], directory: Path, flags: Mapping[str, tuple[str, ...]]
) -> Iterator[list[Running]]:
    """Run controllers as administrators of the cluster; `flags` has additional flags by the controller's name.

    Their own roles are not tested: in a cluster, each has a service account.
    """
    with ExitStack() as stack:
        running = []
        for name, built in programs.items():
            own, health = directory / name, free_port()
            command: list[str | Path] = [
                built.path,
                f"--health-addr={LOOPBACK}:{health}",
                f"--metrics-addr={LOOPBACK}:{free_port()}",
                "--enable-leader-election=false",
                "--requeue-dependency=5s",  # docs/deploying.md recommends it
                *flags.get(name, ()),
            ]
            if name in _SOURCES:
                storage = f"{LOOPBACK}:{free_port()}"
                (own / "storage").mkdir(parents=True)
                command += [f"--storage-path={own / 'storage'}", f"--storage-addr={storage}"]
                command += [f"--storage-adv-addr={storage}"]
            environment = {"KUBECONFIG": str(kubectl.kubeconfig), "RUNTIME_NAMESPACE": NAMESPACE}
            ready = answers(f"http://{LOOPBACK}:{health}/readyz")
            running.append(stack.enter_context(run(command, own, ready, environment)))
        yield running
