"""Flux's controllers: Kustomizations applied from a Git repository, HelmReleases, and their finalizers."""

from __future__ import annotations

import posixpath
import subprocess
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from tests.support.cluster import fields_v1, manager
from tests.support.stand_in import helm
from tests.support.stand_in.store import Object, RefusedError, Store, identity

KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
_TAKEN = ("kubectl", "before-first-apply")
_FINALIZER = "finalizers.fluxcd.io"


def settle(store: Store) -> bool:
    """Do one round of what Flux's controllers and KuboCD's controller do; return whether something changed."""
    before = deepcopy(store.objects)
    for one in list(store.of_kind("Kustomization")):
        if "deletionTimestamp" in one["metadata"]:
            _finalize(store, one)
        elif not one["spec"].get("suspend"):
            _kustomization(store, one)
    for one in list(store.of_kind("HelmRelease")):
        _helm_release(store, one)
    for one in store.of_kind("HelmRepository", "OCIRepository"):
        if "deletionTimestamp" in one["metadata"]:
            one["metadata"]["finalizers"] = []
    _kubocd(store)
    return before != store.objects


def _kubocd(store: Store) -> None:
    """Remove the finalizers of deleted Releases, if the controller runs."""
    running = any(
        one["spec"].get("replicas") for one in store.of_kind("Deployment")
        if one["spec"]["template"]["spec"]["containers"][0].get("args", [""])[0] == "controller"
    )  # fmt: skip
    for one in store.of_kind("Release"):
        if running and "deletionTimestamp" in one["metadata"]:
            one["metadata"]["finalizers"] = []


def _helm_release(store: Store, one: Object) -> None:
    meta, spec, status = one["metadata"], one["spec"], one.setdefault("status", {})
    storage = spec.get("storageNamespace") or meta["namespace"]
    target = spec.get("targetNamespace") or meta["namespace"]
    is_kubocd = spec["releaseName"] == "kubocd-ctrl"
    if "deletionTimestamp" in meta:
        if _FINALIZER not in meta["finalizers"]:
            return
        if not spec.get("suspend"):
            try:
                if is_kubocd:
                    helm.uninstall(store, storage, spec["releaseName"])
                else:
                    store.log("uninstalled", one)
            except RefusedError as error:
                status["conditions"] = [{"type": "Ready", "status": "False", "message": str(error)}]
                return
        meta["finalizers"] = []
        return
    if spec.get("suspend") or status.get("observedGeneration") == meta.get("generation"):
        return
    if is_kubocd:
        try:
            helm.upgrade(store, storage, target, spec["releaseName"], spec.get("values") or {})
        except RefusedError as error:
            status["conditions"] = [{"type": "Ready", "status": "False", "message": str(error)}]
            return
        status["history"] = [{"name": spec["releaseName"], "namespace": target, "chartName": "kubocd-ctrl"}]
    else:
        installed = {key: spec.get(key) for key in ("values", "chart")}
        if status.get("installed") not in (None, installed):
            store.log("upgraded", one)
        status["installed"] = installed
    status["storageNamespace"] = storage
    status["observedGeneration"] = meta.get("generation")
    status["conditions"] = [{"type": "Ready", "status": "True", "message": "Helm upgrade succeeded"}]


def _kustomization(store: Store, one: Object) -> None:
    meta, status = one["metadata"], one.setdefault("status", {})
    meta.setdefault("finalizers", [_FINALIZER])
    commit = _git(store, "rev-parse", "main").strip()
    revision = f"main@sha1:{commit}"
    requested = meta.get("annotations", {}).get("reconcile.fluxcd.io/requestedAt")
    seen = (status.get("lastAppliedRevision"), status.get("lastHandledReconcileAt"), status.get("seen"))
    if seen == (revision, requested, meta.get("generation")):
        return
    for other in one["spec"].get("dependsOn", []):
        known = store.find("Kustomization", other.get("namespace") or meta["namespace"], other["name"])
        if known is None or known.get("status", {}).get("lastAppliedRevision") != revision:
            return
    status["lastHandledReconcileAt"] = requested
    status["seen"] = meta.get("generation")
    labels = {f"{KUSTOMIZE}/name": meta["name"], f"{KUSTOMIZE}/namespace": meta["namespace"]}
    applied: list[list[str]] = []
    try:
        documents = list(_build(store, commit, one["spec"]["path"].removeprefix("./")))
        # Namespaces and CRDs first, as kustomize-controller does.
        for document in sorted(
            documents, key=lambda each: each["kind"] not in ("Namespace", "CustomResourceDefinition")
        ):
            document["metadata"].setdefault("labels", {}).update(labels)
            _apply(store, document)
            applied.append(list(identity(document)))
    except RefusedError as error:
        status["conditions"] = [{"type": "Ready", "status": "False", "message": str(error)}]
        return
    for kind, namespace, name in status.get("applied", []):
        live = store.find(kind, namespace, name)
        if [kind, namespace, name] not in applied and live and one["spec"].get("prune"):
            _prune(store, live)
    status["applied"] = applied
    status["lastAppliedRevision"] = revision
    status["conditions"] = [{"type": "Ready", "status": "True", "message": f"Applied revision: {revision}"}]


def _finalize(store: Store, one: Object) -> None:
    policy = one["spec"].get("deletionPolicy", "MirrorPrune")
    deletes = policy in ("Delete", "WaitForTermination") or (policy == "MirrorPrune" and one["spec"].get("prune"))
    if deletes and not one["spec"].get("suspend"):
        for kind, namespace, name in one.get("status", {}).get("applied", []):
            if live := store.find(kind, namespace, name):
                _prune(store, live)
    one["metadata"]["finalizers"] = []


def _prune(store: Store, live: Object) -> None:
    if live["metadata"].get("annotations", {}).get(f"{KUSTOMIZE}/prune") != "disabled":
        store.delete(live)


def _apply(store: Store, document: Object) -> None:
    """Apply on the server side, after taking over the fields of kubectl's managers."""
    live = store.find(*identity(document))
    owned = manager("kustomize-controller", {"f:spec": fields_v1(document.get("spec"))}, "Apply")
    if live is None:
        made = store.create(document)
        made["metadata"]["managedFields"] = [owned]
        return
    managers = live["metadata"].get("managedFields", [])
    taken = [each for each in managers if each["manager"].startswith(_TAKEN) and "subresource" not in each]
    kept = [each for each in managers if each not in taken and each["manager"] != "kustomize-controller"]
    previous = [each for each in managers if each["manager"] == "kustomize-controller"]

    def edit(one: Object) -> None:
        for entry in (*taken, *previous):
            for path in _leaves(entry["fieldsV1"], ()):
                if path[:2] != ("metadata", "finalizers") and not any(_owns(each["fieldsV1"], path) for each in kept):
                    _drop(one, document, path)
        _merge(one, {key: value for key, value in document.items() if key != "status"})
        _set_defaults(one)

    store.change(live, edit)
    live["metadata"]["managedFields"] = [*kept, owned]


def _set_defaults(one: Object) -> None:
    """Set the defaults of the CRDs, as the API server does also after a field was removed."""
    if one["kind"] == "HelmRelease" and "chart" in one["spec"]:
        one["spec"]["chart"]["spec"].setdefault("reconcileStrategy", "ChartVersion")
    elif one["kind"] in ("HelmRepository", "OCIRepository"):
        one["spec"].setdefault("provider", "generic")


def _leaves(fields: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    inner = [key for key in fields if key.startswith("f:")]
    if not inner:
        yield path
    for key in inner:
        yield from _leaves(fields[key], (*path, key[2:]))


def _owns(fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    node: Any = fields
    for step in path:
        if f"f:{step}" not in node:
            return not any(key.startswith("f:") for key in node) and node is not fields
        node = node[f"f:{step}"]
    return True


def _drop(one: Any, wanted: Any, path: tuple[str, ...]) -> None:
    for step in path[:-1]:
        one, wanted = one.get(step), (wanted or {}).get(step)
        if not isinstance(one, dict):
            return
    if path and path[-1] not in (wanted or {}):
        one.pop(path[-1], None)


def _merge(live: Object, document: Object) -> None:
    for key, value in document.items():
        if isinstance(value, dict) and isinstance(live.get(key), dict):
            _merge(live[key], value)
        else:
            live[key] = deepcopy(value)


def _build(store: Store, commit: str, path: str) -> Iterator[Object]:
    """Yield the objects below `path`: what kustomization.yaml lists, otherwise every YAML file."""
    import yaml

    path = posixpath.normpath(path)
    names = _git(store, "ls-tree", "-r", "--name-only", commit, "--", path).splitlines()
    if not names:
        raise RefusedError(f"kustomization path not found: {path}")
    listed = posixpath.join(path, "kustomization.yaml")
    if listed in names:
        for item in yaml.safe_load(_git(store, "show", f"{commit}:{listed}"))["resources"]:
            inner = posixpath.join(path, item)
            if inner in names:
                yield from _documents(store, commit, inner)
            else:
                yield from _build(store, commit, inner)
        return
    for name in names:
        if name.endswith((".yaml", ".yml")):
            yield from _documents(store, commit, name)


def _documents(store: Store, commit: str, name: str) -> Iterator[Object]:
    import yaml

    for document in yaml.safe_load_all(_git(store, "show", f"{commit}:{name}")):
        if document and document["kind"] == "List":
            yield from document["items"]
        elif document and not document["apiVersion"].startswith("kustomize.config.k8s.io"):
            yield document


def _git(store: Store, *arguments: str) -> str:
    command = ["git", "--git-dir", store.state["git"], *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
