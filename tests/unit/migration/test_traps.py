"""The traps of a migration, each as one small change to a clean cluster; docs/migration.md lists them."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.migration.live import FLUX_KINDS, live_cluster
from tests.support import cluster
from tests.support.cluster import Object
from tests.support.migration import Scene, compiled, found

ROOT = Path(__file__).resolve().parents[3]
Change = Callable[[list[Object]], object]


@dataclass(frozen=True, slots=True)
class Trap:
    """A change and the resulting finding: its code, severity, a part of the message, and the step."""

    code: str
    severity: str
    made: Callable[[Scene], list[Object]]
    change: Change
    says: str
    step: str
    hint: str = ""


def edit(kind: str, name: str, *path: str, value: Any) -> Change:
    """Set a value in an object."""

    def change(objects: list[Object]) -> None:
        one: Any = found(objects, kind, name)
        for step in path[:-1]:
            one = one.setdefault(step, {})
        one[path[-1]] = value

    return change


def drop(kind: str, name: str, *path: str) -> Change:
    def change(objects: list[Object]) -> None:
        one: Any = found(objects, kind, name)
        for step in path[:-1]:
            one = one[step]
        del one[path[-1]]

    return change


def extra(value: dict[str, Any], by: str = "kubocd", operation: str = "Update") -> Change:
    """Add a field to the spec of web-main that is not in Git, with the given owner."""

    def change(objects: list[Object]) -> None:
        one = found(objects, "HelmRelease", "web-main")
        one["spec"] = merged(one["spec"], value)
        one["metadata"]["managedFields"].append(cluster.manager(by, {"f:spec": cluster.fields_v1(value)}, operation))

    return change


def merged(below: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    both = deepcopy(below)
    for key, item in value.items():
        both[key] = merged(both.get(key, {}), item) if isinstance(item, dict) else item
    return both


def without_release(name: str) -> Change:
    return lambda objects: objects.remove(found(objects, "Release", name))


def everything(kind: str, change: Callable[[Object], object]) -> Change:
    return lambda objects: cluster.each(objects, kind, change)


def without(kind: str) -> Change:
    def change(objects: list[Object]) -> None:
        objects[:] = [one for one in objects if one["kind"] != kind]

    return change


def deleting(kind: str, name: str) -> Change:
    return edit(kind, name, "metadata", "deletionTimestamp", value="2026-01-01T00:00:00Z")


def foreign(objects: list[Object]) -> None:
    meta = found(objects, "HelmRelease", "web-main")["metadata"]
    del meta["ownerReferences"]
    meta["managedFields"] = [cluster.manager("argocd-controller", {"f:spec": {"f:chart": {}}}, "Apply")]


def orphaned(objects: list[Object]) -> None:
    """Add an owner that the transfer of fields does not remove, because another manager set it."""
    owner = cluster.by_kubocd(
        {
            "kind": "HelmRelease",
            "metadata": {
                "name": "web-main",
                "namespace": "default",
                "annotations": {"kcd-gen.kubocd.io/release": "default/web"},
            },
            "spec": {"releaseName": "", "chart": {"spec": {"chart": "", "version": ""}}},
        }
    )["metadata"]["ownerReferences"]
    found(objects, "HelmRelease", "web-main")["metadata"]["ownerReferences"] = owner


def old_state(objects: list[Object]) -> None:
    other = deepcopy(found(objects, "HelmRelease", "web-main"))
    other["metadata"]["resourceVersion"] = "3"
    other["spec"]["timeout"] = "99m"
    objects.append(other)


def one_more(kind: str, name: str, like: str) -> Change:
    def change(objects: list[Object]) -> None:
        other = deepcopy(found(objects, kind, like))
        other["metadata"]["name"] = name
        objects.append(other)

    return change


def failing(kind: str, name: str, message: str, *, reason: str = "Failed", stalled: bool = False) -> Change:
    conditions = [{"type": "Ready", "status": "False", "reason": reason, "message": message}]
    if stalled:
        conditions.append({"type": "Stalled", "status": "True", "reason": "RetriesExceeded", "message": message})
    return edit(kind, name, "status", "conditions", value=conditions)


def charts_from(source: str) -> Change:
    """Add the Kustomization of the chart server, which `releases` waits for, with the source `source`."""

    def change(objects: list[Object]) -> None:
        releases = found(objects, "Kustomization", "releases")
        releases["spec"] |= {"sourceRef": {"kind": "GitRepository", "name": "flux-system"}}
        charts = deepcopy(releases)
        charts["metadata"]["name"] = "charts"
        charts["spec"]["sourceRef"]["name"] = source
        releases["spec"]["dependsOn"] = [{"name": "charts"}]
        objects.append(charts)

    return change


def other_release(objects: list[Object]) -> None:
    objects.append(cluster.release("default", "gone", {"package": {"repository": "r.example.com/x", "tag": "1"}}))


def owned_by_the_chart(kind: str, name: str) -> Change:
    return lambda objects: cluster.by_helm(found(objects, kind, name))


def used_account(objects: list[Object]) -> None:
    cluster.by_helm(found(objects, "ServiceAccount", "default"))
    tenant = cluster.kustomization(serviceAccountName="default")
    tenant["metadata"] = {"name": "tenant", "namespace": "default"}
    objects.append(tenant)


def stuck_chart(objects: list[Object]) -> None:
    objects.remove(found(objects, "CustomResourceDefinition", "releases.kubocd.kubotal.io"))
    objects.append(cluster.chart_release())
    deleting("HelmRelease", "kubocd-controller")(objects)


def taken_back(objects: list[Object]) -> None:
    name = "kubocd-ctrl-controller-helm-repository"
    selector = {"app.kubernetes.io/name": "kubocd-controller"}
    service = cluster.by_helm(cluster.plain("Service", name, "kubocd", spec={"selector": selector}))
    service["metadata"]["labels"].update({**cluster.KUSTOMIZATION, "kustomize.toolkit.fluxcd.io/name": "charts"})
    charts = cluster.kustomization()
    charts["metadata"]["name"] = "charts"
    objects += [service, charts]


INSTALL = {"install": {"remediation": {"retries": 3}}}
TRAPS = {
    "a remaining field of KuboCD": Trap(
        "field-goes",
        "note",
        Scene.applied,
        extra({"maxHistory": 3}),
        "spec.maxHistory is only in the cluster, owned by 'kubocd'",
        "transfer-fields",
    ),
    "a remaining value of KuboCD": Trap(
        "field-goes",
        "warning",
        Scene.applied,
        extra({"values": {"old": 1}}),
        "Helm upgrade (value: 1)",
        "transfer-fields",
    ),
    "an edit by hand, which Flux takes away by itself": Trap(
        "field-goes",
        "warning",
        Scene.stopped,
        extra({"values": {"old": 1}}, by="kubectl-edit"),
        "spec.values.old is only in the cluster; Flux removes it",
        "apply",
    ),
    "an edit by hand is named": Trap(
        "edited-by-hand",
        "note",
        Scene.stopped,
        extra({"timeout": "9m"}, by="kubectl-edit"),
        "'kubectl-edit'",
        "apply",
    ),
    "a value that differs": Trap(
        "field-changes",
        "warning",
        Scene.stopped,
        edit("HelmRelease", "web-main", "spec", "values", "replicas", value=5),
        "(5 becomes 2)",
        "apply",
    ),
    "a chart version that differs": Trap(
        "field-changes",
        "warning",
        Scene.stopped,
        edit("HelmRelease", "web-main", "spec", "chart", "spec", "version", value="0.9.0"),
        "Helm upgrade ('0.9.0' becomes '1.0.0')",
        "apply",
    ),
    "an interval that differs": Trap(
        "field-changes",
        "note",
        Scene.stopped,
        edit("HelmRelease", "web-main", "spec", "interval", value="11m"),
        "('11m0s' becomes '30m0s')",
        "apply",
    ),
    "another server, which is not an upgrade": Trap(
        "field-changes",
        "note",
        Scene.stopped,
        edit("HelmRepository", "kcd-web", "spec", "url", value="http://old.example.com/hr/default/web"),
        "spec.url differs",
        "apply",
    ),
    "a value that is only in Git": Trap(
        "field-comes",
        "warning",
        Scene.stopped,
        drop("HelmRelease", "web-main", "spec", "values", "replicas"),
        "spec.values.replicas is only in Git",
        "apply",
    ),
    "a HelmRelease that was suspended": Trap(
        "field-goes",
        "warning",
        Scene.stopped,
        extra({"suspend": True}, by="kubectl-patch"),
        "Flux resumes the HelmRelease",
        "apply",
    ),
    "another release name": Trap(
        "would-reinstall",
        "error",
        Scene.stopped,
        edit("HelmRelease", "web-main", "spec", "releaseName", value="web"),
        "",
        "resolve",
    ),
    "the installed release has another name": Trap(
        "would-reinstall",
        "error",
        Scene.stopped,
        lambda objects: found(objects, "HelmRelease", "web-main")["status"]["history"][0].update(name="web"),
        "releaseName changes from 'web' to 'web-main'",
        "resolve",
    ),
    "another target namespace": Trap(
        "would-reinstall",
        "error",
        Scene.stopped,
        lambda objects: found(objects, "HelmRelease", "web-main")["status"]["history"][0].update(namespace="apps"),
        "targetNamespace changes from 'apps' to 'default'",
        "resolve",
    ),
    "another storage namespace": Trap(
        "would-reinstall",
        "error",
        Scene.stopped,
        edit("HelmRelease", "web-main", "status", "storageNamespace", value="flux-system"),
        "storageNamespace changes from 'flux-system' to 'default'",
        "resolve",
    ),
    "another chart": Trap(
        "would-reinstall",
        "error",
        Scene.stopped,
        lambda objects: found(objects, "HelmRelease", "web-main")["status"]["history"][0].update(chartName="nginx"),
        "chart changes from 'nginx' to 'main'",
        "resolve",
    ),
    "co-ownership, which shows nowhere": Trap(
        "co-owner",
        "note",
        Scene.applied,
        lambda objects: None,
        "is co-owned by 'kubocd' (Update) until step 3",
        "transfer-fields",
    ),
    "another manager than KuboCD's": Trap(
        "co-owner",
        "note",
        Scene.transferred,
        extra({"timeout": "9m"}, by="argocd-controller", operation="Apply"),
        "'argocd-controller' (Apply)",
        "transfer-fields",
    ),
    "a dump without managedFields": Trap(
        "no-managed-fields",
        "warning",
        Scene.applied,
        everything("HelmRelease", lambda one: one["metadata"].pop("managedFields")),
        "has no managedFields",
        "dump",
    ),
    "emptied managedFields, which transfer nothing": Trap(
        "emptied-fields",
        "warning",
        Scene.transferred,
        edit("HelmRelease", "web-main", "metadata", "managedFields", value=[]),
        "managedFields were emptied",
        "delete-releases",
    ),
    "emptied managedFields with a later status": Trap(
        "emptied-fields",
        "warning",
        Scene.transferred,
        edit(
            *("HelmRelease", "web-main", "metadata", "managedFields"),
            value=[cluster.manager("helm-controller", {"f:status": {}}, subresource="status")],
        ),
        "managedFields were emptied",
        "delete-releases",
    ),
    "owners before the transfer": Trap(
        "owned", "note", Scene.applied, lambda objects: None, "and would be uninstalled with it", "transfer-fields"
    ),
    "owners after the transfer": Trap(
        "owned", "note", Scene.transferred, orphaned, "is owned by a Release", "remove-owners"
    ),
    "a Release restored from a backup": Trap(
        "dead-owner",
        "error",
        Scene.applied,
        edit("Release", "web", "metadata", "uid", value="another"),
        "an earlier Release of the same name",
        "rescue",
    ),
    "a missing Release": Trap(
        "dead-owner", "error", Scene.applied, without_release("web"), "owned by a Release that does not exist", "rescue"
    ),
    "a dump without Releases": Trap(
        "releases-missing",
        "error",
        Scene.applied,
        without("Release"),
        "no Release",
        "resolve",
    ),
    "a Release that hangs": Trap(
        "release-deleting",
        "error",
        Scene.applied,
        deleting("Release", "web"),
        "only its finalizer protects",
        "rescue",
    ),
    "a deleted Release that owns nothing": Trap(
        "release-deleting",
        "note",
        Scene.transferred,
        deleting("Release", "web"),
        "without owned objects",
        "delete-releases",
    ),
    "a HelmRelease that is being deleted": Trap(
        "object-deleting", "error", Scene.applied, deleting("HelmRelease", "web-main"), "is being deleted", "resolve"
    ),
    "a Release that Flux applies": Trap(
        "release-applied",
        "note",
        Scene.stopped,
        edit("Release", "web", "metadata", "labels", value=cluster.KUSTOMIZATION),
        "'flux-system/releases', which creates it again",
        "apply",
    ),
    "a protected Release": Trap(
        "release-protected",
        "note",
        Scene.stopped,
        edit("Release", "web", "spec", "protected", value=True),
        "is protected",
        "apply",
    ),
    "a Release in error": Trap(
        "release-failing",
        "warning",
        Scene.stopped,
        edit("Release", "web", "status", "phase", value="ERROR"),
        "is in phase ERROR",
        "apply",
    ),
    "a Release that is suspended only in the cluster": Trap(
        "release-suspended",
        "warning",
        Scene.stopped,
        edit("Release", "web", "spec", "suspended", value=True),
        "Flux resumes its HelmReleases",
        "apply",
    ),
    "a Release that is not in Git": Trap(
        "release-not-in-git", "warning", Scene.stopped, other_release, "is not in the sources", "apply"
    ),
    "another package than in Git": Trap(
        "other-package",
        "warning",
        Scene.stopped,
        edit("Release", "web", "spec", "package", "tag", value="0.9.0"),
        "'registry.example.com/demo/web:0.9.0' in the cluster",
        "apply",
    ),
    "a missing HelmRelease": Trap(
        "not-live",
        "warning",
        Scene.stopped,
        lambda objects: objects.remove(found(objects, "HelmRelease", "web-main")),
        "Flux will install the chart",
        "apply",
    ),
    "a HelmRelease that its Release no longer creates": Trap(
        "not-compiled",
        "warning",
        Scene.applied,
        one_more("HelmRelease", "web-old", "web-main"),
        "no longer compiles to it",
        "transfer-fields",
    ),
    "a name that somebody else has": Trap(
        "foreign-object", "error", Scene.stopped, foreign, "(field managers: argocd-controller)", "resolve"
    ),
    "another Kustomization": Trap(
        "other-kustomization",
        "error",
        Scene.stopped,
        edit("HelmRelease", "web-main", "metadata", "labels", value={**cluster.KUSTOMIZATION}),
        "'flux-system/releases', but not from kcd-gen's output",
        "resolve",
    ),
    "an object that Flux ignores": Trap(
        "exempt-from-flux",
        "warning",
        Scene.stopped,
        edit("HelmRelease", "web-main", "metadata", "annotations", value={"kustomize.toolkit.fluxcd.io/ssa": "Merge"}),
        "kustomize.toolkit.fluxcd.io/ssa: Merge",
        "apply",
    ),
    "an object that is no longer needed": Trap(
        "leftover",
        "note",
        Scene.uninstalled,
        lambda objects: objects.append(one_of("OCIRepository", "kcd-old", [cluster.manager("kubocd", {})])),
        "no longer needed",
        "delete-crds",
    ),
    "a HelmRelease that fails": Trap(
        "not-ready",
        "warning",
        Scene.stopped,
        edit(
            "HelmRelease",
            "web-main",
            "status",
            "conditions",
            value=[{"type": "Ready", "status": "False", "message": "failed: password=hunter2"}],
        ),
        "is not ready: 'failed: password=•••'",
        "apply",
    ),
    "a HelmRelease without remaining retries": Trap(
        "not-ready",
        "warning",
        Scene.applied,
        failing(
            "HelmRelease", "web-main", 'Failed to install after 1 attempt(s): namespaces "apps" not found', stalled=True
        ),
        "Failed to install after 1 attempt(s)",
        "transfer-fields",
        "reconcile.fluxcd.io/resetAt",
    ),
    "Git before the chart server": Trap(
        "not-ready",
        "warning",
        Scene.applied,
        failing(
            "HelmRelease", "web-main", "no 'main' chart with version matching '1.0.0' found", reason="SourceNotReady"
        ),
        "no 'main' chart with version matching",
        "transfer-fields",
        "reconcile.fluxcd.io/requestedAt of its HelmRepository",
    ),
    "no chart server": Trap(
        "not-ready",
        "warning",
        Scene.applied,
        failing("HelmRepository", "kcd-web", "failed to fetch index: connection refused"),
        "connection refused",
        "transfer-fields",
        "chart server of step 2",
    ),
    "index.yaml among what Flux applies": Trap(
        "not-ready",
        "warning",
        Scene.stopped,
        failing("Kustomization", "releases", "failed to decode Kubernetes YAML from /hr/index.yaml: missing kind"),
        "missing kind",
        "apply",
        "spec.path",
    ),
    "labels of a missing Kustomization": Trap(
        "left-by-flux",
        "note",
        Scene.applied,
        edit("Kustomization", "releases", "metadata", "name", value="flux-system"),
        "'flux-system/releases', which does not exist",
        "apply",
    ),
    "charts and releases of two sources": Trap(
        "order-not-kept",
        "warning",
        Scene.applied,
        charts_from("charts"),
        "depends on 'flux-system/charts'",
        "transfer-fields",
    ),
    "a HelmRelease that Flux keeps without its HelmRepository": Trap(
        "half-kept",
        "warning",
        Scene.applied,
        edit(
            *("HelmRelease", "web-main", "metadata", "annotations"),
            value={"kustomize.toolkit.fluxcd.io/prune": "disabled"},
        ),
        "its HelmRepository 'kcd-web' does not",
        "transfer-fields",
    ),
    "the CRDs before the Releases": Trap(
        "release-deleting",
        "error",
        Scene.applied,
        everything("Release", lambda one: one["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z")),
        "only its finalizer protects",
        "rescue",
    ),
    "a chart that was never installed": Trap(
        "never-installed",
        "note",
        Scene.stopped,
        drop("HelmRelease", "web-main", "status", "history"),
        "was never installed",
        "apply",
    ),
    "a suspended Kustomization": Trap(
        "kustomization-suspended",
        "warning",
        Scene.applied,
        edit("Kustomization", "releases", "spec", "suspend", value=True),
        "is suspended",
        "transfer-fields",
    ),
    "a Kustomization whose deletion removes all resources": Trap(
        "pruning",
        "note",
        Scene.applied,
        drop("Kustomization", "releases", "spec", "deletionPolicy"),
        "uninstalls all 3 HelmReleases when it is deleted; 'deletionPolicy: Orphan'",
        "transfer-fields",
    ),
    "controller and Flux at once": Trap(
        "both-running",
        "error",
        Scene.applied,
        edit("Deployment", "kubocd-ctrl-controller", "spec", "replicas", value=1),
        "runs KuboCD's controller while Flux applies",
        "stop-controller",
    ),
    "webhooks": Trap(
        "webhook",
        "note",
        Scene.stopped,
        lambda objects: objects.append(cluster.webhook()),
        "KuboCD's webhook",
        "stop-controller",
    ),
    "nothing about the controller": Trap(
        "controller-unknown",
        "note",
        Scene.applied,
        without("Deployment"),
        "contains no Deployments",
        "transfer-fields",
    ),
    "nothing about the controller, and nothing is applied yet": Trap(
        "controller-unknown", "note", Scene.stopped, without("Deployment"), "contains no Deployments", "stop-controller"
    ),
    "a controller that was uninstalled": Trap(
        "controller-unknown",
        "note",
        Scene.stopped,
        edit("Deployment", "kubocd-ctrl-controller", "spec", "template", value={}),
        "none that runs KuboCD's controller",
        "apply",
    ),
    "the dump of another cluster": Trap(
        "other-cluster",
        "error",
        Scene.stopped,
        lambda objects: [one["metadata"].update(namespace="elsewhere") for one in objects],
        "contains none of the 9 compiled resources",
        "resolve",
    ),
    "a dump with nothing in it": Trap(
        "other-cluster", "error", Scene.stopped, list.clear, "contains none of the 9 compiled resources", "resolve"
    ),
    "no HelmRepositories": Trap(
        "kind-missing",
        "warning",
        Scene.applied,
        without("HelmRepository"),
        "contains no HelmRepository",
        "apply",
    ),
    "a namespace that the chart owns": Trap(
        "chart-namespace",
        "note",
        Scene.without_releases,
        owned_by_the_chart("Namespace", "default"),
        "which deletes it and the 3 HelmReleases in it",
        "keep-objects",
    ),
    "a ServiceAccount of the chart that something else uses": Trap(
        "chart-object-used",
        "warning",
        Scene.without_releases,
        used_account,
        "but Kustomization default/tenant uses it",
        "resolve",
    ),
    "another CRD of the chart": Trap(
        "chart-object-used",
        "warning",
        Scene.without_releases,
        owned_by_the_chart("CustomResourceDefinition", "helmreleases.helm.toolkit.fluxcd.io"),
        "with all objects of its kind",
        "resolve",
    ),
    "KuboCD's CRDs among the chart's objects": Trap(
        "chart-crds",
        "note",
        Scene.without_releases,
        owned_by_the_chart("CustomResourceDefinition", "releases.kubocd.kubotal.io"),
        "deletes all Releases",
        "remove-controller",
    ),
    "a Helm release that is stored elsewhere": Trap(
        "chart-storage",
        "note",
        Scene.without_releases,
        lambda objects: objects.append(cluster.chart_release()),
        "in the namespace 'flux-system'",
        "empty-chart",
    ),
    "the CRDs before the chart": Trap(
        "chart-stuck",
        "warning",
        Scene.without_releases,
        stuck_chart,
        "KuboCD's CRDs were deleted before it",
        "resolve",
        "crds/",
    ),
    "a Service that the chart took back": Trap(
        "service-taken-back",
        "warning",
        Scene.applied,
        taken_back,
        "selects the pods of KuboCD's controller again",
        "restore-service",
    ),
    "a namespace that Flux would prune": Trap(
        "namespace-pruned",
        "note",
        Scene.applied,
        lambda objects: objects.append(
            {
                **cluster.plain("Namespace", "default"),
                "metadata": {"name": "default", "labels": dict(cluster.KUSTOMIZATION)},
            }
        ),
        "deletes it and all in it",
        "transfer-fields",
    ),
    "a namespace that is being deleted": Trap(
        "namespace-deleting",
        "error",
        Scene.without_releases,
        deleting("Namespace", "default"),
        "can't be stopped",
        "resolve",
    ),
    "RBAC that is not in the dump": Trap(
        "kind-missing",
        "warning",
        Scene.without_releases,
        without("ClusterRole"),
        "contains no ClusterRole: it is unknown",
        "remove-controller",
    ),
    "one object in two dumps": Trap(
        "dumped-twice", "note", Scene.applied, old_state, "in two states", "transfer-fields"
    ),
}


def one_of(kind: str, name: str, managers: list[Object]) -> Object:
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default", "managedFields": managers},
        "spec": {},
    }


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_reported(scene: Scene, name: str) -> None:
    trap = TRAPS[name]
    before = scene.check(trap.made(scene))
    objects = trap.made(scene)
    trap.change(objects)
    after = scene.check(objects)
    findings = [one for one in after.findings if one.code == trap.code and trap.says in one.message]
    assert [one.severity for one in findings][:1] == [trap.severity], [
        f"{one.code}: {one.message}" for one in after.findings
    ]
    assert trap.hint in (findings[0].hint or "")
    assert after.step.name == trap.step
    usual = {(one.code, one.message) for one in before.findings}
    if trap.code not in ("co-owner", "owned"):
        assert not {(one.code, one.message) for one in findings} & usual, "a clean cluster has it, too"


def test_every_trap_is_documented_and_tested() -> None:
    page = (ROOT / "docs/migration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
    documented = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    # test_kubocds_own_charts_do_not_belong_in_git, test_a_dump_in_the_checkout_is_reported, and
    # test_a_cluster_is_migrated_to_a_chart_server
    of_other_sources = {"kubocd-compiled", "dump-in-checkout", "other-delivery"}
    assert documented == {trap.code for trap in TRAPS.values()} | of_other_sources


def test_the_same_finding_of_many_objects_is_reported_once(scene: Scene) -> None:
    objects = scene.stopped()
    cluster.each(objects, "HelmRelease", lambda one: one["spec"].update(timeout="9m"))
    findings = [one for one in scene.check(objects).findings if one.code == "field-changes"]
    assert [one.objects for one in findings] == [("default/api-main", "default/shop-main", "default/web-main")]


def test_a_default_of_the_api_server_is_not_reported_as_removed(scene: Scene) -> None:
    findings = [one for one in scene.check(scene.stopped()).findings if one.code == "co-owner"]
    assert {one.message.partition(" and removes ")[2] for one in findings} == {"metadata.ownerReferences"}


def test_equivalent_values_are_not_a_difference(scene: Scene) -> None:
    objects = scene.stopped()
    one = found(objects, "HelmRelease", "web-main")["spec"]
    one |= {"interval": "1800s", "timeout": "2m", "suspend": False, "dependsOn": [], "targetNamespace": "default"}
    found(objects, "HelmRepository", "kcd-web")["spec"] |= {"interval": "5m", "provider": "generic", "suspend": False}
    codes = {one.code for one in scene.check(objects).findings}
    assert not {code for code in codes if code.startswith("field-")}


def test_secrets_of_the_cluster_are_masked(scene: Scene) -> None:
    objects = scene.stopped()
    extra({"values": {"db": {"password": "hunter2"}, "note": "token=hunter2"}})(objects)
    edit("HelmRelease", "api-main", "spec", "values", "apiKey", value="hunter2")(objects)
    assert "hunter2" not in str(scene.check(objects))
    assert "•••" in str(scene.check(objects))


def test_the_rescue_stops_the_controller_and_names_the_endangered_resources(scene: Scene) -> None:
    objects = scene.applied()
    deleting("Release", "web")(objects)
    lines = scene.check(objects).step.lines
    assert lines[0] == "kubectl -n kubocd scale deployment kubocd-ctrl-controller --replicas=0"
    assert [line for line in lines if line.startswith("for name in")] == [
        "for name in web-main; do",
        "for name in kcd-web; do",
        "for name in kcd-web; do",
    ]
    assert all("finalizers" not in line for line in lines)


def test_after_a_rollback_only_the_controller_manages_resources(scene: Scene) -> None:
    objects = scene.transferred()
    found(objects, "Kustomization", "releases")["metadata"]["name"] = "flux-system"
    found(objects, "Deployment", "kubocd-ctrl-controller")["spec"]["replicas"] = 1
    checked = scene.check(objects)
    assert {one.code for one in checked.findings} == {"left-by-flux"}
    assert (checked.applied, checked.step.name) == (0, "stop-controller")


def test_one_source_keeps_the_order(scene: Scene) -> None:
    objects = scene.applied()
    charts_from("flux-system")(objects)
    assert "order-not-kept" not in {one.code for one in scene.check(objects).findings}


def test_a_release_waiting_for_dependencies_gets_no_reset_hint(scene: Scene) -> None:
    objects = scene.applied()
    failing("HelmRelease", "web-main", "dependencies do not meet ready condition")(objects)
    (finding,) = (one for one in scene.check(objects).findings if one.code == "not-ready")
    assert finding.hint is not None
    assert "resetAt" not in finding.hint


def test_kubocds_own_charts_do_not_belong_in_git(scene: Scene, tmp_path: Path) -> None:
    assert "kubocd-compiled" not in {one.code for one in scene.check(scene.stopped()).findings}
    own = compiled(tmp_path, "moduleOverrides: [{module: main, specPatch: {chart: {spec: {chart: kubocd-wh}}}}]")
    (finding,) = (one for one in own.check(own.stopped()).findings if one.code == "kubocd-compiled")
    assert (finding.severity, finding.objects) == ("warning", ("default/web-main",))
    last = own.check(own.uninstalled()).step
    assert last.name == "remove-controller"
    assert last.lines.index("manifest=$(helm -n default get manifest web-main)") < last.lines.index("kcd-gen build")
    assert "the Release of KuboCD's own chart" in last.title


def test_releases_outside_the_sources_are_not_touched(scene: Scene) -> None:
    objects = scene.transferred()
    other_release(objects)
    assert "for name in api shop web; do" in scene.check(objects).step.lines
    left = [one for one in objects if one["kind"] != "Release" or one["metadata"]["name"] == "gone"]
    assert scene.check(left).step.name == "resolve"


def test_a_suspended_release_keeps_its_helm_releases_without_owner_references(scene: Scene, tmp_path: Path) -> None:
    suspended = compiled(tmp_path, "suspended: true")
    objects = suspended.transferred()
    asleep = cluster.by_kubocd(next(one for one in scene.documents if one["metadata"]["name"] == "web-main"))
    found(objects, "Release", "web")["spec"]["suspended"] = True
    checked = suspended.check([*objects, asleep])
    assert {one.code for one in checked.findings} == {"release-suspended", "owned"}
    assert {one.severity for one in checked.findings} == {"note"}
    assert (checked.step.name, checked.step.lines[0]) == ("remove-owners", "for name in web-main; do")


def test_only_flux_kinds_are_compared(scene: Scene) -> None:
    strange = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"password": "aHVudGVyMg=="}}
    assert scene.check([*scene.transferred(), strange]) == scene.check(scene.transferred())
    assert {one["kind"] for one in scene.documents} == set(FLUX_KINDS)


@pytest.mark.parametrize(
    ("first", "second", "used"),
    [("9", "10", "10"), ("10", "9", "10"), ("²", "3", "3"), ("9" * 5000, "3", "3"), ("", "x", "x")],
)
def test_the_state_with_the_higher_resource_version_is_used(first: str, second: str, used: str) -> None:
    one: Object = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": {"name": "web"}}
    states = [{**one, "metadata": {"name": "web", "resourceVersion": version}} for version in (first, second)]
    assert [each.version for each in live_cluster(states).flux.values()] == [used]


@pytest.mark.parametrize(
    ("spec", "exempt", "message"),
    [
        ({"prune": True, "deletionPolicy": "Orphan"}, 0, ""),
        ({"prune": False, "deletionPolicy": None}, 0, ""),
        ({"prune": True, "deletionPolicy": "MirrorPrune"}, 0, "uninstalls all 3 HelmReleases when it is deleted;"),
        ({"prune": False, "deletionPolicy": "Delete"}, 0, "uninstalls all 3 HelmReleases when it is deleted;"),
        ({"prune": False, "deletionPolicy": "WaitForTermination"}, 1, "uninstalls 2 of 3 HelmReleases when"),
        ({"prune": True, "deletionPolicy": None}, 3, ""),
        ({"prune": True, "deletionPolicy": None, "suspend": True}, 0, "after it is resumed, but not while"),
        ({"prune": True, "deletionPolicy": "Unknown"}, 0, ""),
    ],
)
def test_pruning_is_reported_only_if_the_deletion_uninstalls_something(
    scene: Scene, spec: dict[str, Any], exempt: int, message: str
) -> None:
    objects = scene.applied()
    found(objects, "Kustomization", "releases")["spec"] = spec
    for one in [one for one in objects if one["kind"] == "HelmRelease"][:exempt]:
        one["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"] = "disabled"
    pruning = [one.message for one in scene.check(objects).findings if one.code == "pruning"]
    assert [message in one for one in pruning] == ([True] if message else [])
