"""The objects of the cluster, and the API server's rules for their deletion and change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

Object = dict[str, Any]
KUBOCD = "kubocd.kubotal.io"
GROUPS = {
    "HelmRelease": "helm.toolkit.fluxcd.io/v2",
    "HelmRepository": "source.toolkit.fluxcd.io/v1",
    "OCIRepository": "source.toolkit.fluxcd.io/v1",
    "GitRepository": "source.toolkit.fluxcd.io/v1",
    "Kustomization": "kustomize.toolkit.fluxcd.io/v1",
    "Release": f"{KUBOCD}/v1alpha1",
    "Context": f"{KUBOCD}/v1alpha1",
    "Config": f"{KUBOCD}/v1alpha1",
    "Deployment": "apps/v1",
    "Namespace": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "Secret": "v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    **dict.fromkeys(("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"), "rbac.authorization.k8s.io/v1"),
}
OF_CLUSTER = {
    *("Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"),
    *("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"),
}
PLURALS = {(f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s").lower(): kind for kind in GROUPS}
CRDS = {f"{plural}.{KUBOCD}": kind for plural, kind in PLURALS.items() if KUBOCD in GROUPS[kind]}


class RefusedError(Exception):
    """The API server refuses the request."""


class Store:
    """The objects in the file `path`; `log` are the removed objects and what the controllers did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state: Object = json.loads(path.read_text()) if path.exists() else {"objects": [], "log": [], "version": 1}

    @property
    def objects(self) -> list[Object]:
        found: list[Object] = self.state["objects"]
        return found

    def save(self) -> None:
        self.path.write_text(json.dumps(self.state))

    def log(self, event: str, one: Object) -> None:
        meta = one["metadata"]
        self.state["log"].append([event, one["kind"], meta.get("namespace", ""), meta["name"], meta.get("uid")])

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        wanted = (kind, "" if kind in OF_CLUSTER else namespace, name)
        return next((one for one in self.objects if identity(one) == wanted), None)

    def of_kind(self, *kinds: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] in kinds]

    def serves(self, kind: str) -> bool:
        """Return whether the kind exists: KuboCD's kinds need their CRD."""
        names = [name for name, of in CRDS.items() if of == kind]
        return not names or any(self.find("CustomResourceDefinition", "", name) for name in names)

    def create(self, one: Object) -> Object:
        kind, namespace, _ = identity(one)
        if not self.serves(kind):
            raise RefusedError(f'no matches for kind "{kind}" in version "{one.get("apiVersion")}"')
        if namespace and (
            not (space := self.find("Namespace", "", namespace)) or "deletionTimestamp" in space["metadata"]
        ):
            raise RefusedError(f'namespaces "{namespace}" not found')
        made = deepcopy(one)
        made["metadata"]["uid"] = f"00000000-0000-0000-0000-{self._next():012d}"
        made["metadata"].setdefault("generation", 1)
        made["metadata"]["resourceVersion"] = str(self._next())
        if kind == "Namespace":
            made["status"] = {"phase": "Active"}
        if kind in ("HelmRelease", "HelmRepository", "OCIRepository"):
            made["metadata"].setdefault("finalizers", ["finalizers.fluxcd.io"])
        if kind == "CustomResourceDefinition":
            made["metadata"]["finalizers"] = ["customresourcecleanup.apiextensions.k8s.io"]
        self.objects.append(made)
        self.log("created", made)
        return made

    def change(self, one: Object, edit: Callable[[Object], object]) -> None:
        """Edit an object; the generation counts changes of its spec."""
        self.admit(one)
        before = deepcopy(one)
        edit(one)
        if one == before:
            return
        one["metadata"]["resourceVersion"] = str(self._next())
        if one.get("spec") != before.get("spec"):
            one["metadata"]["generation"] = before["metadata"].get("generation", 1) + 1

    def delete(self, one: Object, cascade: str = "background") -> None:
        self.admit(one)
        meta = one["metadata"]
        if cascade == "orphan":
            meta.setdefault("finalizers", []).append("orphan")
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        if one["kind"] == "Namespace":
            one["status"] = {"phase": "Terminating"}

    def admit(self, one: Object) -> None:
        """Call the webhooks for KuboCD's Releases. Raises RefusedError if a webhook does not answer."""
        if one["kind"] != "Release":
            return
        for hook in self.of_kind("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
            if any(KUBOCD in rule["apiGroups"] for each in hook["webhooks"] for rule in each["rules"]):
                raise RefusedError(
                    'failed calling webhook "vrelease-v1alpha1.kb.io": service "kubocd-webhook" not found'
                )

    def settle(self) -> bool:
        """Do one round of what the API server and the garbage collector do; return whether something changed."""
        return any([self._orphan(), self._collect(), self._empty(), self._remove()])

    def _orphan(self) -> bool:
        """Remove the references to a deleted owner, before it may go: `--cascade=orphan`."""
        changed = False
        for one in self.objects:
            if "orphan" in one["metadata"].get("finalizers", []) and "deletionTimestamp" in one["metadata"]:
                for other in self.objects:
                    kept = [each for each in owners(other) if each["uid"] != one["metadata"]["uid"]]
                    if kept != owners(other):
                        other["metadata"]["ownerReferences"] = kept
                one["metadata"]["finalizers"].remove("orphan")
                changed = True
        return changed

    def _collect(self) -> bool:
        """Delete the objects all of whose owners are gone, or have another UID."""
        uids = {one["metadata"].get("uid") for one in self.objects}
        dead = [one for one in self.objects if owners(one) and not uids & {each["uid"] for each in owners(one)}
                and "deletionTimestamp" not in one["metadata"]]  # fmt: skip
        for one in dead:
            self.delete(one)
        return bool(dead)

    def _empty(self) -> bool:
        """Delete what is in a deleted Namespace, and the objects of a deleted CRD."""
        changed = False
        for one in self.objects:
            if "deletionTimestamp" not in one["metadata"] or one["kind"] not in (
                "Namespace",
                "CustomResourceDefinition",
            ):
                continue
            for other in self.objects:
                if _is_in(other, one) and "deletionTimestamp" not in other["metadata"]:
                    other["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                    changed = True
            if one["metadata"].get("finalizers") and not any(_is_in(other, one) for other in self.objects):
                one["metadata"]["finalizers"] = []
                changed = True
        return changed

    def _remove(self) -> bool:
        """Remove deleted objects without finalizers; a Namespace when it is empty."""
        gone = [one for one in self.objects if "deletionTimestamp" in one["metadata"]
                and not one["metadata"].get("finalizers")
                and not (one["kind"] == "Namespace" and any(_is_in(other, one) for other in self.objects))]  # fmt: skip
        for one in gone:
            self.objects.remove(one)
            self.log("removed", one)
        return bool(gone)

    def _next(self) -> int:
        self.state["version"] += 1
        return int(self.state["version"])


def identity(one: Object) -> tuple[str, str, str]:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


def owners(one: Object) -> list[Object]:
    found: list[Object] = one["metadata"].get("ownerReferences", [])
    return found


def selected(objects: Iterator[Object] | list[Object], selector: str) -> list[Object]:
    """Return the objects that a label selector with `key=value` and `key` selects."""
    terms = [term.partition("=") for term in selector.split(",") if term]
    found = []
    for one in objects:
        labels = one["metadata"].get("labels", {})
        if all(labels.get(key) == value if sign else key in labels for key, sign, value in terms):
            found.append(one)
    return found


def _is_in(one: Object, container: Object) -> bool:
    name = container["metadata"]["name"]
    if container["kind"] == "Namespace":
        return bool(one["metadata"].get("namespace") == name)
    return bool(CRDS.get(name) == one["kind"])
