"""The printed steps of a migration, run in bash against a stand-in cluster until the check prints `done`.

The stand-in enforces the rules of the API server, of Helm and of Flux that were measured; see `tests/support/stand_in`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kubocd_gen.migration.commands import DUMP
from kubocd_gen.package_data import schema
from tests.support.migrating import CHART, Platform, Printed, platform
from tests.support.stand_in import helm
from tests.support.stand_in.store import Store

PAGE = (Path(__file__).resolve().parents[2] / "docs/migration.md").read_text(encoding="utf-8")
STEPS = [
    "stop-controller",
    "apply",
    "transfer-fields",
    "delete-releases",
    "keep-objects",
    "empty-chart",
    "remove-controller",
    "exclude-contexts",
    "delete-crds",
]


@dataclass(frozen=True, slots=True)
class Migrated:
    """A migration from the first step to the last, in `root`, with a copy of the platform before each step."""

    root: Path

    @property
    def printed(self) -> dict[str, Printed]:
        return {step: Printed(json.loads((self.root / f"{step}.json").read_text())) for step in STEPS}

    @property
    def uids(self) -> dict[str, str]:
        return Platform.existing(self.root / STEPS[0]).uids()

    @property
    def after(self) -> Platform:
        return Platform.existing(self.root / "running")

    def at(self, step: str, root: Path) -> Platform:
        """Return a copy of the platform before a step."""
        return Platform.existing(self.root / step).copy(root)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    """Run the migration once for all workers of pytest; only copies of the result are changed."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "migrated"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "finished").exists():
            for earlier in root.glob("*/"):
                shutil.rmtree(earlier)
            _migrate(root)
            (root / "finished").touch()
    return Migrated(root)


def _migrate(root: Path) -> None:
    def watch(one: Platform, step: Printed) -> None:
        one.copy(root / step.step)
        (root / f"{step.step}.json").write_text(json.dumps(step.report))

    assert platform(root / "running").steps(watch=watch) == STEPS


def test_the_printed_steps_lead_to_done_and_nothing_is_lost(migrated: Migrated) -> None:
    after = migrated.after
    assert after.uids() == migrated.uids
    assert after.harm() == []
    store = after.store
    assert not store.of_kind("Release", "Context", "Config", "Secret")
    assert not [one for one in store.of_kind("Deployment") if one["metadata"]["name"] == "kubocd-ctrl-controller"]
    service = store.find("Service", "kubocd", "kubocd-ctrl-controller-helm-repository")
    assert service is not None
    assert "app.kubernetes.io/instance" in service["spec"]["selector"], "it selects the pods of the chart server"


def test_every_commit_is_complete_and_no_dump_is_in_the_checkout(migrated: Migrated) -> None:
    after = migrated.after
    assert after.shell("git status --porcelain").stdout == ""
    assert after.shell("git rev-parse main").stdout == after.shell("git rev-parse origin/main").stdout
    applied = Platform.existing(migrated.root / "transfer-fields").shell("git ls-files").stdout.split()
    assert {".sourceignore", "clusters/prod/kcd-gen-kustomizations.yaml", "deploy/prod/server/service.yaml"} <= {
        *applied
    }
    private = after.root / "home/kcd-gen-migration"
    assert private.stat().st_mode & 0o077 == 0
    assert [one for one in private.iterdir() if one.stat().st_mode & 0o077] == []
    assert [one.name for one in private.glob("before-*")]


def test_the_report_of_every_step_is_valid_by_its_schema(migrated: Migrated) -> None:
    validator = jsonschema.Draft7Validator(schema("kcd-gen/migration-v1alpha1"))
    for printed in migrated.printed.values():
        validator.validate(printed.report)
        assert printed.report["next"]["number"] in range(1, 9)


WRONG = [
    ("stop-controller", "apply", "runs; its replicas"),
    ("stop-controller", "transfer-fields", "runs; its replicas"),
    ("transfer-fields", "delete-releases", "these Releases still own"),
    ("transfer-fields", "delete-crds", "Releases still exist"),
    ("keep-objects", "empty-chart", "Helm would delete these namespaces"),
    ("keep-objects", "remove-controller", "Helm would delete these namespaces"),
    ("keep-objects", "delete-crds", "uninstall the chart first"),
    ("empty-chart", "remove-controller", "still contains"),
    ("exclude-contexts", "delete-crds", "a Kustomization still applies"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("at", "step", "message"), WRONG, ids=[f"{step} at {at}" for at, step, _ in WRONG])
def test_a_step_in_the_wrong_order_stops_before_harm(
    migrated: Migrated, tmp_path: Path, at: str, step: str, message: str
) -> None:
    here = migrated.at(at, tmp_path)
    commit = here.shell("git rev-parse origin/main").stdout
    if step == "remove-controller":
        here.prepare(migrated.printed[step].report["next"])
    done = here.shell(migrated.printed[step].script, code=None)
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    assert here.harm() == []
    assert here.shell("git rev-parse origin/main").stdout == commit, "nothing is pushed"
    assert here.uids() == migrated.uids


def uninstall_first(here: Platform) -> None:
    here.shell("helm -n flux-system uninstall kubocd-ctrl")


def annotate_only(here: Platform) -> None:
    """The annotation of the object in the cluster protects in an upgrade only."""
    here.shell("kubectl annotate namespace apps helm.sh/resource-policy=keep --overwrite")
    here.shell("helm -n flux-system uninstall kubocd-ctrl")


def delete_an_owner(here: Platform) -> None:
    here.shell("kubectl -n apps delete releases.kubocd.kubotal.io api")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "act"),
    [("keep-objects", uninstall_first), ("keep-objects", annotate_only), ("transfer-fields", delete_an_owner)],
)
def test_the_stand_in_does_the_harm_that_was_measured(
    migrated: Migrated, tmp_path: Path, at: str, act: Callable[[Platform], object]
) -> None:
    here = migrated.at(at, tmp_path)
    if act is delete_an_owner:  # the finalizer, which only the controller removes, protects for the moment
        here.shell(
            'kubectl -n apps patch releases.kubocd.kubotal.io api --type=merge -p \'{"metadata":{"finalizers":null}}\''
        )
        here.shell("kubectl -n apps delete releases.kubocd.kubotal.io api --ignore-not-found")
    else:
        act(here)
    assert ["removed", "HelmRelease", "apps", "api-main"] in [entry[:4] for entry in here.harm()]


@pytest.mark.slow
def test_the_chart_cant_be_uninstalled_after_the_crds(migrated: Migrated, tmp_path: Path) -> None:
    here = migrated.at("keep-objects", tmp_path)
    here.shell("kubectl delete crd releases.kubocd.kubotal.io contexts.kubocd.kubotal.io configs.kubocd.kubotal.io")
    done = here.shell("helm -n flux-system uninstall kubocd-ctrl", code=None)
    assert "no matches for kind" in done.stderr
    here.edit(lambda store: store.delete(found(store, "HelmRelease", "flux-system", "kubocd-controller")))
    here.dump(migrated.printed["delete-crds"].report["next"]["dump"])
    assert "chart-stuck" in here.check().codes


@pytest.mark.slow
def test_a_namespace_that_git_loses_is_not_pushed(migrated: Migrated, tmp_path: Path) -> None:
    """A file with the HelmRelease and its Namespace is removed as a whole."""
    here = migrated.at("remove-controller", tmp_path)
    namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: kubocd}\n"
    here.write(CHART, (here.checkout / CHART).read_text() + namespace)
    here.commit()
    here.shell(f"git rm -q {CHART}")
    done = here.shell(migrated.printed["remove-controller"].script, code=None)
    assert "Flux would delete what the commit removes" in done.stderr
    assert here.harm() == []


@pytest.mark.slow
def test_a_namespace_without_helms_annotations_is_found_in_the_manifest(migrated: Migrated, tmp_path: Path) -> None:
    """Helm deletes what is in its manifest, whatever the annotations say."""
    here = migrated.at("empty-chart", tmp_path)
    here.edit(lambda store: found(store, "Namespace", "", "apps")["metadata"].update(annotations={}))
    here.prepare(migrated.printed["empty-chart"].report["next"])
    done = here.shell(migrated.printed["empty-chart"].script, code=None)
    assert "Helm would delete these namespaces: apps" in done.stderr
    assert here.harm() == []


@pytest.mark.slow
def test_a_commit_that_removes_another_helm_release_is_not_pushed(migrated: Migrated, tmp_path: Path) -> None:
    here = migrated.at("remove-controller", tmp_path)
    other = (
        "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: other, namespace: default}\n"
    )
    here.write(CHART, (here.checkout / CHART).read_text() + f"{other}spec: {{releaseName: other}}\n")
    here.commit()
    here.shell(f"git rm -q {CHART}")
    done = here.shell(migrated.printed["remove-controller"].script, code=None)
    assert "kinds: HelmRelease" in done.stderr
    assert here.harm() == []


@pytest.mark.slow
def test_configs_that_only_the_chart_has_are_not_lost(migrated: Migrated, tmp_path: Path) -> None:
    """Without them, the Releases compile to something else."""
    here = migrated.at("empty-chart", tmp_path)
    here.set_values(extraNamespaces=[], contexts=[], config={"enabled": False}, controller={"replicaCount": 0})
    done = here.shell(migrated.printed["empty-chart"].script, code=None)
    assert done.returncode != 0
    assert here.harm() == []
    assert here.shell("git log origin/main --format=%s -1").stdout != "KuboCD's chart without its namespaces\n"


@pytest.mark.slow
def test_a_commit_that_does_not_empty_the_chart_is_noticed(migrated: Migrated, tmp_path: Path) -> None:
    here = migrated.at("empty-chart", tmp_path)
    done = here.shell(migrated.printed["empty-chart"].script, code=None)
    assert "set these values" in done.stderr
    here.dump()
    assert here.check().step == "empty-chart"


@pytest.mark.slow
def test_the_service_taken_back_by_a_late_upgrade_is_restored(migrated: Migrated, tmp_path: Path) -> None:
    here = migrated.at("delete-releases", tmp_path)
    here.set_values(image={"pullPolicy": "Always"}, controller={"replicaCount": 0})
    here.commit()
    here.dump()
    printed = here.check()
    assert (printed.step, "service-taken-back" in printed.codes) == ("restore-service", True)
    here.shell(printed.script)
    here.dump()
    assert here.check().step == "delete-releases"


def found(store: Store, kind: str, namespace: str, name: str) -> dict[str, Any]:
    one = store.find(kind, namespace, name)
    assert one is not None
    return one


def installed_by_hand(here: Platform) -> None:
    """The chart was installed with helm, so no HelmRelease exists and the release is stored in its own namespace."""
    here.shell(f"git mv {CHART} sources/kubocd.yaml")

    def change(store: Store) -> None:
        store.objects.remove(found(store, "HelmRelease", "flux-system", "kubocd-controller"))
        store.objects.remove(found(store, "OCIRepository", "flux-system", "kubocd-controller"))
        for one in store.of_kind("Kustomization"):
            applied = one.get("status", {}).get("applied", [])
            one.setdefault("status", {})["applied"] = [each for each in applied if each[2] != "kubocd-controller"]
        found(store, "Secret", "flux-system", "sh.helm.release.v1.kubocd-ctrl.v1")["metadata"]["namespace"] = "kubocd"

    here.edit(change, settle=False)
    here.commit()
    here.environment["CHART"] = "oci://quay.io/kubocd/charts/kubocd-ctrl"


def suspended(here: Platform) -> None:
    text = (here.checkout / CHART).read_text()
    here.write(CHART, text.replace("  releaseName:", "  suspend: true\n  releaseName:"))
    here.commit()


def not_pruned(here: Platform) -> None:
    sync = here.checkout / "clusters/prod/flux-system/gotk-sync.yaml"
    sync.write_text(sync.read_text().replace("prune: true", "prune: false"))
    here.commit()


def with_finalizers(here: Platform) -> None:
    """KuboCD's controller, which would remove them, is stopped."""
    here.edit(lambda store: [one["metadata"].update(finalizers=["kubocd.kubotal.io/finalizer"])
                             for one in store.of_kind("Context") if one["metadata"]["name"] == "team"])  # fmt: skip


VARIANTS: dict[str, tuple[Callable[[Platform], object], list[str]]] = {
    "installed by hand": (installed_by_hand, ["keep-objects", "remove-controller", "exclude-contexts", "delete-crds"]),
    "a suspended HelmRelease": (suspended, STEPS[4:]),
    "a Kustomization that does not prune": (not_pruned, STEPS[4:]),
    "finalizers of Contexts": (with_finalizers, STEPS[4:]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_the_last_steps_of_another_installation(migrated: Migrated, tmp_path: Path, name: str) -> None:
    here = migrated.at("keep-objects", tmp_path)
    change, expected = VARIANTS[name]
    change(here)
    assert here.steps() == expected
    assert here.uids() == migrated.uids
    assert helm.stored(here.store, "flux-system", "kubocd-ctrl") is None
    assert not here.store.of_kind("Config", "Context")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kinds", "step"),
    [("Namespace", "dump"), ("CustomResourceDefinition", "dump"), ("ClusterRole,Role", "keep-objects")],
)
def test_a_kind_that_the_user_cant_list_is_reported(migrated: Migrated, tmp_path: Path, kinds: str, step: str) -> None:
    here = migrated.at("keep-objects", tmp_path)
    here.environment["STAND_IN_FORBIDDEN"] = kinds
    here.dump()
    printed = here.check()
    assert printed.step == step
    assert step != "dump" or kinds in printed.report["next"]["title"]
    assert ("kind-missing" in printed.codes) is (step != "dump")


@pytest.mark.slow
def test_a_dump_of_an_earlier_command_is_answered_without_uninstalling(migrated: Migrated, tmp_path: Path) -> None:
    earlier = re.sub(r",customresourcedefinitions.*?(?= -A)", "", DUMP).replace(
        ",contexts.kubocd.kubotal.io,configs.kubocd.kubotal.io", ""
    )
    for step in ("transfer-fields", "keep-objects", "empty-chart", "remove-controller"):
        here = migrated.at(step, tmp_path / step)
        here.dump(earlier)
        printed = here.check()
        assert printed.step == ("transfer-fields" if step == "transfer-fields" else "dump")
        assert printed.report["next"]["dump"] == DUMP


@pytest.mark.parametrize("step", STEPS)
def test_the_page_has_the_commands_that_are_printed(migrated: Migrated, step: str) -> None:
    assert f'```bash title="in the cluster"\n{migrated.printed[step].script}\n```\n' in PAGE


@pytest.mark.slow
def test_going_back_after_the_chart_was_emptied(migrated: Migrated, tmp_path: Path) -> None:
    here = migrated.at("remove-controller", tmp_path)
    here.shell("git revert --no-edit HEAD && git push -q")
    here.edit(lambda store: None)
    assert here.harm() == []
    store = here.store
    assert found(store, "Deployment", "kubocd", "kubocd-ctrl-controller")["spec"]["replicas"] == 1
    assert found(store, "Config", "kubocd", "conf01")
    assert {one["metadata"]["name"] for one in store.of_kind("Namespace")} >= {"apps", "contexts"}


@pytest.mark.slow
@pytest.mark.parametrize("step", ["transfer-fields", "delete-releases", "keep-objects"])
def test_going_back_uninstalls_nothing(migrated: Migrated, tmp_path: Path, step: str) -> None:
    """The guide's commands detach Flux; then the Releases are created again."""
    here = migrated.at(step, tmp_path)
    blocks = re.findall(
        r'^ *```bash title="in the cluster"\n(.*?)^ *```', PAGE.partition("## Going back")[2], re.MULTILINE | re.DOTALL
    )
    here.shell("git rm -q clusters/prod/kcd-gen-kustomizations.yaml && git commit -qm Back && git push -q")
    for block in blocks[1:]:  # the policy is in the cluster since step 2, and the commit has removed the Kustomization
        here.shell(textwrap.dedent(block))
    assert here.store.find("Kustomization", "flux-system", "releases") is None
    assert here.harm() == []
    assert here.uids() == migrated.uids


@pytest.mark.slow
def test_the_programs_of_the_stand_in_refuse_what_they_dont_know(migrated: Migrated, tmp_path: Path) -> None:
    here = migrated.at("keep-objects", tmp_path)
    for command in ("kubectl get namespaces --chunk-size=3", "kubectl get unicorns", "helm -n kubocd get manifest x"):
        done: subprocess.CompletedProcess[str] = here.shell(command, code=None)
        assert done.returncode == 1, command
