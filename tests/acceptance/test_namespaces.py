"""`flux/namespaces.yaml` has the namespaces of Releases that nothing else creates."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.workspace import Outcome, Workspace, files_below, kcd_gen

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n"
SYNC = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: {name}, namespace: flux-system}}
spec:
  interval: 10m
  path: ./{path}
  prune: true
  sourceRef: {{kind: GitRepository, name: flux-system}}
"""
KUBOCD = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: kubocd-ctrl, namespace: flux-system}
spec:
  targetNamespace: kubocd
  install: {createNamespace: true}
  chart:
    spec: {chart: kubocd-ctrl, version: 0.3.1, sourceRef: {kind: HelmRepository, name: kubocd}}
  values:
    extraNamespaces: [{name: apps}, {name: 3}, data]
"""


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def emitted(workspace: Workspace, output: str = "output") -> list[str]:
    """Return the names in `flux/namespaces.yaml`, of which each document must be a Namespace as kcd-gen writes it."""
    path = workspace.root / output / "flux/namespaces.yaml"
    names = []
    for document in yaml.safe_load_all(path.read_text()) if path.exists() else ():
        name = document["metadata"]["name"]
        assert document == {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {"app.kubernetes.io/managed-by": "kcd-gen"},
                "annotations": {
                    "kustomize.toolkit.fluxcd.io/prune": "disabled",
                    "kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent",
                },
            },
        }
        names.append(name)
    assert names == sorted(names)
    listed = yaml.safe_load((workspace.root / output / "flux/kustomization.yaml").read_text()).get("resources", [])
    assert ("namespaces.yaml" in listed) == bool(names)
    assert listed == sorted(listed)
    return names


def project(workspace: Workspace, *clusters: Mapping[str, Any], **fields: object) -> None:
    clusters = clusters or ({"name": "prod", "sources": ["sources"], "output": "output"},)
    value = {
        "apiVersion": "kcd-gen/v1alpha1",
        "kind": "Project",
        "clusters": clusters,
        "packages": {"vendor": "packages"},
        **fields,
    }
    (workspace.root / "kcd-gen.yaml").write_text(yaml.safe_dump(value))


def build(workspace: Workspace, *flags: str) -> Outcome:
    return kcd_gen("build", "--offline", *flags, directory=workspace.root)


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    """Releases in two namespaces that have to be created, and in one that every cluster has."""
    for namespace in ("default", "apps", "data"):
        workspace.release("web", namespace=namespace)
    return workspace


def test_a_build_creates_the_namespaces_of_its_releases_and_prints_them(workspace: Workspace) -> None:
    outcome = workspace.build()
    assert outcome.exit == 0, outcome.text
    assert emitted(workspace) == ["apps", "data"]
    head = 'namespaces that nothing else creates\n  Created Namespace "apps"\n  Created Namespace "data"\n'
    assert outcome.out.startswith(head)
    assert "namespaces that" not in workspace.build().out
    assert 'Unchanged Namespace "apps"' in workspace.build("-v").out
    assert workspace.build("--check").exit == 0


def test_kustomize_builds_the_output(workspace: Workspace) -> None:
    if not (kubectl := shutil.which("kubectl")):
        pytest.skip("kubectl is not installed")
    assert workspace.build().exit == 0
    run = subprocess.run([kubectl, "kustomize", workspace.output / "flux"], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    kinds = [document["kind"] for document in yaml.safe_load_all(run.stdout)]
    assert (kinds.count("Namespace"), kinds.count("HelmRelease")) == (2, 3)


def test_there_is_no_file_if_no_namespace_is_needed(workspace: Workspace) -> None:
    for namespace in ("apps", "data"):
        (workspace.root / f"sources/{namespace}-web.yaml").unlink()
    assert workspace.build().exit == 0
    assert emitted(workspace) == []
    assert "flux/namespaces.yaml" not in files_below(workspace.output)
    assert (workspace.output / ".kcd-gen/shared.list").read_text() == "flux/kustomization.yaml\n"


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "flux-system"])
def test_a_namespace_of_every_cluster_is_not_created(workspace: Workspace, namespace: str) -> None:
    workspace.release("web", namespace=namespace)
    assert workspace.build().exit == 0
    assert emitted(workspace) == ["apps", "data"]


@pytest.mark.parametrize(
    "text",
    [
        NAMESPACE.format("apps"),
        f"---\nkind: ConfigMap\n---\n{NAMESPACE.format('apps')}",
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(NAMESPACE.format("apps"))]}),
    ],
)
def test_a_namespace_in_the_sources_counts(workspace: Workspace, text: str) -> None:
    workspace.source("namespace.yaml", text)
    assert workspace.build().exit == 0
    assert emitted(workspace) == ["data"]


def test_other_documents_with_that_kind_do_not_count(workspace: Workspace) -> None:
    workspace.source("other.yaml", "apiVersion: example.com/v1\nkind: Namespace\nmetadata: {name: apps}\n")
    workspace.source("broken.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: apps\n")
    workspace.source("odd.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: [apps]\n---\nkind: Namespace\n")
    workspace.source("chart/Chart.yaml", "name: chart\n")
    workspace.source("chart/templates/namespace.yaml", NAMESPACE.format("apps"))
    assert workspace.build().exit == 0
    assert emitted(workspace) == ["apps", "data"]


def test_the_chart_of_kubocd_creates_its_namespaces_until_they_are_removed_from_its_values(
    workspace: Workspace,
) -> None:
    workspace.source("kubocd.yaml", KUBOCD)
    workspace.release("own", namespace="kubocd")
    assert workspace.build().exit == 0
    assert emitted(workspace) == ["data"]
    workspace.source("kubocd.yaml", KUBOCD.replace("{name: apps}, ", "").replace("createNamespace: true", ""))
    outcome = workspace.build()
    assert emitted(workspace) == ["apps", "data", "kubocd"]
    assert 'Created Namespace "apps"' in outcome.out


def test_the_project_can_say_that_namespaces_exist(workspace: Workspace) -> None:
    one = {"name": "one", "sources": ["sources"], "output": "one"}
    two = {"name": "two", "sources": ["sources"], "output": "two", "namespaces": "emit"}
    project(workspace, one, two, namespaces="external")
    assert build(workspace).exit == 0
    assert (emitted(workspace, "one"), emitted(workspace, "two")) == ([], ["apps", "data"])
    project(workspace, {**one, "namespaces": "external"}, two)
    assert build(workspace).exit == 0
    assert (emitted(workspace, "one"), emitted(workspace, "two")) == ([], ["apps", "data"])


def test_two_outputs_create_the_same_namespace_with_the_same_content(workspace: Workspace) -> None:
    project(workspace, *({"name": name, "sources": ["sources"], "output": name} for name in ("one", "two")))
    assert build(workspace).exit == 0
    assert (workspace.root / "one/flux/namespaces.yaml").read_bytes() == (
        workspace.root / "two/flux/namespaces.yaml"
    ).read_bytes()


def test_a_namespace_next_to_the_output_counts(workspace: Workspace) -> None:
    write(workspace.root, {"output/server/namespace.yaml": NAMESPACE.format("apps")})
    project(workspace)
    assert build(workspace).exit == 0
    assert emitted(workspace) == ["data"]


def test_a_namespace_elsewhere_counts_if_it_is_not_known_what_flux_applies(workspace: Workspace) -> None:
    project(workspace)
    write(
        workspace.root,
        {
            "infrastructure/apps.yaml": NAMESPACE.format("apps"),
            "charts/x/Chart.yaml": "name: x\n",
            "charts/x/templates/data.yaml": NAMESPACE.format("data"),
        },
    )
    assert build(workspace).exit == 0
    assert emitted(workspace) == ["data"]


def fleet(workspace: Workspace) -> None:
    """A repository with two clusters of Flux, of which `prod` applies the output."""
    project(workspace)
    write(
        workspace.root,
        {
            "clusters/prod/flux-system/gotk-sync.yaml": SYNC.format(name="flux-system", path="clusters/prod"),
            "clusters/prod/releases.yaml": SYNC.format(name="releases", path="output/flux"),
            "clusters/prod/infrastructure.yaml": SYNC.format(name="infrastructure", path="infrastructure/prod"),
            "clusters/staging/flux-system/gotk-sync.yaml": SYNC.format(name="flux-system", path="clusters/staging"),
            "clusters/staging/infrastructure.yaml": SYNC.format(name="infrastructure", path="infrastructure/staging"),
        },
    )


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("clusters/prod/namespaces.yaml", True),
        ("infrastructure/prod/namespaces/all.yaml", True),
        ("clusters/staging/namespaces.yaml", False),
        ("infrastructure/staging/namespaces.yaml", False),
        ("examples/namespaces.yaml", False),
    ],
)
def test_only_what_flux_applies_to_the_same_cluster_counts(workspace: Workspace, path: str, counts: bool) -> None:
    fleet(workspace)
    write(workspace.root, {path: NAMESPACE.format("apps")})
    assert build(workspace).exit == 0
    assert emitted(workspace) == (["data"] if counts else ["apps", "data"])


def test_only_what_kustomizations_list_counts(workspace: Workspace) -> None:
    fleet(workspace)
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    write(
        workspace.root,
        {
            "infrastructure/prod/kustomization.yaml": f"{head}resources: [../base]\n",
            "infrastructure/prod/unlisted.yaml": NAMESPACE.format("data"),
            "infrastructure/base/kustomization.yaml": f"{head}resources: [listed.yaml]\n",
            "infrastructure/base/listed.yaml": NAMESPACE.format("apps"),
        },
    )
    assert build(workspace).exit == 0
    assert emitted(workspace) == ["data"]


def test_an_output_that_a_kustomization_lists_belongs_to_that_cluster(workspace: Workspace) -> None:
    fleet(workspace)
    (workspace.root / "clusters/prod/releases.yaml").unlink()
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    listed = "resources: [flux-system/gotk-sync.yaml, ../../output/flux, namespaces.yaml]\n"
    write(
        workspace.root,
        {
            "clusters/prod/kustomization.yaml": head + listed,
            "clusters/prod/namespaces.yaml": NAMESPACE.format("apps"),
            "clusters/staging/namespaces.yaml": NAMESPACE.format("data"),
        },
    )
    for _ in range(2):  # before and after the output exists
        assert build(workspace).exit == 0
        assert emitted(workspace) == ["data"]


def test_the_last_release_of_a_namespace_takes_it_out_of_the_output(workspace: Workspace) -> None:
    assert workspace.build().exit == 0
    (workspace.root / "sources/data-web.yaml").unlink()
    outcome = workspace.build()
    assert outcome.exit == 0, outcome.text
    assert 'Removed Namespace "data" (Flux keeps it in the cluster)\n' in outcome.out
    assert emitted(workspace) == ["apps"]
    workspace.source("namespace.yaml", NAMESPACE.format("apps"))
    outcome = workspace.build()
    assert 'Removed Namespace "apps" (created by sources/namespace.yaml)\n' in outcome.out
    assert "edited-output" not in outcome.err
    assert emitted(workspace) == []
    assert "flux/namespaces.yaml" not in files_below(workspace.output)


def test_a_selected_release_adds_its_namespace_and_keeps_the_others(workspace: Workspace) -> None:
    assert workspace.build().exit == 0
    workspace.release("new", namespace="more")
    workspace.release("new", namespace="other")
    assert workspace.build("--release", "more/new").exit == 0
    assert emitted(workspace) == ["apps", "data", "more"]
    (workspace.root / "sources/apps-web.yaml").unlink()
    assert workspace.build("--release", "other/new").exit == 0
    assert emitted(workspace) == ["apps", "data", "more", "other"]
    assert workspace.build("--release", "apps/web").exit == 0
    assert emitted(workspace) == ["data", "more", "other"]


def test_a_release_that_fails_or_is_suspended_keeps_its_namespace(workspace: Workspace) -> None:
    assert workspace.build().exit == 0
    workspace.release("web", "parameters: {unknown: 1}", namespace="apps")
    workspace.release("web", "suspended: true", namespace="data")
    workspace.release("broken", "parameters: {unknown: 1}", namespace="never-written")
    assert workspace.build("--keep-going").exit == 1
    assert emitted(workspace) == ["apps", "data"]


def test_check_covers_the_file(workspace: Workspace) -> None:
    assert workspace.build().exit == 0
    path = workspace.output / "flux/namespaces.yaml"
    written = path.read_text()
    path.write_text(written.replace("name: apps", "name: other"))
    assert workspace.build("--check").exit == 3
    path.write_text(written + "# mine\n")
    outcome = workspace.build("--check")
    assert outcome.exit == 3
    assert "output/flux/namespaces.yaml: warning[edited-output]" in outcome.err
    path.unlink()
    assert workspace.build("--check").exit == 3
    assert workspace.build().exit == 0
    assert path.read_text() == written


def test_an_output_of_an_older_version_was_not_edited(workspace: Workspace) -> None:
    project(workspace, namespaces="external")
    assert build(workspace).exit == 0
    project(workspace)
    outcome = build(workspace)
    assert (outcome.exit, outcome.err) == (0, "")
    assert emitted(workspace) == ["apps", "data"]


def test_a_file_that_kcd_gen_did_not_write_is_not_changed(workspace: Workspace) -> None:
    write(workspace.output, {"flux/namespaces.yaml": NAMESPACE.format("mine")})
    outcome = workspace.build()
    assert outcome.exit == 1
    assert "output/flux/namespaces.yaml: error[foreign-file]" in outcome.err
    assert files_below(workspace.output) == {"flux/namespaces.yaml": NAMESPACE.format("mine").encode()}


def test_the_report_lists_the_namespaces(workspace: Workspace) -> None:
    workspace.source("namespace.yaml", NAMESPACE.format("apps"))
    report = json.loads(workspace.build("--format", "json").out)
    assert report["namespaces"] == [
        {"change": None, "cluster": "default", "createdBy": creator, "emitted": False, "name": name}
        if creator
        else {"change": "created", "cluster": "default", "createdBy": None, "emitted": True, "name": name}
        for name, creator in (("apps", "sources/namespace.yaml"), ("data", None), ("default", "Kubernetes"))
    ]


def test_branches_that_add_namespaces_merge(workspace: Workspace) -> None:
    root = workspace.root

    def git(*arguments: str) -> int:
        identity = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "core.fsync=none"]
        return subprocess.run(["git", *identity, *arguments], cwd=root, capture_output=True, check=False).returncode

    def commit(namespace: str) -> None:
        workspace.release("web", namespace=namespace)
        assert workspace.build().exit == 0
        git("add", "-A")
        assert git("commit", "-qm", namespace) == 0

    git("init", "-q", "-b", "main")
    write(root, {".gitignore": "/packages/\n/.cache/\n"})
    commit("data")
    git("switch", "-qc", "other")
    commit("zone")
    git("switch", "-q", "main")
    commit("aaa")
    assert git("merge", "-q", "other") == 0
    assert workspace.build("--check").exit == 0
    assert emitted(workspace) == ["aaa", "apps", "data", "zone"]
    git("switch", "-qc", "third")
    commit("bbb")
    git("switch", "-q", "main")
    commit("ccc")
    assert git("merge", "-q", "third") == 1  # at the same position
    outcome = workspace.build()
    assert outcome.exit == 0
    assert "output/flux/namespaces.yaml: warning[edited-output]: the file contains a merge conflict" in outcome.err
    assert emitted(workspace) == ["aaa", "apps", "bbb", "ccc", "data", "zone"]


def test_diff_shows_namespaces(workspace: Workspace) -> None:
    before = workspace.root.with_name(f"{workspace.root.name}-before")
    shutil.copytree(workspace.root, before)
    project(Workspace(before))
    (workspace.root / "sources/data-web.yaml").unlink()
    workspace.release("web", namespace="more")
    workspace.source("namespace.yaml", NAMESPACE.format("apps"))
    project(workspace)

    def diff(*flags: str) -> Outcome:
        flags = ("--from", str(before), "--allow-outside", str(before), *flags)
        return kcd_gen("diff", *flags, "--offline", directory=workspace.root)

    lines = [
        "- apps: no longer in the output, created by sources/namespace.yaml",
        "- data: no longer in the output; Flux keeps it in the cluster",
        "+ more: created, because nothing else in the checkout creates it",
    ]
    outcome = diff()
    assert outcome.exit == 0, outcome.text
    assert "namespaces:\n  " + "\n  ".join(lines) in outcome.out
    assert "1 namespace is created; 2 namespaces are no longer created" in outcome.out
    assert "#### Namespaces\n\n```diff\n" + "\n".join(lines) in diff("--format", "markdown").out
    assert all(line in diff("--format", "html").out for line in lines)
    assert [
        (one["name"], one["status"], one["createdBy"]) for one in json.loads(diff("--format", "json").out)["namespaces"]
    ] == [
        ("apps", "removed", "sources/namespace.yaml"),
        ("data", "removed", None),
        ("more", "added", None),
    ]


def test_diff_shows_a_namespace_although_no_release_differs(workspace: Workspace) -> None:
    before = workspace.root.with_name(f"{workspace.root.name}-before")
    shutil.copytree(workspace.root, before)
    project(Workspace(before), namespaces="external")
    project(workspace)
    for flags in ([], ["--stat"], ["--format", "markdown"]):
        outcome = kcd_gen(
            *("diff", "--from", str(before), "--allow-outside", str(before), "--exit-code", "--offline", *flags),
            directory=workspace.root,
        )
        assert outcome.exit == 3
        assert ": 2 namespaces are created" in outcome.out


def test_lint_finds_a_target_namespace_that_nothing_creates(workspace: Workspace) -> None:
    workspace.release("web", "targetNamespace: nowhere", namespace="apps")
    workspace.release("web", "targetNamespace: apps", namespace="data")
    workspace.release("one", "targetNamespace: made\ncreateNamespace: true")
    workspace.release("two", "targetNamespace: made")
    flags = ("lint", "--source", "sources", "--vendor", "packages", "--offline")
    outcome = kcd_gen(*flags, directory=workspace.root)
    assert outcome.exit == 1
    assert "sources/apps-web.yaml:6:3: warning[missing-namespace]" in outcome.text
    assert outcome.text.count("missing-namespace") == 1
    assert "missing-namespace" not in kcd_gen(*flags, "--ignore", "missing-namespace", directory=workspace.root).text
    project(workspace, namespaces="external")
    assert "missing-namespace" not in kcd_gen("lint", "--offline", directory=workspace.root).text


def test_a_manifest_that_the_kustomization_of_the_server_does_not_list_creates_nothing(workspace: Workspace) -> None:
    workspace.release("web", namespace="apps")
    write(
        workspace.root,
        {
            "output/server/namespace.yaml": NAMESPACE.format("apps"),
            "output/server/kustomization.yaml": "resources: [service.yaml]\n",
        },
    )
    assert workspace.build().exit == 0
    assert "apps" in emitted(workspace)
    write(workspace.root, {"output/server/kustomization.yaml": "resources: [namespace.yaml]\n"})
    assert workspace.build().exit == 0
    assert "apps" not in emitted(workspace)


def test_diff_counts_the_namespaces_of_the_server_on_both_sides(workspace: Workspace) -> None:
    workspace.release("web", namespace="apps")
    project = (
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    server = {
        "output/server/namespace.yaml": NAMESPACE.format("apps"),
        "kcd-gen.yaml": project,
        ".gitignore": ".cache\n",
    }
    write(workspace.root, server)
    for command in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "one")):
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        subprocess.run(["git", *identity, *command], cwd=workspace.root, check=True, capture_output=True)
    workspace.release("web", "parameters: {replicas: 3}", namespace="apps")
    for flags in (("--ref", "HEAD"), ("--ref", "HEAD", "--cluster", "prod")):
        outcome = kcd_gen("diff", *flags, "--offline", directory=workspace.root)
        assert (outcome.exit, "replicas" in outcome.out) == (0, True), outcome.err
        assert "namespace" not in outcome.out
