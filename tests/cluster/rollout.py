"""One run: start a cluster, let Flux apply the compiled output, change it and remove it, and check every object."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
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
_NOT_COMPILED = ("GitRepository", "Kustomization", "HelmChart", "ExternalArtifact")
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
    move_to: Delivery | None = None
    """A delivery to which the cluster is moved when everything is Ready."""

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
            flags = {**self.delivery.flags, **(self.move_to.flags if self.move_to else {})}
            running = stack.enter_context(controllers(kubectl, flux, self.directory, flags))
            _report(f"started {', '.join(flux)}", started)

            self._install(kubectl, tree, url, running)
            if self.move_to:
                tree = self._move(kubectl, tree, self.move_to, running)
            if self.case.change:
                self._change(kubectl, tree, running)
                self._remove(kubectl, tree, running)

    def _check_kinds(self, tree: Checkout) -> None:
        expected = Counter(self.case.objects[tree.delivery.name])
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
        # With the API server alone, nothing would complete the deletion.
        for name in () if self.dry_run else sorted(emitted - existing):
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
        ready = self._await(kubectl, commit, partial(_difference, tree), running)
        installed = _installed(kubectl)
        if not installed:
            raise ClusterError("Helm has installed nothing")
        _report(f"all Ready: {_counted(ready)}; {len(installed)} objects of charts", started)

    def _move(self, kubectl: Kubectl, tree: Checkout, delivery: Delivery, running: list[Running]) -> Checkout:
        """Change the delivery: the HelmReleases stay the same objects, with one upgrade or none."""
        upgrades = int(delivery.digest_in_version or tree.delivery.digest_in_version)
        tree = tree.with_delivery(delivery)
        tree.build()
        self._check_kinds(tree)
        before = _revisions(kubectl.objects([KINDS["HelmRelease"]]))

        def check(objects: list[Object]) -> str | None:
            after = _revisions(objects)
            if before.keys() != after.keys():
                return "HelmReleases were recreated"
            steps = Counter(after[uid] - before[uid] for uid in after)
            wrong = None if set(steps) == {upgrades} else f"upgrades by number of Releases: {dict(steps)}"
            return _difference(tree, objects) or wrong

        started, commit = self._roll_out(kubectl, tree)
        self._await(kubectl, commit, check, running)
        _report(f"moved to {delivery.name}: the same {len(before)} HelmReleases, {upgrades} upgrade each", started)
        compiled = {_identity(document) for document in tree.documents()}
        kinds = [KINDS[kind] for kind in ("HelmRepository", "OCIRepository")]
        surplus = [item for item in kubectl.objects(kinds) if _identity(item) not in compiled]
        if surplus:
            print(f"  protected and no longer compiled: {', '.join(map(_identity, surplus))}", flush=True)
        return tree

    def _change(self, kubectl: Kubectl, tree: Checkout, running: list[Running]) -> None:
        """Change a parameter: exactly one HelmRelease gets a second revision of Helm."""
        assert self.case.change
        path, old, new = self.case.change
        source = tree.directory / SOURCES / path
        changed = source.read_text().replace(old, new)
        assert changed != source.read_text(), f"{old!r} is not in {source}"
        source.write_text(changed)
        tree.build()
        before = _revisions(kubectl.objects([KINDS["HelmRelease"]]))

        def check(objects: list[Object]) -> str | None:
            steps = Counter(after - before[uid] for uid, after in _revisions(objects).items())
            upgraded = None if steps[1] == 1 and set(steps) <= {0, 1} else f"upgrades by number of Releases: {steps}"
            return _difference(tree, objects) or upgraded

        started, commit = self._roll_out(kubectl, tree)
        self._await(kubectl, commit, check, running)
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


def _difference(tree: Checkout, objects: list[Object]) -> str | None:
    """Return how the objects in the cluster differ from the output, if they do; protected ones are never pruned."""
    compiled = {_identity(document) for document in tree.documents() if document["kind"] in KINDS}
    found = {_identity(item) for item in objects if item["kind"] not in _NOT_COMPILED}
    if missing := compiled - found:
        return f"missing: {', '.join(sorted(missing))}"
    kept = found - compiled - {_identity(item) for item in objects if _is_protected(item)}
    return f"not pruned: {', '.join(sorted(kept))}" if kept else None


def _identity(item: Object) -> str:
    metadata = item["metadata"]
    return f"{item['kind']} {metadata['namespace']}/{metadata['name']}"


def _is_protected(item: Object) -> bool:
    annotations = item["metadata"].get("annotations", {})
    return bool(annotations.get("kustomize.toolkit.fluxcd.io/prune") == "disabled")


def _revisions(objects: list[Object]) -> dict[str, int]:
    """Return the Helm revision of each HelmRelease by its UID."""
    releases = [item for item in objects if item["kind"] == "HelmRelease"]
    return {item["metadata"]["uid"]: item["status"]["history"][0]["version"] for item in releases}


def _installed(kubectl: Kubectl) -> list[str]:
    """Return the objects of charts, which Helm labels."""
    kinds = "deployments,statefulsets,services,ingresses,configmaps"
    return kubectl("get", kinds, "-A", "-l", "app.kubernetes.io/managed-by=Helm", "-o", "name").split()


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()) if count) or "nothing"


def _report(what: str, started: float) -> None:
    print(f"  {what} ({time.monotonic() - started:.1f} s)", flush=True)
