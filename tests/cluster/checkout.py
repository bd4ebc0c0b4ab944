"""The user's repository: sources and a project file, compiled by kcd-gen, and a bare repository that Flux watches."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.deliveries import PARITY, QUICKSTART, Case, Delivery
from tests.cluster.processes import ClusterError
from tests.support.charts import commit_all, git
from tests.support.registry import skopeo

OUTPUT = "deploy"
SOURCES = "cluster"
_REGISTRY = "quay.io/"  # of all packages of the cases


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree, and the bare repository to which it is pushed.

    Packages are pulled from `registry`, and charts from `charts` or pushed to `registry`, as the delivery says.
    """

    directory: Path
    remote: Path
    delivery: Delivery
    registry: str
    charts: str

    @property
    def output(self) -> Path:
        return self.directory / OUTPUT

    def with_delivery(self, delivery: Delivery) -> Checkout:
        """Write the project file for a delivery, and return the checkout with it."""
        cluster: dict[str, Any] = {
            "name": "test",
            "sources": [SOURCES],
            "output": OUTPUT,
            "delivery": delivery.name,
            "repositoryURL": self.charts,
        }
        if delivery.chart_repository:
            cluster["chartRepository"] = {"url": f"oci://{self.registry}/charts", "insecure": True}
        project = {"apiVersion": "kcd-gen/v1alpha1", "kind": "Project", "clusters": [cluster]}
        (self.directory / "kcd-gen.yaml").write_text(yaml.safe_dump(project))
        return replace(self, delivery=delivery)

    def build(self, *flags: str) -> None:
        """Run `kcd-gen build`. Raises ClusterError with its problems."""
        command = [sys.executable, "-m", "kubocd_gen", "build", *self.delivery.build, *flags]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise ClusterError(f"kcd-gen build: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip())

    def push(self) -> str:
        """Commit everything, push it, and return the commit."""
        commit_all(self.directory)
        git(self.directory, "push", "--quiet", str(self.remote), "main")
        return git(self.directory, "rev-parse", "HEAD").strip()

    def documents(self) -> list[dict[str, Any]]:
        """Return the compiled objects."""
        paths = sorted((self.output / "flux").rglob("*.yaml"))
        found = [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]
        return [document for document in found if "metadata" in document]  # not of kustomization.yaml

    def kinds(self) -> Counter[str]:
        """Return how many objects of each kind the output has; namespaces are not counted."""
        return Counter(document["kind"] for document in self.documents() if document["kind"] != "Namespace")


def create(directory: Path, remote: Path, case: Case, delivery: Delivery, registry: str, charts: str) -> Checkout:
    """Write sources and a project file for a delivery, and create the repositories."""
    shutil.copytree(case.sources, directory / SOURCES)
    redirect = {"oldPrefix": _REGISTRY, "newPrefix": f"{registry}/", "insecure": True, "interval": "30m"}
    config = {
        "apiVersion": "kubocd.kubotal.io/v1alpha1",
        "kind": "Config",
        "metadata": {"name": "local-registry", "namespace": "kubocd"},
        "spec": {"packageRedirects": [redirect]},
    }
    (directory / SOURCES / "local-registry.yaml").write_text(yaml.safe_dump(config))
    git(directory, "init", "--quiet", "--initial-branch=main")
    remote.mkdir(parents=True)
    git(remote, "init", "--quiet", "--bare", "--initial-branch=main")
    return Checkout(directory, remote, delivery, registry, charts).with_delivery(delivery)


def push_packages(case: Case, scratch: Path, registry: str) -> int:
    """Copy the packages of a case to a registry, and return their number."""
    layout = QUICKSTART / "packages"
    if case.sources.is_relative_to(PARITY):
        layout = scratch / "layout"
        command = [sys.executable, str(PARITY / "layout.py"), str(case.sources.parent), str(layout)]
        subprocess.run(command, check=True)
    manifests = json.loads((layout / "index.json").read_text())["manifests"]
    for manifest in manifests:
        reference = manifest["annotations"]["org.opencontainers.image.ref.name"]
        target = f"docker://{registry}/{reference.removeprefix(_REGISTRY)}"
        copy = ("copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layout}:{reference}", target)
        skopeo(*copy, home=scratch)
    return len(manifests)
