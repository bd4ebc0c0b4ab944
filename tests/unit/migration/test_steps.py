"""The steps of a migration without problems; the commands of each step are those of the guide."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kubocd_gen.files.paths import shown_path
from kubocd_gen.migration.dump import read_dump
from tests.support import cluster
from tests.support.cluster import Object
from tests.support.migration import Scene, found
from tests.support.registry import program

CLEAN: list[tuple[str, Callable[[Scene], list[Object]], str, int | None]] = [
    ("as KuboCD runs it", Scene.kubocd, "stop-controller", 1),
    ("stopped", Scene.stopped, "apply", 2),
    ("applied", Scene.applied, "transfer-fields", 3),
    ("transferred", Scene.transferred, "delete-releases", 5),
    ("without Releases", Scene.without_releases, "remove-controller", 7),
    ("uninstalled", Scene.uninstalled, "delete-crds", 8),
]


@pytest.mark.parametrize(("made", "step", "number"), [case[1:] for case in CLEAN], ids=[case[0] for case in CLEAN])
def test_a_clean_cluster_passes_through_every_step(
    scene: Scene, made: Callable[[Scene], list[Object]], step: str, number: int | None
) -> None:
    checked = scene.check(made(scene))
    assert (checked.step.name, checked.step.number) == (step, number)
    assert {one.severity for one in checked.findings} <= {"note"}
    assert checked.step.lines


def test_the_crds_are_the_last_step(scene: Scene) -> None:
    objects = scene.uninstalled()
    last = scene.check(objects)
    assert (last.step.name, last.step.number) == ("delete-crds", 8)
    objects.remove(found(objects, "CustomResourceDefinition", "releases.kubocd.kubotal.io"))
    done = scene.check(objects)
    assert (done.step.name, done.step.lines, done.step.dump) == ("done", (), None)
    assert not done.findings
    without = [one for one in objects if one["kind"] != "Deployment"]
    assert (scene.check(without).step.name, scene.check(without).step.lines) == ("dump", ()), "it may be there"


def test_commands_use_the_actual_names_of_controller_and_webhooks(scene: Scene) -> None:
    objects = scene.kubocd()
    found(objects, "Deployment", "kubocd-ctrl-controller")["metadata"].update(name="cd", namespace="tools")
    lines = scene.check(objects).step.lines
    assert "kubectl -n tools scale deployment cd --replicas=0" in lines
    assert "kubectl delete validatingwebhookconfiguration kubocd-wh-webhook" in lines
    assert lines[0].startswith(
        "(umask 077; mkdir -p ~/kcd-gen-migration; kubectl get releases.kubocd.kubotal.io,contexts"
    )
    assert lines[0].endswith("-A -o yaml > ~/kcd-gen-migration/before-$(date +%s).yaml)"), "the first copy stays"
    assert "a dump that includes Deployments" not in scene.check(objects).step.title


def test_without_deployments_in_the_dump_the_controller_is_assumed_to_run(scene: Scene) -> None:
    bare = [one for one in scene.kubocd() if one["kind"] not in ("Deployment", "ValidatingWebhookConfiguration")]
    checked = scene.check(bare)
    assert checked.step.name == "stop-controller"
    assert "controller-unknown" in {one.code for one in checked.findings}
    assert "a dump that includes Deployments" in checked.step.title
    assert "kubectl -n kubocd scale deployment kubocd-ctrl-controller --replicas=0" in checked.step.lines
    assert "jq" in checked.step.lines[-2]
    assert scene.check([one for one in scene.applied() if one["kind"] != "Deployment"]).step.name == "transfer-fields"


def test_webhooks_are_deleted_before_releases(scene: Scene) -> None:
    checked = scene.check([*scene.transferred(), cluster.webhook("MutatingWebhookConfiguration")])
    assert checked.step.name == "stop-controller"
    assert "kubectl delete mutatingwebhookconfiguration kubocd-wh-webhook" in checked.step.lines


def test_resources_flux_has_not_applied_are_waited_for(scene: Scene) -> None:
    objects = scene.applied()
    late = found(objects, "HelmRelease", "shop-main")["metadata"]
    late["labels"] = {}
    checked = scene.check(objects)
    assert (checked.step.name, checked.applied, checked.compiled) == ("apply", 8, 9)
    lines = checked.step.lines
    output = shown_path(scene.compilation.cluster.output)
    assert lines[2:4] == ("kcd-gen build", f'for path in {output}; do test ! -e "$path" || git add -- "$path"; done'), (
        "it may not be committed yet"
    )
    assert any("lastAppliedRevision" in line for line in lines)
    assert "lastHandledReconcileAt" in lines[-2]


def half_applied(scene: Scene) -> list[Object]:
    objects = scene.applied()
    found(objects, "HelmRelease", "shop-main")["metadata"]["labels"] = {}
    return objects


@pytest.mark.parametrize(
    ("made", "before"), [(Scene.stopped, "wait"), (half_applied, "wait"), (Scene.applied, "annotate")]
)
def test_a_suspended_kustomization_is_resumed_before_it_is_waited_for(
    scene: Scene, made: Callable[[Scene], list[Object]], before: str
) -> None:
    objects = made(scene)
    assert not [line for line in scene.check(objects).step.lines if '"suspend"' in line]
    found(objects, "Kustomization", "releases")["spec"]["suspend"] = True
    lines = [line.split() for line in scene.check(objects).step.lines]
    (at,) = (number for number, words in enumerate(lines) if words[3:4] == ["patch"])
    assert lines[at][-1] == """'{"spec":{"suspend":false}}'"""
    assert next(words[3] for words in lines[at + 1 :] if words[0] == "kubectl") == before


def test_the_chart_server_is_restored_after_the_old_chart_is_uninstalled(scene: Scene) -> None:
    objects = scene.without_releases()
    releases = found(objects, "Kustomization", "releases")
    releases["spec"]["dependsOn"] = [{"name": "charts"}]
    charts = cluster.kustomization()
    charts["metadata"]["name"] = "charts"
    lines = scene.check([*objects, charts]).step.lines
    at = lines.index("helm -n kubocd uninstall kubocd-ctrl")
    annotate = "kubectl -n flux-system annotate kustomizations.kustomize.toolkit.fluxcd.io/charts "
    assert lines[at + 2].startswith(annotate)


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize(
    ("crd", "releases", "deletes"),
    [("", "", True), ("crd/x", "", True), ("crd/x", "release/web", False)],
    ids=["no CRD", "no Releases", "a Release that the dump did not show"],
)
def test_no_crd_is_deleted_while_a_release_exists(
    scene: Scene, tmp_path: Path, shell: str, crd: str, releases: str, deletes: bool
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        f'#!/bin/sh\ncase "$1 $2" in\n"get crd") echo {crd};;\n'
        f'"get releases.kubocd.kubotal.io") echo {releases};;\n*) echo "$@" >> {tmp_path}/called;;\nesac\n'
    )
    kubectl.chmod(0o755)
    script = "\n".join(scene.check(scene.uninstalled()).step.script)
    done = subprocess.run(
        [shell, "-c", script], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True
    )
    assert (done.returncode == 0) is deletes
    assert ("Releases still exist" in done.stderr) is not deletes
    assert (tmp_path / "called").exists() is deletes


def test_flux_must_reconcile_after_managers_are_renamed(scene: Scene) -> None:
    objects = scene.applied()
    for one in objects:
        for entry in one["metadata"].get("managedFields", ()):
            if entry["manager"] == "kubocd":
                entry["manager"] = "kubectl"
    step = scene.check(objects).step
    assert step.name == "transfer-fields"
    assert [line.split()[3] for line in step.lines[1:]] == ["annotate", "wait", "wait"]


def renamed(scene: Scene, objects: list[Object]) -> dict[str, set[str]]:
    """Run the jq program of step 3 and return the resulting managers by object."""
    lines = scene.check(objects).step.lines
    program("jq", "jq")
    transfer = next(line for line in lines if line.strip().startswith("jq ")).strip().removesuffix(" |")
    listed = {"items": [one for one in objects if one["kind"] == "HelmRelease"]}
    done = subprocess.run(
        ["sh", "-c", transfer], input=json.dumps(listed), capture_output=True, text=True, check=True
    )  # the program as pasted into a shell, including its quoting
    return {
        one["metadata"]["name"]: {entry["manager"] for entry in one["metadata"]["managedFields"]}
        for one in json.loads(done.stdout)["items"]
    }


def test_the_transfer_renames_the_detected_manager(scene: Scene) -> None:
    objects = scene.applied()
    cluster.transferred(found(objects, "HelmRelease", "api-main"))
    assert renamed(scene, objects) == {
        name: {"kubectl", "helm-controller", "kustomize-controller"} for name in ("shop-main", "web-main")
    }


def test_several_managers_stay_separate_and_hostile_names_are_escaped(scene: Scene) -> None:
    objects = scene.applied()
    hostile = 'it\'s "$(touch /tmp/x)" \\(1)\n'
    one = found(objects, "HelmRelease", "web-main")["metadata"]
    one["managedFields"].append(cluster.manager(hostile, {"f:spec": {"f:timeout": {}}}))
    made = renamed(scene, objects)
    assert made["web-main"] == {"kubectl-kubocd", f"kubectl-{hostile}", "helm-controller", "kustomize-controller"}
    assert made["api-main"] == {"kubectl-kubocd", "helm-controller", "kustomize-controller"}


def test_a_manager_named_kubectl_keeps_its_fields(scene: Scene) -> None:
    objects = scene.applied()
    one = found(objects, "HelmRelease", "web-main")["metadata"]
    one["managedFields"].append(cluster.manager("kubectl", {"f:spec": {"f:timeout": {}}}))
    assert {"kubectl", "kubectl-kubocd"} < renamed(scene, objects)["web-main"]


def test_the_transfer_names_the_kinds_that_need_it_and_reconciles(scene: Scene) -> None:
    lines = scene.check(scene.applied()).step.lines[2:]
    assert lines[0] == "for kind in helmreleases helmrepositories ocirepositories; do"
    assert lines[-3].startswith("kubectl -n flux-system annotate kustomizations.kustomize.toolkit.fluxcd.io/releases ")
    assert "lastHandledReconcileAt" in lines[-2]


def test_every_release_is_deleted_by_name_without_finalizers_and_cascade(scene: Scene) -> None:
    lines = scene.check(scene.transferred()).step.lines[3:]
    assert lines[0] == "for name in api shop web; do"
    assert '{"metadata":{"finalizers":null}}' in lines[3]
    assert "--cascade=orphan" in lines[4], "after it, the patch would take the garbage collector's finalizer away"


def test_leftover_resources_are_deleted_with_the_crds(scene: Scene) -> None:
    objects = scene.uninstalled()
    stale = cluster.transferred(cluster.by_kubocd(scene.documents[0]))
    stale["metadata"]["name"] = "kcd-old"
    stale["metadata"]["managedFields"] = [cluster.manager("kubocd", {"f:spec": {}})]
    checked = scene.check([*objects, stale])
    assert checked.step.name == "delete-crds"
    assert checked.step.lines[0] == "kubectl -n default delete ocirepositories kcd-old"


def test_releases_applied_by_flux_are_first_excluded_from_it(scene: Scene) -> None:
    objects = scene.transferred()
    assert "flux-system/releases" not in scene.check(objects).step.title
    found(objects, "Release", "web")["metadata"]["labels"] = dict(cluster.KUSTOMIZATION)
    step = scene.check(objects).step
    assert step.name == "delete-releases"
    assert step.title.startswith("first exclude the Releases from flux-system/releases")


def test_only_the_output_is_committed(scene: Scene) -> None:
    lines = scene.check(scene.stopped()).step.lines
    (added,) = (line for line in lines if "git add" in line)
    assert added.startswith(f"for path in {shown_path(scene.compilation.cluster.output)}; do")


def test_an_object_without_managers_does_not_stop_the_transfer_of_the_others(scene: Scene) -> None:
    objects = scene.applied()
    del found(objects, "HelmRelease", "web-main")["metadata"]["managedFields"]
    listed = read_dump(json.dumps({"kind": "List", "apiVersion": "v1", "items": objects}).encode(), "live.json")
    checked = scene.check(list(map(dict, listed)))
    assert checked.step.name == "transfer-fields"
    assert ("emptied-fields", ("default/web-main",)) in [(one.code, one.objects) for one in checked.findings]
    assert "kubectl" in renamed(scene, list(map(dict, listed)))["shop-main"]


@pytest.mark.parametrize(
    "made",
    [Scene.kubocd, Scene.stopped, Scene.applied, Scene.transferred, Scene.without_releases, Scene.uninstalled],
    ids=lambda one: one.__name__,
)
def test_the_printed_script_stops_at_the_first_failure(
    scene: Scene, made: Callable[[Scene], list[Object]], tmp_path: Path
) -> None:
    """All programs exist and fail, so only the first one runs."""
    step = scene.check(made(scene)).step
    called = tmp_path / "called"
    for name in ("kubectl", "git", "kcd-gen", "helm"):
        fake = tmp_path / name
        fake.write_text(f'#!/bin/sh\necho "$0" >> {called}\nexit 1\n')
        fake.chmod(0o755)
    for shell in ("bash", "sh"):
        called.write_text("")
        path = f"{tmp_path}:{os.environ['PATH']}"
        script = "\n".join((*step.script, "echo after"))
        done = subprocess.run(
            [shell, "-c", script], env={"PATH": path}, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout == "after\n", "it runs in a subshell"
        # If helm does not find the release, kubectl shows where it is stored.
        assert called.read_text().count("\n") == 1 + ("get secrets" in step.lines[0])


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_rescue_continues_after_a_failure(scene: Scene, tmp_path: Path, shell: str) -> None:
    """A Deployment of another name or a missing object must not prevent saving the others."""
    objects = scene.applied()
    cluster.each(objects, "Release", lambda one: one["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"))
    step = scene.check([one for one in objects if one["kind"] != "Deployment"]).step
    assert step.name == "rescue"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$3 $4 $5" >> {tmp_path}/called\nexit 1\n')
    kubectl.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run([shell, "-c", "\n".join(step.script)], env={"PATH": path}, capture_output=True)
    called = (tmp_path / "called").read_text().splitlines()
    assert called[0] == "scale deployment kubocd-ctrl-controller"
    assert len(called) == 1 + len(scene.documents)


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("kind", ["ValidatingWebhookConfiguration", "none", "refused"])
def test_webhooks_missing_from_the_dump_are_found(scene: Scene, tmp_path: Path, shell: str, kind: str) -> None:
    program("jq", "jq")
    other = cluster.webhook("MutatingWebhookConfiguration")
    other["webhooks"] = [{"rules": [{"apiGroups": ["apps"]}]}, {}]
    listed = {"items": [other, *([cluster.webhook(kind)] if kind.endswith("Configuration") else [])]}
    (tmp_path / "listed").write_text(json.dumps(listed))
    kubectl = tmp_path / "kubectl"
    answer = "exit 1" if kind == "refused" else f"cat {tmp_path}/listed"
    kubectl.write_text(f'#!/bin/sh\ncase "$1" in\nget) {answer};;\ndelete) echo "$@" >> {tmp_path}/called;;\nesac\n')
    kubectl.chmod(0o755)
    bare = [one for one in scene.kubocd() if one["kind"] not in ("Deployment", "ValidatingWebhookConfiguration")]
    script = "\n".join(("(set -e", *scene.check(bare).step.lines[2:], ")"))  # after the copy and the Deployment
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run([shell, "-c", script], env={"PATH": path}, capture_output=True)
    assert (done.returncode == 0) is (kind != "refused")
    called = (tmp_path / "called").read_text() if (tmp_path / "called").exists() else ""
    assert called == ("delete validatingwebhookconfiguration/kubocd-wh-webhook\n" if "Config" in kind else "")
