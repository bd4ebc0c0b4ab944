"""Helm's rules for upgrade and uninstall, and the chart `kubocd-ctrl` as far as the migration depends on it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tests.support.stand_in.store import GROUPS, Object, RefusedError, Store, identity

KEEP = "helm.sh/resource-policy"


def render(store: Store, name: str, namespace: str, values: Object) -> list[Object]:
    """Return the manifest of the chart `kubocd-ctrl`."""
    full, config = f"{name}-controller", values.get("config") or {}
    pods = {"app.kubernetes.io/name": "kubocd-controller"}
    container = {"name": "controller", "command": ["/kubocd"], "args": ["controller", "--rootDataFolder=/works"]}
    made = [_object("Namespace", "", item["name"]) | {"spec": {}} for item in values.get("extraNamespaces") or []] + [
        _object("ServiceAccount", namespace, full),
        _object("ClusterRole", "", full) | {"rules": []},
        _object("ClusterRoleBinding", "", full)
        | {
            "roleRef": {"kind": "ClusterRole", "name": full},
            "subjects": [{"kind": "ServiceAccount", "name": full, "namespace": namespace}],
        },
        _object("Service", namespace, f"{full}-helm-repository")
        | {"spec": {"selector": pods, "ports": [{"port": 80}]}},
        _object("Deployment", namespace, full)
        | {
            "spec": {
                "replicas": (values.get("controller") or {}).get("replicaCount", 1),
                "template": {
                    "metadata": {"labels": pods},
                    "spec": {"serviceAccountName": full, "containers": [container]},
                },
            }
        },
    ]
    if config.get("enabled", True):
        spec = {**store.state["chart"], **(config.get("content") or {})}
        made.append(_object("Config", namespace, "conf01") | {"spec": spec})
    for item in values.get("contexts") or []:
        spec = {key: value for key, value in item.items() if key not in ("name", "namespace")}
        made.append(_object("Context", item["namespace"], item["name"]) | {"spec": spec})
    made += [deepcopy(one) for one in store.state.get("extra_manifest", [])]
    for one in made:
        one["metadata"].setdefault("labels", {}).update(
            {"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "kubocd-ctrl-v0.3.0"}
        )
    return made


def stored(store: Store, storage: str, name: str) -> Object | None:
    """Return the record of a Helm release: the content of the Secret in its storage namespace."""
    secret = store.find("Secret", storage, f"sh.helm.release.v1.{name}.v1")
    return secret["release"] if secret else None


def upgrade(store: Store, storage: str, namespace: str, name: str, values: Object) -> None:
    """Install or upgrade. Helm deletes what left the manifest, unless the object in the cluster is to be kept."""
    manifest = render(store, name, namespace, values)
    old = stored(store, storage, name)
    _check_kinds(store, [*manifest, *(old["manifest"] if old else [])])
    wanted = {identity(one) for one in manifest}
    for one in old["manifest"] if old else []:
        live = store.find(*identity(one))
        if identity(one) not in wanted and live and live["metadata"].get("annotations", {}).get(KEEP) != "keep":
            store.delete(live)
    for one in manifest:
        _apply(store, one, name, namespace)
    if old is None:
        secret = _object("Secret", storage, f"sh.helm.release.v1.{name}.v1")
        secret["metadata"]["labels"] = {"owner": "helm", "name": name}
        store.create({**secret, "release": {}})
        old = stored(store, storage, name)
    assert old is not None
    old.update(manifest=manifest, namespace=namespace, values=values, revision=old.get("revision", 0) + 1)


def uninstall(store: Store, storage: str, name: str) -> None:
    """Delete everything in the manifest, unless the manifest itself says to keep it."""
    release = stored(store, storage, name)
    if release is None:
        raise RefusedError("Error: uninstall: Release not loaded: release: not found")
    _check_kinds(store, release["manifest"])
    for one in release["manifest"]:
        live = store.find(*identity(one))
        if live and one["metadata"].get("annotations", {}).get(KEEP) != "keep":
            store.delete(live)
    secret = store.find("Secret", storage, f"sh.helm.release.v1.{name}.v1")
    assert secret is not None
    store.objects.remove(secret)


def _check_kinds(store: Store, manifest: list[Object]) -> None:
    for one in manifest:
        if not store.serves(one["kind"]):
            raise RefusedError(f'unable to build kubernetes objects: no matches for kind "{one["kind"]}"')


def _apply(store: Store, one: Object, name: str, namespace: str) -> None:
    owner = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
    live = store.find(*identity(one))
    if live is None:
        made = deepcopy(one)
        made["metadata"]["annotations"] = {**made["metadata"].get("annotations", {}), **owner}
        store.create(made)
        return
    found = live["metadata"].get("annotations", {})
    if {key: found.get(key) for key in owner} != owner:
        raise RefusedError(f"{one['kind']} exists and cannot be imported: invalid ownership metadata")

    def edit(live: Object) -> None:
        live["metadata"].setdefault("labels", {}).update(one["metadata"]["labels"])
        for key in ("spec", "rules", "subjects"):
            if key in one:
                live[key] = deepcopy(one[key])

    store.change(live, edit)


def _object(kind: str, namespace: str, name: str) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": GROUPS[kind], "kind": kind, "metadata": metadata}
