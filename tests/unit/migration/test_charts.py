"""The Helm releases of KuboCD's charts in a dump, and the steps that uninstall them."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from kubocd_gen.migration import chart_commands
from kubocd_gen.migration.charts import Chart, find_charts
from kubocd_gen.migration.live import live_cluster
from tests.support import cluster
from tests.support.cluster import Object
from tests.support.migration import Scene, found

EMPTY: dict[str, Any] = {"config": {"enabled": False}, "controller": {"replicaCount": 0}}


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ({}, "empty-chart"),
        (EMPTY, "remove-controller"),
        ({**EMPTY, "extraNamespaces": [], "contexts": []}, "remove-controller"),
        ({**EMPTY, "extraNamespaces": [{"name": "apps"}]}, "empty-chart"),
        ({**EMPTY, "contexts": [{"name": "x"}]}, "empty-chart"),
        ({**EMPTY, "controller": {}}, "empty-chart"),
        ({**EMPTY, "config": {}}, "empty-chart"),
        ({**EMPTY, "config": 1, "controller": []}, "empty-chart"),
    ],
)
def test_the_chart_is_uninstalled_after_its_values_are_empty(scene: Scene, values: Object, step: str) -> None:
    assert scene.check(scene.installed_by_flux(**values)).step.name == step


def test_values_from_elsewhere_must_be_overridden(scene: Scene) -> None:
    objects = scene.installed_by_flux(**EMPTY)
    found(objects, "HelmRelease", "kubocd-controller")["spec"]["valuesFrom"] = [{"kind": "Secret", "name": "x"}]
    assert scene.check(objects).step.name == "empty-chart"
    found(objects, "HelmRelease", "kubocd-controller")["spec"]["values"] |= {"extraNamespaces": [], "contexts": []}
    assert scene.check(objects).step.name == "remove-controller"


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["status"].update(observedGeneration=2),
        lambda one: one["status"].update(conditions=[{"type": "Ready", "status": "False"}]),
        lambda one: one["spec"].update(suspend=True),
    ],
    ids=["not upgraded yet", "failed", "suspended"],
)
def test_an_unfinished_upgrade_is_waited_for(scene: Scene, change: Any) -> None:
    objects = scene.installed_by_flux(**EMPTY)
    change(found(objects, "HelmRelease", "kubocd-controller"))
    step = scene.check(objects).step
    assert step.name == "empty-chart"
    resumes = [line for line in step.lines if '"suspend"' in line]
    assert bool(resumes) is (found(objects, "HelmRelease", "kubocd-controller")["spec"].get("suspend") is True)


def test_an_upgrade_that_uninstalls_when_it_fails_is_not_started(scene: Scene) -> None:
    objects = scene.installed_by_flux()
    upgrade = {"remediation": {"retries": 3, "strategy": "uninstall"}}
    found(objects, "HelmRelease", "kubocd-controller")["spec"]["upgrade"] = upgrade
    step = scene.check(objects).step
    assert (step.name, step.lines) == ("resolve", ())
    assert "remediation.strategy: uninstall" in step.title
    upgrade["remediation"]["strategy"] = "rollback"
    assert scene.check(objects).step.name == "empty-chart"


def test_helm_looks_for_the_release_where_flux_stores_it(scene: Scene) -> None:
    lines = scene.check(scene.installed_by_flux(**EMPTY)).step.lines
    assert "manifest=$(helm -n flux-system get manifest kubocd-ctrl)" in lines


def test_a_helm_release_without_a_kustomization_is_changed_and_deleted_directly(scene: Scene) -> None:
    objects = scene.installed_by_flux()
    del found(objects, "HelmRelease", "kubocd-controller")["metadata"]["labels"]
    lines = scene.check(objects).step.lines
    assert any("--type=merge" in line and '"extraNamespaces":[]' in line for line in lines)
    assert not any("git" in line for line in lines)
    found(objects, "HelmRelease", "kubocd-controller")["spec"]["values"] = EMPTY
    step = scene.check(objects).step
    assert step.title.startswith("delete HelmRelease flux-system/kubocd-controller")
    assert [line for line in step.lines if line.startswith("kubectl") and " delete " in line] == [
        "kubectl -n flux-system delete helmreleases.helm.toolkit.fluxcd.io/kubocd-controller "
        "--ignore-not-found --timeout=15m"
    ]


def test_a_chart_that_is_being_uninstalled_is_waited_for(scene: Scene) -> None:
    objects = scene.installed_by_flux(**EMPTY)
    found(objects, "HelmRelease", "kubocd-controller")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    checked = scene.check(objects)
    assert (checked.step.name, checked.step.lines) == ("resolve", ())
    assert checked.step.title.startswith("wait until Flux has uninstalled")
    assert {one.severity for one in checked.findings} == {"note"}


def test_a_missing_helm_release_must_be_dumped(scene: Scene) -> None:
    objects = scene.without_releases()
    labels = {f"helm.toolkit.fluxcd.io/{key}": value for key, value in (("name", "kubocd"), ("namespace", "tools"))}
    found(objects, "Deployment", "kubocd-ctrl-controller")["metadata"]["labels"] |= labels
    step = scene.check(objects).step
    assert (step.name, step.lines) == ("dump", ())
    assert "HelmRelease tools/kubocd" in step.title


def test_the_webhooks_chart_and_several_installations_go_one_after_another(scene: Scene) -> None:
    objects = [*scene.without_releases(), cluster.by_helm(cluster.webhook())]
    meta = objects[-1]["metadata"]
    meta["annotations"]["meta.helm.sh/release-name"] = "kubocd-wh"
    second = cluster.kubocd_deployment(0)
    second["metadata"] |= {"name": "second", "namespace": "other"}
    second["metadata"]["annotations"]["meta.helm.sh/release-namespace"] = "other"
    charts = find_charts(live_cluster([*objects, second]))
    assert [(one.chart, one.key) for one in charts] == [
        ("kubocd-wh", ("kubocd", "kubocd-wh")),
        ("kubocd-ctrl", ("kubocd", "kubocd-ctrl")),
        ("kubocd-ctrl", ("other", "kubocd-ctrl")),
    ]
    lines = scene.check([*objects, second]).step.lines
    assert "helm -n kubocd uninstall kubocd-wh" in lines
    assert not [line for line in lines if " upgrade " in line], "its values create no namespace"


def test_what_is_not_a_helm_release_is_named_and_has_no_command(scene: Scene) -> None:
    objects = scene.without_releases()
    found(objects, "Deployment", "kubocd-ctrl-controller")["metadata"] = {"name": "cd", "namespace": "tools"}
    step = scene.check(objects).step
    assert (step.name, step.lines) == ("remove-controller", ())
    assert "Deployment tools/cd" in step.title


def test_kept_namespaces_are_not_evidence_of_a_release(scene: Scene) -> None:
    objects = scene.uninstalled()
    kept = cluster.by_helm(found(objects, "Namespace", "default"))
    kept["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep"
    assert find_charts(live_cluster(objects)) == []
    assert scene.check(objects).step.name == "delete-crds"


def test_own_crds_are_deleted_after_contexts_left_git(scene: Scene) -> None:
    objects = scene.installed_by_flux(**EMPTY)
    cluster.by_helm(found(objects, "CustomResourceDefinition", "releases.kubocd.kubotal.io"))
    context = cluster.plain("Context", "team", "default", "kubocd.kubotal.io/v1alpha1")
    context["metadata"]["labels"] = dict(cluster.KUSTOMIZATION)
    assert scene.check([*objects, context]).step.name == "exclude-contexts"
    lines = scene.check(objects).step.lines
    assert any("Releases still exist" in line for line in lines)
    (gate,) = (line for line in lines if "grep -Eow" in line)
    assert "CustomResourceDefinition" not in gate


@pytest.mark.parametrize(
    ("kind", "change", "user"),
    [
        ("ClusterRole", {"roleRef": {"kind": "ClusterRole", "name": "shared"}}, "ClusterRoleBinding readers"),
        (
            "ServiceAccount",
            {"subjects": [{"kind": "ServiceAccount", "name": "shared", "namespace": "kubocd"}]},
            "readers",
        ),
    ],
)
def test_rbac_of_the_chart_that_others_use_is_named(scene: Scene, kind: str, change: Object, user: str) -> None:
    api = "v1" if kind == "ServiceAccount" else "rbac.authorization.k8s.io/v1"
    shared = cluster.by_helm(cluster.plain(kind, "shared", "kubocd" if kind == "ServiceAccount" else "", api))
    binding = cluster.plain("ClusterRoleBinding", "readers", "", "rbac.authorization.k8s.io/v1", **change)
    objects = [*scene.without_releases(), shared, binding]
    step = scene.check(objects).step
    assert (step.name, step.lines) == ("resolve", ())
    assert user in step.title
    assert scene.check([one for one in objects if one is not binding]).step.name != "resolve"


def test_a_binding_of_the_chart_with_other_subjects_is_needed(scene: Scene) -> None:
    subjects = [{"kind": "User", "name": "alice"}]
    binding = cluster.plain("ClusterRoleBinding", "shared", "", "rbac.authorization.k8s.io/v1", subjects=subjects)
    step = scene.check([*scene.without_releases(), cluster.by_helm(binding)]).step
    assert "ClusterRoleBinding shared (User alice)" in step.title


def test_sources_that_a_live_helm_release_uses_are_not_deleted(scene: Scene) -> None:
    """The HelmRelease of a suspended Release is not compiled, and stays."""
    objects = scene.uninstalled()
    kept = cluster.transferred(cluster.by_kubocd(next(one for one in scene.documents if one["kind"] == "HelmRelease")))
    kept["metadata"]["name"] = "asleep-main"
    kept["spec"]["chart"]["spec"]["sourceRef"] = {"kind": "HelmRepository", "name": "kcd-asleep"}
    source = cluster.transferred(
        cluster.by_kubocd(next(one for one in scene.documents if one["kind"] == "HelmRepository"))
    )
    source["metadata"]["name"] = "kcd-asleep"
    source["metadata"]["managedFields"] = [cluster.manager("kubocd", {"f:spec": {}})]
    assert "leftover" in {one.code for one in scene.check([*objects, source]).findings}
    assert "leftover" not in {one.code for one in scene.check([*objects, source, kept]).findings}


HOSTILE = ["$(touch x)", "--all", "a b", "x'; touch y; '", ""]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_the_dump_do_not_become_commands(scene: Scene, name: str) -> None:
    objects = scene.installed_by_flux()
    release = found(objects, "HelmRelease", "kubocd-controller")
    release["status"]["history"][0] |= {"name": name, "namespace": name}
    release["status"]["storageNamespace"] = release["spec"]["storageNamespace"] = name
    release["spec"] |= {"releaseName": name, "targetNamespace": name}
    deployment = found(objects, "Deployment", "kubocd-ctrl-controller")["metadata"]
    deployment["annotations"] = {f"meta.helm.sh/release-{key}": name for key in ("name", "namespace")}
    lines = "\n".join(scene.check(objects).step.lines)
    assert not name or name not in lines


@pytest.mark.parametrize("name", ["system:node", "a;b", "$(x)", "ü"])
def test_rbac_can_have_any_name(scene: Scene, name: str) -> None:
    odd = cluster.plain("ClusterRole", name, "", "rbac.authorization.k8s.io/v1")
    assert scene.check([*scene.without_releases(), odd]).step.name == "remove-controller"


MANIFESTS = [
    ("kind: Namespace\n", True),
    ('{"kind": "Namespace", "apiVersion": "v1"}\n', True),
    ("kind: List\nitems:\n- kind: 'CustomResourceDefinition'\n", True),
    ("kind: PersistentVolumeClaim # data\n", True),
    ("kind: HelmRelease\n", True),
    ("kind: Deployment\nmetadata:\n  namespace: x\n  name: Namespace\n", False),
    ("kind: ReleaseNotes\n", False),
    ("kind: NamespaceLike\n", False),
]


@pytest.mark.parametrize(("manifest", "stops"), MANIFESTS, ids=[one[0].strip() for one in MANIFESTS])
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_manifest_must_not_have_what_others_need(shell: str, manifest: str, stops: bool) -> None:
    chart = Chart("kubocd-ctrl", "kubocd-ctrl", "kubocd", None)
    lines = [line for line in chart_commands.stop_if_needed(chart) if not line.startswith("manifest=")]
    script = "\n".join(("(set -e", f"manifest='{manifest.replace(chr(39), chr(34))}'", *lines, "echo on", ")"))
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True)
    assert (done.returncode != 0, done.stdout) == (stops, "" if stops else "on\n")
