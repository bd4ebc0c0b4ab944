"""A cluster as kubectl dumps it: with what KuboCD's controller creates from a compilation, before and after Flux.

Names, uids, managers, ownerReferences and finalizers are those that the controller and the API server write: the
controller creates and merge-patches as the manager `kubocd`, Flux applies as `kustomize-controller`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
KUSTOMIZATION = {"kustomize.toolkit.fluxcd.io/name": "releases", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
FINALIZER = "kubocd.kubotal.io/finalizer"


def compiled_documents(output: Path) -> list[Object]:
    """Load the documents that a build wrote below `flux/`, file by file."""
    paths = sorted((output / "flux").rglob("*/*.yaml"))
    return [document for path in paths for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def uid(kind: str, namespace: str, name: str) -> str:
    return hashlib.sha256(f"{kind}/{namespace}/{name}".encode()).hexdigest()[:36]


def fields_v1(value: Any) -> Object:
    """Return the FieldsV1 of a value: maps by their keys, with `.` for the map itself, everything else as a whole."""
    if isinstance(value, Mapping) and value:
        return {".": {}, **{f"f:{key}": fields_v1(item) for key, item in value.items()}}
    return {}


def manager(name: str, fields: Mapping[str, Any], operation: str = "Update", subresource: str = "") -> Object:
    return {
        "manager": name,
        "operation": operation,
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": dict(fields),
        "time": "2026-01-01T00:00:00Z",
        **({"subresource": subresource} if subresource else {}),
    }


def release(namespace: str, name: str, spec: Mapping[str, Any]) -> Object:
    """Return a Release as it is in the cluster, in the phase READY."""
    return {
        "apiVersion": "kubocd.kubotal.io/v1alpha1",
        "kind": "Release",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid("Release", namespace, name),
            "resourceVersion": "7",
            "finalizers": [FINALIZER],
            "managedFields": [manager("kubectl-client-side-apply", {"f:spec": fields_v1(spec)})],
        },
        "spec": dict(spec),
        "status": {"phase": "READY"},
    }


def by_kubocd(document: Mapping[str, Any]) -> Object:
    """Return a compiled resource as the controller created it: without labels and annotations, but with an owner."""
    one = deepcopy(dict(document))
    meta = one["metadata"]
    owner = meta["annotations"]["kcd-gen.kubocd.io/release"].partition("/")[2]
    if one["kind"] == "HelmRelease":
        # The controller doesn't know the fields that `dependencies: order` adds; and the API server fills in defaults,
        # which then belong to the creator of the object.
        one["spec"]["chart"]["spec"].setdefault("reconcileStrategy", "ChartVersion")
    else:
        one["spec"].setdefault("provider", "generic")
    referred: Object = {".": {}, f'k:{{"uid":"{uid("Release", meta["namespace"], owner)}"}}': {}}
    one["metadata"] = {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": uid(one["kind"], meta["namespace"], meta["name"]),
        "resourceVersion": "11",
        "generation": 1,
        "finalizers": ["finalizers.fluxcd.io"],
        "ownerReferences": [
            {
                "apiVersion": "kubocd.kubotal.io/v1alpha1",
                "kind": "Release",
                "name": owner,
                "uid": uid("Release", meta["namespace"], owner),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
        "managedFields": [
            manager("kubocd", {"f:metadata": {"f:ownerReferences": referred}, "f:spec": fields_v1(one["spec"])}),
            manager("helm-controller", {"f:metadata": {"f:finalizers": {".": {}, 'v:"finalizers.fluxcd.io"': {}}}}),
            manager("helm-controller", {"f:status": {}}, subresource="status"),
        ],
    }
    one["status"] = {"conditions": [{"type": "Ready", "status": "True", "message": "fine"}]}
    if one["kind"] == "HelmRelease":
        spec = one["spec"]
        one["status"]["storageNamespace"] = meta["namespace"]
        one["status"]["history"] = [
            {
                "name": spec["releaseName"],
                "namespace": spec.get("targetNamespace", meta["namespace"]),
                "chartName": spec["chart"]["spec"]["chart"],
                "chartVersion": spec["chart"]["spec"]["version"],
                "version": 1,
            }
        ]
    return one


def taken_over(document: Mapping[str, Any], live: Object) -> Object:
    """Return the object after Flux's first apply.

    It has Git's labels and annotations and one more manager; everything of KuboCD's is still there.
    """
    meta = live["metadata"]
    meta["labels"] = {**document["metadata"]["labels"], **KUSTOMIZATION}
    meta["annotations"] = dict(document["metadata"]["annotations"])
    meta["managedFields"].append(manager("kustomize-controller", {"f:spec": fields_v1(document["spec"])}, "Apply"))
    live["spec"] = {**live["spec"], **deepcopy(document["spec"])}
    return live


def transferred(live: Object) -> Object:
    """Return the object after the transfer of fields: without KuboCD's manager and owner."""
    meta = live["metadata"]
    meta["managedFields"] = [one for one in meta["managedFields"] if one["manager"] != "kubocd"]
    meta.pop("ownerReferences", None)
    return live


def kubocd_deployment(replicas: int) -> Object:
    """Return what the chart `kubocd-ctrl` creates."""
    container = {"name": "controller", "command": ["/kubocd"], "args": ["controller", "--rootDataFolder=/works"]}
    labels = {"app.kubernetes.io/name": "kubocd-controller"}
    return by_helm(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "kubocd-ctrl-controller", "namespace": "kubocd"},
            "spec": {
                "replicas": replicas,
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container], "serviceAccountName": "kubocd-ctrl-controller"},
                },
            },
        }
    )


def by_helm(one: Object) -> Object:
    """Return the object as one of the Helm release of the chart `kubocd-ctrl`."""
    owner = {"meta.helm.sh/release-name": "kubocd-ctrl", "meta.helm.sh/release-namespace": "kubocd"}
    one["metadata"]["annotations"] = {**one["metadata"].get("annotations", {}), **owner}
    labels = {"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "kubocd-ctrl-v0.3.0"}
    one["metadata"]["labels"] = {**one["metadata"].get("labels", {}), **labels}
    return one


def plain(kind: str, name: str, namespace: str = "", api: str = "v1", **fields: Any) -> Object:
    """Return an object with few fields."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def surroundings() -> list[Object]:
    """Return what every cluster has of the kinds that the last steps need."""
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        plain("Namespace", "default"),
        crd("helmreleases.helm.toolkit.fluxcd.io"),
        plain("Service", "kubernetes", "default", spec={}),
        plain("ServiceAccount", "default", "default"),
        *(plain(kind, "system:x", "" if kind.startswith("Cluster") else "kube-system", rbac)
          for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")),
    ]  # fmt: skip


def chart_release(**values: Any) -> Object:
    """Return the HelmRelease of the chart `kubocd-ctrl`, upgraded and ready."""
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {
            "name": "kubocd-controller",
            "namespace": "flux-system",
            "generation": 3,
            "labels": {f"kustomize.toolkit.fluxcd.io/{key}": "flux-system" for key in ("name", "namespace")},
            "managedFields": [],
        },
        "spec": {
            "releaseName": "kubocd-ctrl",
            "targetNamespace": "kubocd",
            "storageNamespace": "flux-system",
            "values": values,
        },
        "status": {
            "observedGeneration": 3,
            "storageNamespace": "flux-system",
            "history": [{"name": "kubocd-ctrl", "namespace": "kubocd", "chartName": "kubocd-ctrl"}],
            "conditions": [{"type": "Ready", "status": "True", "message": "fine"}],
        },
    }


def webhook(kind: str = "ValidatingWebhookConfiguration") -> Object:
    rule = {"apiGroups": ["kubocd.kubotal.io"], "resources": ["releases"], "operations": ["DELETE"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "kubocd-wh-webhook"},
        "webhooks": [{"name": "vrelease-v1alpha1.kb.io", "failurePolicy": "Fail", "rules": [rule]}],
    }


def kustomization(**spec: Any) -> Object:
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "releases", "namespace": "flux-system"},
        "spec": {"prune": True, "deletionPolicy": "Orphan", **spec},
        "status": {"conditions": [{"type": "Ready", "status": "True", "message": "Applied"}]},
    }


def crd(name: str) -> Object:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {},
    }


def dumped(objects: Iterable[Mapping[str, Any]], *, as_yaml: bool = False) -> str:
    """Return what `kubectl get … -o json` prints for several kinds."""
    listed = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": list(objects)}
    if not as_yaml:
        return json.dumps(listed, indent=4)
    # kubectl does not quote the keys of FieldsV1: `k:{"uid":"…"}: {}`.
    return re.sub(r"^( *)'([kv]:\S*)':", r"\1\2:", yaml.safe_dump(listed, width=10_000), flags=re.MULTILINE)


def each(objects: Sequence[Object], kind: str, change: Callable[[Object], object]) -> None:
    """Apply `change` to all objects of a kind, in place."""
    for one in objects:
        if one["kind"] == kind:
            change(one)
