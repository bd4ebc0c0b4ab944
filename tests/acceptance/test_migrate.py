"""`kcd-gen migrate check` on the command line: files, standard input, exit codes, report, and the guide's example."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kubocd_gen.migration.commands import DUMP, save_dump
from kubocd_gen.migration.flux import DEFAULT
from kubocd_gen.package_data import schema
from tests.support import cluster
from tests.support.cluster import Object, dumped
from tests.support.workspace import Outcome, Workspace, kcd_gen

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/migration.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ kcd-gen ([^\n]*)\n(.*?)```", PAGE, re.DOTALL)
PACKAGE = {"repository": "registry.example.com/demo/web", "tag": "1.0.0"}


@pytest.fixture
def objects(workspace: Workspace) -> list[Object]:
    """A clean cluster in which Flux has just applied."""
    workspace.release("web")
    assert workspace.build().exit == 0
    documents = cluster.compiled_documents(workspace.output)
    live = [cluster.taken_over(one, cluster.by_kubocd(one)) for one in documents]
    return [cluster.release("default", "web", {"package": PACKAGE}), *live, cluster.kubocd_deployment(0)]


def migrate_check(workspace: Workspace, *arguments: str) -> Outcome:
    where = ("--source", "sources", "--output", "output", "--vendor", "packages", "--offline")
    return kcd_gen("migrate", "check", *where, *arguments, directory=workspace.root)


def test_a_clean_dump_ends_with_the_next_command(workspace: Workspace, objects: list[Object]) -> None:
    (workspace.root / "live.json").write_text(dumped(objects))
    outcome = migrate_check(workspace, "live.json")
    assert (outcome.exit, outcome.err) == (0, "")
    assert "next (step 3 of 8): " in outcome.out
    assert outcome.out.splitlines()[-2] == f"    (umask 077; {DUMP} > live.json)"
    assert outcome.out.splitlines()[-1].endswith("migrate check --source sources --output output --vendor packages "
                                                 "--offline live.json")  # fmt: skip


def test_the_suggested_commands_have_the_given_flags_and_no_dump(workspace: Workspace, objects: list[Object]) -> None:
    live = [cluster.by_kubocd(one) for one in cluster.compiled_documents(workspace.output)]
    stopped = [objects[0], *live, objects[-1]]  # the Release and the Deployment
    (workspace.root / "2").write_text(dumped(stopped))  # a dump that is passed as a flag's value
    where = ("--source", "sources", "--output", "output", "--vendor=packages", "--offline", "-j", "2")
    outcome = kcd_gen("migrate", "check", "2", *where, "2", directory=workspace.root)
    flags = "--source sources --output output --vendor=packages --offline -j 2"
    assert f"  kcd-gen build {flags}\n" in outcome.out
    assert outcome.out.endswith(f"    kcd-gen migrate check {flags} ~/kcd-gen-migration/live.json\n")
    assert "\n    (umask 077; mkdir -p ~/kcd-gen-migration; kubectl get " in outcome.out


@pytest.mark.parametrize("as_yaml", [False, True], ids=["json", "yaml"])
def test_every_way_to_pass_a_dump_gives_the_same_result(
    workspace: Workspace, objects: list[Object], as_yaml: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (dumped(part, as_yaml=as_yaml) for part in (objects[:2], objects[2:]))
    (workspace.root / "whole").write_text(dumped(objects, as_yaml=as_yaml))
    (workspace.root / "one").write_text(one)
    (workspace.root / "two").write_text(two)
    (workspace.root / "both").write_text(f"{one}\n---\n{two}" if as_yaml else one + two)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(dumped(objects, as_yaml=as_yaml).encode())))
    found = [
        migrate_check(workspace, "--format", "json", *files) for files in (["whole"], ["one", "two"], ["both"], ["-"])
    ]
    assert len({one.out for one in found}) == 1
    assert json.loads(found[0].out)["summary"]["live"] == 3


def test_warnings_exit_with_3_and_errors_with_1(workspace: Workspace, objects: list[Object]) -> None:
    release = next(one for one in objects if one["kind"] == "HelmRelease")
    release["spec"]["values"]["replicas"] = 7
    (workspace.root / "live.json").write_text(dumped(objects))
    assert migrate_check(workspace, "live.json").exit == 3
    release["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    (workspace.root / "live.json").write_text(dumped(objects))
    outcome = migrate_check(workspace, "live.json", "--quiet")
    assert (outcome.exit, outcome.out) == (1, "error[object-deleting]: HelmRelease default/web-main is being deleted\n")


def test_the_report_is_valid_by_its_schema(workspace: Workspace, objects: list[Object]) -> None:
    (workspace.root / "live.json").write_text(dumped(objects))
    validator = jsonschema.Draft7Validator(schema("kcd-gen/migration-v1alpha1"))
    report = json.loads(migrate_check(workspace, "live.json", "--format", "json").out)
    validator.validate(report)
    assert (report["next"]["step"], report["summary"]["applied"]) == ("transfer-fields", 3)
    (workspace.root / "live.json").write_text("")
    failed = migrate_check(workspace, "live.json", "--format", "json")
    validator.validate(json.loads(failed.out))
    assert (failed.exit, json.loads(failed.out)["next"]) == (1, None)


def test_errors_in_the_sources_are_reported_instead(workspace: Workspace, objects: list[Object]) -> None:
    (workspace.root / "live.json").write_text(dumped(objects))
    workspace.release("web", "parameters: {replicaz: 2}")
    outcome = migrate_check(workspace, "live.json")
    assert (outcome.exit, outcome.out) == (1, "")
    assert "error[unknown-parameter]" in outcome.err


def test_a_dump_is_of_one_cluster(workspace: Workspace, objects: list[Object]) -> None:
    (workspace.root / "live.json").write_text(dumped(objects))
    clusters = "".join(f"- {{name: {name}, sources: [sources], output: {name}}}\n" for name in ("one", "two"))
    (workspace.root / "kcd-gen.yaml").write_text(
        f"apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {{vendor: packages}}\nclusters:\n{clusters}"
    )
    several = kcd_gen("migrate", "check", "live.json", directory=workspace.root)
    assert (several.exit, several.out) == (2, "")
    assert "--cluster: one, two" in several.err
    assert kcd_gen("migrate", "check", "--cluster", "two", "live.json", directory=workspace.root).exit == 0


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"\n", "it is empty"),
    "a table": (b"NAMESPACE   NAME    REPOSITORY\ndefault     web     x\n", "it is a table"),
    "a table of one namespace": (b"NAME   READY\nweb    True\n", "it is a table"),
    "kubectl's error": (b"error: the server doesn't have a resource type \"hr\"\n", "of kubectl: error: the"),
    "kubectl's refusal": (b"Error from server (Forbidden): no\n", "of kubectl: Error from server (Forbidden)"),
    "a message on top": (b"Unable to connect to the server: x\n{}", "of kubectl: Unable to connect"),
    "a message below": (b'{"kind": "List", "items": []}\nerror: x\n', "live:2: error[bad-dump]: "),
    "cut off": (b'{"apiVersion": "v1", "kind": "List", "items": [', "not valid JSON"),
    "cut off between two objects": (
        b"apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: X\n  metadata:\n    name: x\n",
        "'kind: List'",
    ),
    "cut off in an object": (b"apiVersion: v1\nitems:\n- kind: Release\n  metadata: {uid: 'x\n", "'kind: List'"),
    "cut off before a name": (
        b"apiVersion: v1\nitems:\n- apiVersion: kubocd.kubotal.io/v1alpha1\n  kind: Release\n  metadata:\n",
        "'kind: List'",
    ),
    "UTF-16": ("apiVersion: v1\n".encode("utf-16"), "not valid UTF-8"),
    "a text": (b"hello\n", "it contains no Kubernetes objects"),
    "a list": (b"[1, 2]", "it contains no Kubernetes objects"),
    "items that are none": (b'{"kind": "List", "items": [1]}', "it contains no Kubernetes objects"),
    "a deep nest of JSON": (b"[" * 100_000, "nested too deeply"),
    "a deep nest of YAML": (b"a: " + b"[" * 100_000, "nested more than 100"),
    "a deep spec": (
        b'{"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "x"}, "spec": '
        + b'{"a": ' * 200
        + b"1"
        + b"}" * 201,
        "nested more than 100",
    ),
    "a bomb": (b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + n, 98 + n, b", ".join([b"*%c" % (97 + n)] * 10)) for n in range(8)
    ), "more than 200000 values"),
    "no number": (b'{"kind": "List", "a": NaN}', "'NaN'"),
    "a long number": (b'{"kind": "List", "a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    "a name for the shell": (
        b'{"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "$(reboot)"}}',
        "'$(reboot)'",
    ),
    "a name that is a flag": (
        b'{"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", '
        b'"metadata": {"name": "x", "namespace": "--all"}}',
        "'--all'",
    ),
    "control characters": (b"error: \x1b[31mred\n", r"\x1b[31mred"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_an_invalid_dump_is_an_error(workspace: Workspace, name: str) -> None:
    data, expected = HOSTILE[name]
    workspace.release("web")
    (workspace.root / "live").write_bytes(data)
    outcome = migrate_check(workspace, "live")
    assert outcome.exit == 1
    assert expected in outcome.err
    assert "\x1b" not in outcome.err
    assert outcome.out == ""


ODD: dict[str, Callable[[Object], object]] = {
    "metadata": lambda one: one.update(metadata={"name": "web-main", "namespace": "default", "labels": 1}),
    "managers": lambda one: one["metadata"].update(
        managedFields=[1, {"manager": 2, "fieldsV1": {"f:spec": [], "x": 1}}]
    ),
    "owners": lambda one: one["metadata"].update(ownerReferences=[{"apiVersion": 1, "kind": []}, "x"]),
    "a list for a spec": lambda one: one.update(spec=[]),
    "types in the spec": lambda one: one.update(
        spec={"chart": [], "values": 1, "install": "x", "dependsOn": {"a": 1}, "releaseName": 1, "interval": []}
    ),
    "status": lambda one: one.update(status={"history": {"a": 1}, "conditions": "x", "storageNamespace": 1}),
    "nulls": lambda one: one.update(spec=None, status=None),
    "unknown fields": lambda one: one["spec"].update(brandNew={"interval": "1x"}),
}


@pytest.mark.parametrize("name", ODD)
def test_an_object_of_an_unexpected_shape_is_not_a_defect(
    workspace: Workspace, objects: list[Object], name: str
) -> None:
    ODD[name](next(one for one in objects if one["kind"] == "HelmRelease"))
    for one in objects:
        if one["kind"] == "Deployment":
            one["spec"] = {"replicas": "x", "template": {"spec": {"containers": [1, {"command": "x"}]}}}
    objects += [
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
         "metadata": {"name": "x"}, "webhooks": [{"rules": [{"apiGroups": 1}, 2]}, {"rules": 1}]},
        {"apiVersion": 1, "kind": "x"},
        {},
    ]  # fmt: skip
    (workspace.root / "live.json").write_text(dumped(objects))
    outcome = migrate_check(workspace, "live.json")
    assert outcome.exit in (0, 1, 3)
    assert outcome.err == ""


def test_lists_that_name_their_kind_once_are_read(workspace: Workspace, objects: list[Object]) -> None:
    """As `kubectl get --raw` and the API print them."""
    lists: list[Any] = []
    for one in objects:
        head = {"apiVersion": one.pop("apiVersion"), "kind": f"{one.pop('kind')}List"}
        lists.append({**head, "items": [one]})
    (workspace.root / "live.json").write_text("\n".join(map(json.dumps, lists)))
    assert "3 of 3 compiled resources are applied by Flux; 1 Release" in migrate_check(workspace, "live.json").out


def test_a_missing_dump_file_is_an_error(workspace: Workspace) -> None:
    workspace.release("web")
    outcome = migrate_check(workspace, "live.json")
    assert (outcome.exit, outcome.out) == (1, "")
    assert outcome.err.startswith("live.json: error[bad-dump]: cannot read the dump: No such file")


def test_the_example_of_the_page_is_the_real_output(tmp_path: Path) -> None:
    directory = shutil.copytree(ROOT / "fixtures/quickstart", tmp_path / "quickstart")
    where = ("--source", "cluster", "--vendor", "packages", "--output", "deploy")
    assert kcd_gen("build", *where, directory=directory).exit == 0
    live = [cluster.taken_over(one, cluster.by_kubocd(one)) for one in cluster.compiled_documents(directory / "deploy")]
    lived = next(one for one in live if one["kind"] == "HelmRelease")
    lived["spec"]["maxHistory"] = 3
    lived["spec"]["values"]["replicaCount"] = 2
    owned = lived["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]
    owned["f:maxHistory"] = owned["f:values"]["f:replicaCount"] = {}
    package = {"repository": "quay.io/kubodoc/packages/podinfo", "tag": "6.7.1-p01"}
    rest = [cluster.release("default", "podinfo1", {"package": package}), cluster.kubocd_deployment(0)]
    private = tmp_path / "kcd-gen-migration"
    private.mkdir()
    (private / "live.json").write_text(dumped([*rest, *live, cluster.kustomization()]))
    assert len(CONSOLE) == 1
    for command, printed in CONSOLE:
        words = [word.replace("~", str(tmp_path), 1) for word in shlex.split(command)]  # as a shell does
        outcome = kcd_gen(*words, directory=directory, environment={"HOME": str(tmp_path)})
        assert (outcome.exit, outcome.out, outcome.err) == (3, printed, "")


def test_the_commands_for_going_back_delete_only_the_kustomization(tmp_path: Path) -> None:
    """They wait for the policy before they delete the Kustomization that init server names, and nothing else."""
    stand_in = tmp_path / "kubectl"
    stand_in.write_text(f"#!/bin/sh\nprintf '[%s]' \"$@\" >> {tmp_path}/called; echo >> {tmp_path}/called\n")
    stand_in.chmod(0o755)
    way_back = PAGE.partition("## Going back")[2]
    blocks = re.findall(r'^ *```bash title="in the cluster"\n(.*?)^ *```', way_back, re.MULTILINE | re.DOTALL)
    for shell in ("bash", "sh"):
        (tmp_path / "called").write_text("")
        for block in blocks:
            path = f"{tmp_path}:{os.environ['PATH']}"
            subprocess.run([shell, "-ec", block], env={"PATH": path}, capture_output=True, check=True)
        releases = f"[-n][{DEFAULT[0]}][{{}}][kustomizations.kustomize.toolkit.fluxcd.io/{DEFAULT[1]}]"
        assert (tmp_path / "called").read_text().splitlines() == [
            releases.format("wait") + "[--for=jsonpath={.spec.deletionPolicy}=Orphan][--timeout=15m]",
            releases.format("delete") + "[--ignore-not-found]",
            "[get][helmreleases,helmrepositories,ocirepositories][-A][-l][app.kubernetes.io/managed-by=kcd-gen]",
        ]
    written = (ROOT / "templates/server/flux.yaml.j2").read_text(encoding="utf-8")
    assert "  deletionPolicy: Orphan" in written


def test_the_page_has_the_command_that_is_printed() -> None:
    command = save_dump(DUMP, "~/kcd-gen-migration/live.json")
    assert f"\n    {command}\n    kcd-gen migrate check ~/kcd-gen-migration/live.json\n" in PAGE
    assert f"```bash\n{command}\n```" in (ROOT / "docs/how-to/from-the-controller.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("checkout", "given", "suggested"),
    [
        ("", "live.json", "live.json"),
        ("", "a b.json", "'a b.json'"),
        ("", "{home}/dumps/live.json", "~/dumps/live.json"),
        (".git", "live.json", "~/kcd-gen-migration/live.json"),
        (".git", "{home}/dumps/live.json", "~/dumps/live.json"),
    ],
)
def test_the_next_dump_is_not_in_the_checkout(
    workspace: Workspace, objects: list[Object], tmp_path: Path, checkout: str, given: str, suggested: str
) -> None:
    if checkout:
        (workspace.root / checkout).mkdir()
    home = tmp_path.parent / f"{tmp_path.name}-home"
    (home / "dumps").mkdir(parents=True)
    file = workspace.root / given.format(home=home)
    file.write_text(dumped(objects))
    where = ("--source", "sources", "--output", "output", "--vendor", "packages", "--offline")
    environment = {"HOME": str(home)}
    given = given.format(home=home)
    outcome = kcd_gen("migrate", "check", *where, given, directory=workspace.root, environment=environment)
    assert outcome.out.splitlines()[-1].endswith(f" --offline {suggested}")
    assert outcome.out.splitlines()[-2].endswith(f" > {suggested})")


def test_a_dump_in_the_checkout_is_reported(workspace: Workspace, objects: list[Object]) -> None:
    (workspace.root / "live.json").write_text(dumped(objects))
    assert "dump-in-checkout" not in migrate_check(workspace, "live.json").out
    (workspace.root / ".git").mkdir()
    assert "note[dump-in-checkout]: the dump contains secrets" in migrate_check(workspace, "live.json").out


def test_a_cluster_is_migrated_to_a_chart_server(workspace: Workspace, objects: list[Object]) -> None:
    (workspace.root / "live.json").write_text(dumped(objects))
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        "clusters: [{name: prod, sources: [sources], output: output, delivery: git}]\n"
    )
    outcome = kcd_gen("migrate", "check", "live.json", directory=workspace.root)
    assert outcome.exit == 1
    assert "error[other-delivery]: the dump is compared with `delivery: server`" in outcome.out
    assert "next: fix the errors above first" in outcome.out
