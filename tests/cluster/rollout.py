"""One run: start a cluster, let Flux apply the compiled output, change it and remove it, and check every object."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import checkout
from tests.cluster.checkout import OUTPUT, SOURCES, Checkout
from tests.cluster.control_plane import Kubectl, Object, control_plane
from tests.cluster.deliveries import KINDS, Case, Delivery
from tests.cluster.flux import NAMESPACE, controllers, install_definitions
from tests.cluster.git_server import git_server
from tests.cluster.pods import report_as_running
from tests.cluster.processes import ClusterError, Running
from tests.cluster.programs import KUBERNETES, Built
from tests.support.nginx import run_nginx
from tests.support.registry import run_registry

_NAME = "flux-system"  # of the GitRepository and the Kustomization
_REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A case in a delivery, on a new cluster whose files are in `directory`."""

    case: Case
    delivery: Delivery
    programs: Mapping[str, Built]
    definitions: Sequence[Path]
    directory: Path
    timeout: float
    dry_run: bool = False
    """Only let the API server validate the output."""

    def run(self) -> None:
        """Do all of it. Raises ClusterError at the first check that fails."""
        with ExitStack() as stack:
            started = time.monotonic()
            registry = stack.enter_context(run_registry(self.directory / "registry")).host
            packages = checkout.push_packages(self.case, self.directory / "packages", registry)
            output = self.directory / "checkout" / OUTPUT
            charts = stack.enter_context(run_nginx(output, self.directory / "nginx"))
            repositories = self.directory / "git"
            url = stack.enter_context(git_server(repositories)) + "/fleet.git"
            _report(f"{packages} packages in a registry; nginx and git http-backend", started)

            started = time.monotonic()
            tree = checkout.create(
                *(self.directory / "checkout", repositories / "fleet.git", self.case, self.delivery),
                *(registry, f"http://127.0.0.1:{charts.port}"),
            )
            tree.build()
            self._check_kinds(tree)
            _report(f"compiled: {_counted(tree.kinds())}", started)

            started = time.monotonic()
            kubectl = stack.enter_context(control_plane(self.programs, self.directory))
            _report("control plane started", started)
            self._validate(kubectl, tree)
            if self.dry_run:
                return

            started = time.monotonic()
            kubernetes = {program.name for program in KUBERNETES}
            flux = {name: built for name, built in self.programs.items() if name not in kubernetes}
            running = stack.enter_context(controllers(kubectl, flux, self.directory, self.delivery.flags))
            _report(f"started {', '.join(flux)}", started)

            self._install(kubectl, tree, url, running)
            if self.case.change:
                self._change(kubectl, tree, running)
                self._remove(kubectl, tree, running)

    def _check_kinds(self, tree: Checkout) -> None:
        expected = Counter(self.case.objects[self.delivery.name])
        if tree.kinds() != expected:
            raise ClusterError(f"compiled {_counted(tree.kinds())} instead of {_counted(expected)}")

    def _validate(self, kubectl: Kubectl, tree: Checkout) -> None:
        """Let the API server validate the output with the definitions of Flux, in namespaces that exist."""
        started = time.monotonic()
        install_definitions(kubectl, self.definitions)
        documents = tree.documents()
        emitted = {document["metadata"]["name"] for document in documents if document["kind"] == "Namespace"}
        needed = {document["metadata"].get("namespace") for document in documents} - {None}
        existing = {namespace["metadata"]["name"] for namespace in kubectl.objects(["namespaces"])}
        # A namespace of the output must be created by Flux, so here it is created for the dry run only.
        for name in sorted(needed - existing):
            kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        strict = ("--server-side", "--dry-run=server", "--validate=strict", "-o", "name")
        accepted = kubectl("apply", *strict, "-k", str(tree.output / "flux")).split()
        if len(accepted) != len(documents):
            raise ClusterError(f"the dry run had {len(accepted)} of {len(documents)} objects")
        for name in sorted(emitted - existing):
            kubectl("delete", "namespace", name)
        if external := sorted(needed - existing - emitted):
            print(f"  namespaces that the output does not contain, created: {', '.join(external)}", flush=True)
        _report(f"strict server-side dry run accepted {len(accepted)} objects", started)

    def _install(self, kubectl: Kubectl, tree: Checkout, url: str, running: list[Running]) -> None:
        commit = tree.push()
        started = time.monotonic()
        metadata = {"name": _NAME, "namespace": NAMESPACE}
        kubectl.apply(
            {
                "apiVersion": "source.toolkit.fluxcd.io/v1",
                "kind": "GitRepository",
                "metadata": metadata,
                "spec": {"interval": "10m", "url": url, "ref": {"branch": "main"}},
            },
            {
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
                "kind": "Kustomization",
                "metadata": metadata,
                "spec": {
                    "interval": "10m",
                    "retryInterval": "10s",
                    "timeout": f"{self.timeout:.0f}s",
                    "path": f"./{OUTPUT}/flux",
                    "prune": True,
                    "wait": True,
                    "sourceRef": {"kind": "GitRepository", "name": _NAME},
                },
            },
        )
        ready = self._await(kubectl, commit, self._all_there, running)
        installed = _installed(kubectl)
        if not installed:
            raise ClusterError("Helm has installed nothing")
        _report(f"all Ready: {_counted(ready)}; {len(installed)} objects of charts", started)

    def _change(self, kubectl: Kubectl, tree: Checkout, running: list[Running]) -> None:
        """Change a parameter: exactly one HelmRelease gets a second revision of Helm."""
        assert self.case.change
        path, old, new = self.case.change
        source = tree.directory / SOURCES / path
        changed = source.read_text().replace(old, new)
        assert changed != source.read_text(), f"{old!r} is not in {source}"
        source.write_text(changed)
        tree.build()
        started, commit = self._roll_out(kubectl, tree)

        def upgraded(objects: list[Object]) -> str | None:
            revisions = sorted(
                item["status"]["history"][0]["version"] for item in objects if item["kind"] == "HelmRelease"
            )
            return None if revisions[-1] == 2 and set(revisions[:-1]) <= {1} else f"Helm revisions {revisions}"

        self._await(kubectl, commit, lambda objects: self._all_there(objects) or upgraded(objects), running)
        _report("changed parameter: one HelmRelease upgraded, all Ready", started)

    def _remove(self, kubectl: Kubectl, tree: Checkout, running: list[Running]) -> None:
        """Remove the Release: Flux prunes its objects, and Helm uninstalls the chart."""
        assert self.case.change
        (tree.directory / SOURCES / self.case.change[0]).unlink()
        tree.build("--allow-removals", "all")
        started, commit = self._roll_out(kubectl, tree)

        def gone(objects: list[Object]) -> str | None:
            kept = Counter(item["kind"] for item in objects) - Counter(["GitRepository", "Kustomization"])
            return f"still there: {_counted(kept)}" if kept else None

        self._await(kubectl, commit, gone, running)
        if left := _installed(kubectl):
            raise ClusterError(f"left by Helm: {', '.join(left)}")
        _report("removed Release: all its objects pruned, its chart uninstalled", started)

    def _roll_out(self, kubectl: Kubectl, tree: Checkout) -> tuple[float, str]:
        commit = tree.push()
        started = time.monotonic()
        now = f"{_REQUESTED_AT}={time.time_ns()}"
        kubectl("annotate", KINDS["GitRepository"], _NAME, "-n", NAMESPACE, "--overwrite", now)
        return started, commit

    def _all_there(self, objects: list[Object]) -> str | None:
        found = Counter(item["kind"] for item in objects)
        expected = Counter(self.case.objects[self.delivery.name])
        missing = expected - found
        return f"missing: {_counted(missing)}" if missing else None

    def _await(
        self, kubectl: Kubectl, commit: str, check: Callable[[list[Object]], str | None], running: list[Running]
    ) -> Counter[str]:
        """Wait until Flux has applied `commit`, everything is Ready, and `check` finds nothing wrong."""
        deadline = time.monotonic() + self.timeout
        defined = {
            name.removeprefix("customresourcedefinition.apiextensions.k8s.io/")
            for name in kubectl("get", "crd", "-o", "name").split()
        }
        kinds = sorted(defined & set(KINDS.values()))
        while True:
            for process in running:
                process.check()
            report_as_running(kubectl)
            objects = kubectl.objects(kinds)
            problems = [*_not_applied(objects, commit), *_not_ready(objects)]
            problems += [problem] if not problems and (problem := check(objects)) else []
            if not problems:
                return Counter(item["kind"] for item in objects)
            if time.monotonic() > deadline:
                raise ClusterError(f"not Ready after {self.timeout:.0f} s:\n  " + "\n  ".join(problems))
            time.sleep(0.5)


def _not_applied(objects: list[Object], commit: str) -> list[str]:
    applied = [
        item.get("status", {}).get("lastAppliedRevision", "") for item in objects if item["kind"] == "Kustomization"
    ]
    return (
        [] if [one for one in applied if commit in one] else [f"the Kustomization has applied {applied}, not {commit}"]
    )


def _not_ready(objects: list[Object]) -> list[str]:
    found = []
    for item in objects:
        ready: dict[str, Any] = next(
            (one for one in item.get("status", {}).get("conditions", ()) if one["type"] == "Ready"), {}
        )
        current = ready.get("observedGeneration", item["metadata"]["generation"]) == item["metadata"]["generation"]
        if ready.get("status") != "True" or not current:
            metadata = item["metadata"]
            message = ready.get("message", "no condition Ready")
            found.append(f"{item['kind']} {metadata['namespace']}/{metadata['name']}: {message}")
    return found


def _installed(kubectl: Kubectl) -> list[str]:
    """Return the objects of charts, which Helm labels."""
    kinds = "deployments,statefulsets,services,ingresses,configmaps"
    return kubectl("get", kinds, "-A", "-l", "app.kubernetes.io/managed-by=Helm", "-o", "name").split()


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()) if count) or "nothing"


def _report(what: str, started: float) -> None:
    print(f"  {what} ({time.monotonic() - started:.1f} s)", flush=True)
