"""How charts reach Flux in each mode of `delivery`, with a real registry, git and helm."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from kubocd_gen.helm.process import find_helm
from tests.support.images import chart_archive, package_layer, write_layout
from tests.support.registry import Running, run_registry, skopeo
from tests.support.workspace import WEB, WEB_MANIFEST, Workspace, files_below, kcd_gen

REPOSITORY = "oci://registry.example.com/charts"
GIT, ARTIFACT = ("--delivery", "git"), ("--delivery", "artifact")
OCI = ("--delivery", "oci", "--chart-repository", REPOSITORY)
SOURCE = {"kind": "GitRepository", "name": "flux-system", "namespace": "flux-system"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def written(workspace: Workspace, name: str = "web") -> list[dict[str, Any]]:
    text = (workspace.output / f"flux/default/{name}.yaml").read_text()
    return list(yaml.safe_load_all(text))


def built(workspace: Workspace, *flags: str) -> list[dict[str, Any]]:
    outcome = workspace.build(*flags)
    assert outcome.exit == 0, outcome.err
    return written(workspace)


def kinds(documents: list[dict[str, Any]]) -> list[str]:
    return [f"{one['kind']}/{one['metadata']['name']}" for one in documents]


def git(directory: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


def with_charts(workspace: Workspace, manifest: str, charts: dict[str, tuple[str, str, bytes]]) -> None:
    """Make the package `WEB` of a manifest with the chart (name, version, an arbitrary file) of each module."""
    status: dict[str, Any] = {"apiVersion": "v1alpha1", "chartByModule": {}}
    archives = {}
    for module, (name, version, content) in charts.items():
        status["chartByModule"][module] = {"name": name, "version": version}
        meta = f"apiVersion: v2\nname: {name}\nversion: {version}\n".encode()
        archives[f"{name}-{version}.tgz"] = chart_archive({f"{name}/Chart.yaml": meta, f"{name}/README.md": content})
    workspace.layers[WEB] = package_layer(manifest, yaml.safe_dump(status), archives)
    write_layout(workspace.root / "packages", workspace.layers)


def modules(*names: str) -> str:
    lines = "".join(f"  - name: {name}\n    source: {{local: {{path: x}}}}\n" for name in names)
    return f"apiVersion: v1alpha1\nname: web\ntag: 1.0.0\nmodules:\n{lines}"


# git


def test_with_git_a_helm_release_takes_the_archive_from_the_git_repository(workspace: Workspace) -> None:
    workspace.release("web")
    (release,) = built(workspace, *GIT)
    path = "./output/hr/default/web/main-1.0.0.tgz"
    assert release["spec"]["chart"]["spec"] == {"chart": path, "interval": "5m0s", "sourceRef": SOURCE}
    assert "chartRef" not in release["spec"]
    assert set(files_below(workspace.output)) == {
        ".kcd-gen/default/web.list",
        ".kcd-gen/shared.list",
        "flux/default/web.yaml",
        "flux/kustomization.yaml",
        "hr/default/web/main-1.0.0.tgz",
    }


def test_the_path_begins_at_the_root_of_the_git_repository_in_a_subdirectory_and_in_revisions(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "platform/team")
    workspace.package()
    workspace.release("web")
    git(tmp_path, "init", "-q", "-b", "main")
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\ndelivery: git\npackages: {vendor: packages}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    assert kcd_gen("build", "--offline", directory=workspace.root).exit == 0
    (release,) = written(workspace)
    path = "./platform/team/output/hr/default/web/main-1.0.0.tgz"
    assert release["spec"]["chart"]["spec"]["chart"] == path
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    outcome = kcd_gen("diff", "--ref", "HEAD", "--offline", "--exit-code", directory=workspace.root)
    assert (outcome.exit, outcome.err) == (0, "")


def test_an_output_outside_of_any_repository_is_an_error_with_git(workspace: Workspace, tmp_path: Path) -> None:
    workspace.release("web")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    where = ("--source", "sources", "--output", str(elsewhere), "--vendor", "packages", "--offline")
    outcome = kcd_gen("build", *where, *GIT, directory=workspace.root)
    assert outcome.exit == 1
    assert "error[no-repository]" in outcome.err
    assert not elsewhere.exists()


def test_another_flux_source_can_be_set(workspace: Workspace) -> None:
    workspace.release("web")
    (release,) = built(workspace, *GIT, "--flux-source", "Bucket/apps/fleet")
    assert release["spec"]["chart"]["spec"]["sourceRef"] == {"kind": "Bucket", "name": "fleet", "namespace": "apps"}


# oci


def test_with_oci_each_chart_is_an_oci_repository_pinned_by_digest(workspace: Workspace) -> None:
    workspace.release("web")
    repository, release = built(workspace, *OCI)
    assert kinds([repository, release]) == ["OCIRepository/kcd-web-main", "HelmRelease/web-main"]
    spec = repository["spec"]
    assert spec["url"] == "oci://registry.example.com/charts/main"
    assert spec["layerSelector"] == {
        "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "operation": "copy",
    }
    assert set(spec["ref"]) == {"tag", "digest"}
    assert release["spec"]["chartRef"] == {"kind": "OCIRepository", "name": "kcd-web-main"}
    assert "chart" not in release["spec"]
    assert not (workspace.output / "hr").exists()


def test_modules_share_a_chart_and_versions_of_a_chart_have_their_own_names(workspace: Workspace) -> None:
    workspace.release("web")
    with_charts(
        workspace,
        modules("a", "b", "c"),
        {"a": ("x", "1.0.0", b""), "b": ("x", "1.0.0", b""), "c": ("z", "2.0.0", b"")},
    )
    assert kinds(built(workspace, *OCI))[:2] == ["OCIRepository/kcd-web-x", "OCIRepository/kcd-web-z"]
    with_charts(workspace, modules("a", "b"), {"a": ("x", "1.0.0", b""), "b": ("x", "2.0.0", b"")})
    documents = built(workspace, *OCI)
    assert kinds(documents)[:2] == ["OCIRepository/kcd-web-x-1-0-0", "OCIRepository/kcd-web-x-2-0-0"]
    assert [one["spec"]["chartRef"]["name"] for one in documents[2:]] == ["kcd-web-x-1-0-0", "kcd-web-x-2-0-0"]


@pytest.fixture
def plain(registry: Running, workspace: Workspace) -> Workspace:
    """A project whose charts go to the registry, which speaks plain HTTP."""
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\ndelivery: oci\npackages: {vendor: packages}\n"
        f"chartRepository: {{url: 'oci://{registry.host}/{workspace.root.name}/charts', insecure: true}}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    workspace.release("web")
    return workspace


def test_pushed_charts_are_what_helm_pulls_and_a_second_push_sends_nothing(
    registry: Running, plain: Workspace, tmp_path: Path
) -> None:
    outcome = kcd_gen("build", "--push-charts", directory=plain.root)
    assert outcome.exit == 0, outcome.err
    repository, _ = written(plain)
    tag, digest = repository["spec"]["ref"]["tag"], repository["spec"]["ref"]["digest"]
    name = repository["spec"]["url"].removeprefix("oci://")
    assert f"Pushed {name}:{tag}" in outcome.out
    manifest = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}:{tag}", home=tmp_path)
    assert f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}" == digest
    (tmp_path / "pulled").mkdir()
    pull = ("pull", f"oci://{name}", "--version", tag, "--plain-http", "-d", str(tmp_path / "pulled"))
    subprocess.run([find_helm(None), *pull], check=True, capture_output=True)
    (archive,) = (tmp_path / "pulled").iterdir()
    assert kcd_gen("build", "--delivery", "git", "--output", "served", directory=plain.root).exit == 0
    assert archive.read_bytes() == (plain.root / "served/hr/default/web/main-1.0.0.tgz").read_bytes()
    lock = yaml.safe_load((plain.root / "kcd-gen.lock").read_text())
    assert lock["charts"] == {f"{name}:{tag}": digest}
    before = len(registry.requests())
    again = kcd_gen("build", "--push-charts", "--format", "json", directory=plain.root)
    assert {request.split()[0] for request in registry.requests()[before:]} == {"HEAD"}
    assert json.loads(again.out)["charts"] == [{"reference": f"{name}:{tag}", "digest": digest, "change": "unchanged"}]


def test_charts_that_were_not_pushed_are_a_warning_and_an_error_with_locked(plain: Workspace) -> None:
    outcome = kcd_gen("build", "--offline", directory=plain.root)
    assert outcome.exit == 0
    assert "warning[charts-not-pushed]" in outcome.err
    locked = kcd_gen("lock", "--offline", directory=plain.root)
    assert locked.exit == 0, locked.err
    outcome = kcd_gen("build", "--offline", "--locked", "--check", directory=plain.root)
    assert (outcome.exit, "error[charts-not-pushed]" in outcome.err) == (1, True)
    assert kcd_gen("build", "--push-charts", directory=plain.root).exit == 0
    assert kcd_gen("build", "--offline", "--locked", "--check", directory=plain.root).exit == 0
    before = (plain.root / "kcd-gen.lock").read_bytes()
    assert kcd_gen("lock", "--offline", directory=plain.root).exit == 0
    assert (plain.root / "kcd-gen.lock").read_bytes() == before


def test_other_bytes_of_the_same_version_are_pushed_next_to_the_first(plain: Workspace) -> None:
    tags = []
    for content in (b"one", b"two"):
        with_charts(plain, modules("main"), {"main": ("main", "1.0.0", content)})
        assert kcd_gen("build", "--push-charts", directory=plain.root).exit == 0
        tags.append(written(plain)[0]["spec"]["ref"]["tag"])
    name = written(plain)[0]["spec"]["url"].removeprefix("oci://")
    listed = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{name}", home=plain.root))["Tags"]
    assert sorted(listed) == sorted(tags)
    assert len(set(tags)) == 2
    lock = yaml.safe_load((plain.root / "kcd-gen.lock").read_text())
    assert list(lock["charts"]) == [f"{name}:{tags[1]}"]


def test_a_failed_push_writes_nothing(plain: Workspace) -> None:
    text = (plain.root / "kcd-gen.yaml").read_text()
    (plain.root / "kcd-gen.yaml").write_text(text.replace("insecure: true", "insecure: false"))
    outcome = kcd_gen("build", "--push-charts", directory=plain.root)
    assert outcome.exit == 4
    assert not plain.output.exists()
    assert not (plain.root / "kcd-gen.lock").exists()


def test_pushing_needs_a_cluster_with_oci_and_a_build_that_writes(plain: Workspace, workspace: Workspace) -> None:
    assert kcd_gen("build", "--push-charts", "--check", directory=plain.root).exit == 2
    outcome = kcd_gen("build", "--push-charts", "--delivery", "server", directory=plain.root)
    assert (outcome.exit, "no cluster delivers charts" in outcome.err) == (2, True)


# artifact


def test_with_artifact_a_generator_extracts_the_charts_from_the_package(workspace: Workspace) -> None:
    workspace.release("web")
    with_charts(workspace, modules("a", "b"), {"a": ("x", "1.0.0", b""), "b": ("Y_z", "2.0.0+1", b"")})
    documents = built(workspace, *ARTIFACT)
    image, generator, *releases = documents
    assert kinds(documents) == [
        "OCIRepository/kcd-web",
        "ArtifactGenerator/kcd-web",
        "HelmRelease/web-a",
        "HelmRelease/web-b",
    ]
    assert image["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"].startswith("sha256:")
    assert generator["apiVersion"] == "source.extensions.fluxcd.io/v1beta1"
    copies = {one["name"]: one["copy"] for one in generator["spec"]["artifacts"]}
    assert copies["kcd-web-x-1-0-0"] == [{"from": "@package/x-1.0.0.tgz", "to": "@artifact/", "strategy": "Extract"}]
    assert sorted(copies) == ["kcd-web-x-1-0-0", "kcd-web-y-z-2-0-0-1"]
    assert [one["spec"]["chartRef"] for one in releases] == [
        {"kind": "ExternalArtifact", "name": "kcd-web-x-1-0-0"},
        {"kind": "ExternalArtifact", "name": "kcd-web-y-z-2-0-0-1"},
    ]


# Patches


@pytest.mark.parametrize("flags", [GIT, OCI, ARTIFACT], ids=["git", "oci", "artifact"])
def test_fields_that_a_mode_cannot_express_are_errors(workspace: Workspace, flags: tuple[str, ...]) -> None:
    patch = """
        moduleOverrides:
        - module: main
          specPatch: {chart: {spec: %s}}
        """
    workspace.release("web", patch % "{valuesFiles: [values-prod.yaml]}")
    outcome = workspace.build(*flags)
    assert (outcome.exit, "error[undeliverable-field]" in outcome.err) == (1, True)
    workspace.release("web", patch % "{version: '>=1.0.0'}")
    outcome = workspace.build(*flags)
    assert (outcome.exit, "error[chart-not-in-package]" in outcome.err) == (1, True)


@pytest.mark.parametrize("flags", [GIT, OCI, ARTIFACT], ids=["git", "oci", "artifact"])
def test_a_chart_from_elsewhere_is_left_alone(workspace: Workspace, flags: tuple[str, ...]) -> None:
    workspace.release(
        "web",
        """
        moduleOverrides:
        - module: main
          specPatch: {chart: {spec: {chart: other, version: 1.x, sourceRef: {name: bitnami, namespace: apps}}}}
        """,
    )
    release = built(workspace, *flags)[-1]
    assert release["spec"]["chart"]["spec"]["chart"] == "other"
    assert release["spec"]["chart"]["spec"]["sourceRef"]["name"] == "bitnami"


@pytest.mark.parametrize("flags", [(), GIT, OCI, ARTIFACT], ids=["server", "git", "oci", "artifact"])
def test_a_patch_can_refer_to_a_source_of_charts(workspace: Workspace, flags: tuple[str, ...]) -> None:
    workspace.release(
        "web",
        """
        moduleOverrides:
        - module: main
          specPatch: {chart: null, chartRef: {kind: OCIRepository, name: other}}
        """,
    )
    release = built(workspace, *flags)[-1]
    assert release["spec"]["chartRef"] == {"kind": "OCIRepository", "name": "other"}
    assert "chart" not in release["spec"]


# Suspended Releases


@pytest.mark.parametrize("flags", [GIT, OCI, ARTIFACT], ids=["git", "oci", "artifact"])
def test_a_suspended_release_keeps_its_charts_through_a_new_package(
    workspace: Workspace, flags: tuple[str, ...]
) -> None:
    workspace.release("web")
    before = built(workspace, *flags)
    charts = files_below(workspace.output / "hr")
    workspace.release("web", "suspended: true\n")
    with_charts(workspace, WEB_MANIFEST, {"main": ("main", "2.0.0", b"")})
    assert built(workspace, *flags) == before
    assert files_below(workspace.output / "hr") == charts
    workspace.release("web")
    after = built(workspace, *flags)
    assert after != before


def test_a_changed_source_of_a_suspended_release_is_refused(workspace: Workspace) -> None:
    workspace.release("web")
    built(workspace, *OCI)
    workspace.release("web", "suspended: true\n")
    path = workspace.output / "flux/default/web.yaml"
    (workspace.output / ".kcd-gen/default/web.list").unlink()
    text = path.read_text()
    for old, new in (
        ("registry.example.com/charts/main", "evil.example.com/charts/main"),
        ("operation: copy", "operation: extract"),
        ("name: kcd-web-main\n  namespace", "name: kcd-other-main\n  namespace"),
        ("    name: kcd-web-main\n", "    name: kcd-web-none\n"),
        ("  url:", "  insecure: true\n  url:"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        outcome = workspace.build(*OCI)
        assert (outcome.exit, "error[suspended-output]" in outcome.err) == (1, True), (old, outcome.err)


def test_changing_the_delivery_of_a_suspended_release_is_refused(workspace: Workspace) -> None:
    workspace.release("web")
    ways = [(), GIT, OCI, ARTIFACT]
    for old in ways:
        for new in ways:
            if old == new:
                continue
            workspace.release("web")
            assert workspace.build(*old).exit == 0
            workspace.release("web", "suspended: true\n")
            outcome = workspace.build(*new)
            assert (outcome.exit, "error[suspended-output]" in outcome.err) == (1, True), (old, new)


# The project file


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("delivery: oci", "missing-field"),
        ("delivery: git\ncharts: separate", "invalid-value"),
        ("delivery: git\nfluxSource: OCIRepository/flux-system/flux-system", "invalid-value"),
        ("delivery: artifact\nemitOCIRepository: false", "invalid-value"),
        ("delivery: helm", "invalid-value"),
        ("fluxSource: flux-system", "invalid-value"),
        ("chartRepository: {url: 'https://registry.example.com/charts'}", "invalid-value"),
        ("chartRepository: {url: 'oci://registry.example.com/Charts'}", "invalid-value"),
        ("chartRepository: {url: 'oci://registry.example.com/charts:1'}", "invalid-value"),
        ("chartRepository: {url: 'oci://registry.example.com/charts', password: x}", "unknown-field"),
    ],
)
def test_contradictions_in_the_project_file_are_errors(workspace: Workspace, lines: str, code: str) -> None:
    workspace.release("web")
    (workspace.root / "kcd-gen.yaml").write_text(
        f"apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {{vendor: packages}}\n{lines}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    outcome = kcd_gen("build", "--offline", directory=workspace.root)
    assert outcome.exit == 1
    assert f"error[{code}]" in outcome.err
    assert "kcd-gen.yaml:" in outcome.err


def test_a_cluster_overrides_the_delivery_of_the_project(workspace: Workspace) -> None:
    workspace.release("web")
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\ndelivery: git\nclusters:\n"
        "- {name: prod, sources: [sources], output: output}\n"
        "- {name: edge, sources: [sources], output: edge, delivery: oci, chartRepository: {url: 'oci://r.example.com/c'}}\n"
        "- {name: old, sources: [sources], output: old, delivery: server}\n"
    )
    assert kcd_gen("build", "--offline", directory=workspace.root).exit == 0
    found = [
        sorted({one["kind"] for one in yaml.safe_load_all((workspace.root / path).read_text())})
        for path in ("output/flux/default/web.yaml", "edge/flux/default/web.yaml", "old/flux/default/web.yaml")
    ]
    assert found == [
        ["HelmRelease"],
        ["HelmRelease", "OCIRepository"],
        ["HelmRelease", "HelmRepository", "OCIRepository"],
    ]


def test_a_new_chart_version_is_shown_by_diff_in_every_mode(workspace: Workspace) -> None:
    git(workspace.root, "init", "-q", "-b", "main")
    (workspace.root / ".gitignore").write_text(".cache\n")
    for number, flags in enumerate(("git", "oci", "artifact")):
        text = (
            "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
            f"delivery: {flags}\nchartRepository: {{url: '{REPOSITORY}'}}\n"
            "clusters: [{name: prod, sources: [sources], output: output}]\n"
        )
        (workspace.root / "kcd-gen.yaml").write_text(text)
        workspace.release("web")
        workspace.package()
        git(workspace.root, "add", "-A")
        git(workspace.root, "commit", "-qm", f"one {number}", "--allow-empty")
        with_charts(workspace, WEB_MANIFEST, {"main": ("main", "3.0.0", b"")})
        outcome = kcd_gen("diff", "--ref", "HEAD", "--offline", directory=workspace.root)
        assert outcome.exit == 0, outcome.err
        assert "the major version of the chart 'main' changes, from 1.0.0 to 3.0.0" in outcome.out, outcome.out


# What keeps Flux from getting the charts


@pytest.fixture
def in_git(tmp_path: Path) -> Workspace:
    """A checkout with `delivery: git` whose Flux applies the output."""
    workspace = Workspace(tmp_path)
    workspace.package()
    workspace.release("web")
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\ndelivery: git\npackages: {vendor: packages}\n"
        "clusters: [{name: prod, sources: [sources], output: deploy/prod}]\n"
    )
    assert kcd_gen("init", "server", directory=tmp_path).exit == 0
    return workspace


def flux(workspace: Workspace, text: str) -> None:
    path = workspace.root / "clusters/prod/flux-system/gotk-sync.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


SYNC = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {{name: {name}, namespace: flux-system}}
spec:
  interval: 1m
  url: https://git.example.com/platform
  ignore: |
    # charts
    {ignore}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: apps, namespace: flux-system}}
spec: {{interval: 10m, path: ./deploy/prod/flux, prune: true, sourceRef: {{kind: GitRepository, name: {name}}}}}
"""


def test_a_checkout_that_flux_can_read_has_no_problems(in_git: Workspace) -> None:
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert (outcome.exit, outcome.err) == (0, "")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (".gitignore", "# local\n*.tgz\n", ".gitignore:2:1: error[chart-not-in-git]: the pattern '*.tgz'"),
        ("deploy/.gitignore", "hr/\n", "deploy/.gitignore:1:1: error[chart-not-in-git]: the pattern 'hr/'"),
        (".gitattributes", "*.tgz filter=lfs diff=lfs -text\n", ".gitattributes: error[chart-not-in-git]: Git LFS"),
        (".sourceignore", "/deploy/*/hr\n", ".sourceignore:1:1: warning[chart-ignored-by-flux]: the pattern"),
        ("deploy/prod/.sourceignore", "\n*.tgz\n", "deploy/prod/.sourceignore:2:1: warning[chart-ignored-by-flux]"),
    ],
)
def test_rules_that_leave_charts_out_are_reported_with_their_line(
    in_git: Workspace, name: str, text: str, message: str
) -> None:
    path = in_git.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert message in outcome.err, outcome.err
    assert outcome.exit == (1 if "error[" in message else 0)


def test_rules_that_keep_the_charts_are_no_problem(in_git: Workspace) -> None:
    (in_git.root / ".gitignore").write_text("*.tgz\n!/deploy/prod/hr/**\n")
    (in_git.root / ".sourceignore").write_text("/deploy/prod/hr/\n/docs/\n")
    assert kcd_gen("init", "server", directory=in_git.root).exit == 0
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert (outcome.exit, outcome.err) == (0, "")


def test_the_hint_for_an_ignored_chart_works(in_git: Workspace) -> None:
    rules = in_git.root / ".gitignore"
    rules.write_text("*.tgz\n")
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    found = re.search(r"add '(.*)' at the end of .gitignore", outcome.err)
    assert found, outcome.err
    rules.write_text(f"*.tgz\n{found[1]}\n")
    assert kcd_gen("build", "--offline", directory=in_git.root).exit == 0
    rules.write_text("hr/\n")  # Git includes no file of an ignored directory again
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert "chart-not-in-git" in outcome.err
    assert "at the end of .gitignore" not in outcome.err


@pytest.mark.parametrize("kind", ["large", "directory", "fifo"])
def test_rules_of_flux_that_cannot_be_read_are_a_warning(in_git: Workspace, kind: str) -> None:
    path = in_git.root / ".sourceignore"
    path.unlink(missing_ok=True)
    if kind == "large":
        path.write_bytes(b"#" * (2 << 20))
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert outcome.exit == 0, outcome.err
    assert ".sourceignore: warning[unreadable-source]" in outcome.err


def test_rules_of_the_git_repository_object_come_after_those_of_the_files(in_git: Workspace) -> None:
    flux(in_git, SYNC.format(name="flux-system", ignore="/deploy/prod/hr"))
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert "gotk-sync.yaml:7:3: warning[chart-ignored-by-flux]: the pattern '/deploy/prod/hr'" in outcome.err
    (in_git.root / ".sourceignore").write_text("/deploy/prod/hr/\n")
    flux(in_git, SYNC.format(name="flux-system", ignore="!/deploy/prod/hr/"))
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert (outcome.exit, outcome.err) == (0, "")


def test_another_source_of_the_output_is_reported(in_git: Workspace) -> None:
    flux(in_git, SYNC.format(name="fleet", ignore="/docs"))
    (in_git.root / "deploy/prod/cluster").rename(in_git.root / "unused")
    (in_git.root / "unused/kcd-gen-kustomizations.yaml").unlink()
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert "warning[other-flux-source]" in outcome.err
    assert "set 'fluxSource: GitRepository/flux-system/fleet'" in outcome.err


def test_another_source_is_reported_if_the_output_is_the_root_of_the_repository(in_git: Workspace) -> None:
    sync = SYNC.format(name="fleet", ignore="/docs").replace("./deploy/prod/flux", "./flux")
    flux(in_git, sync)
    project = in_git.root / "kcd-gen.yaml"
    project.write_text(project.read_text().replace("output: deploy/prod", "output: ."))
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert (outcome.exit, "warning[other-flux-source]" in outcome.err) == (0, True), outcome.err


@pytest.mark.parametrize("source", ["GitRepository/apps/fleet", "Bucket/apps/fleet"])
def test_the_removal_of_a_protected_release_names_charts_that_go_with_it(in_git: Workspace, source: str) -> None:
    in_git.release("web", "protected: true\n")
    flags = ("--offline", "--flux-source", source)
    assert kcd_gen("build", *flags, directory=in_git.root).exit == 0
    (in_git.root / "sources/default-web.yaml").unlink()
    outcome = kcd_gen("build", *flags, "--allow-removals", "all", directory=in_git.root)
    assert "error[protected-removal]" in outcome.err
    assert "where Flux then does not find its charts" in outcome.err


def test_references_that_flux_refuses_are_reported(in_git: Workspace) -> None:
    patch = in_git.root / "clusters/prod/flux-system/kustomization.yaml"
    patch.parent.mkdir(parents=True)
    patch.write_text("patches:\n- patch: |\n    - {op: add, path: /x, value: --no-cross-namespace-refs=true}\n")
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert "warning[cross-namespace-source]: clusters/prod/flux-system/kustomization.yaml turns on" in outcome.err


def test_missing_features_of_flux_are_reported_with_artifact(in_git: Workspace) -> None:
    path = in_git.root / "clusters/prod/flux-system/gotk-components.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("metadata: {labels: {app.kubernetes.io/component: helm-controller}}\n")
    text = (in_git.root / "kcd-gen.yaml").read_text()
    (in_git.root / "kcd-gen.yaml").write_text(text.replace("delivery: git", "delivery: artifact"))
    outcome = kcd_gen("build", "--offline", directory=in_git.root)
    assert outcome.err.count("gotk-components.yaml: warning[missing-feature-gate]") == 2
    path.write_text(path.read_text() + "# --feature-gates=ExternalArtifact=true, source-watcher\n")
    assert kcd_gen("build", "--offline", directory=in_git.root).err == ""


def test_lint_says_what_a_mode_costs(workspace: Workspace) -> None:
    workspace.release("web")
    status = "apiVersion: v1alpha1\nchartByModule: {main: {name: main, version: 1.0.0}}\n"
    meta = b"apiVersion: v2\nname: main\nversion: 1.0.0\n"
    files = {"main/Chart.yaml": meta, "main/templates/a.yaml": b"# {{ .Chart.Version }}\n"}
    workspace.layers[WEB] = package_layer(WEB_MANIFEST, status, {"main-1.0.0.tgz": chart_archive(files)})
    write_layout(workspace.root / "packages", workspace.layers)
    for flags, expected in (((), False), (GIT, False), (OCI, True), (ARTIFACT, True)):
        where = ("--source", "sources", "--vendor", "packages", "--offline")
        outcome = kcd_gen("lint", *where, *flags, directory=workspace.root)
        assert ("note[chart-version-suffix]" in outcome.out) == expected, outcome.err
    with (
        mock.patch("kubocd_gen.pipeline.delivery_checks._LARGEST_CHART", 100),
        mock.patch("kubocd_gen.pipeline.delivery_checks._LARGE_ARTIFACT", 100),
    ):
        for flags, codes in (((), ["large-chart"]), (GIT, ["large-artifact", "large-chart"]), (OCI, [])):
            outcome = kcd_gen("lint", *where, *flags, directory=workspace.root)
            assert sorted(re.findall(r"note\[(large-[a-z]+)\]", outcome.out)) == codes


@pytest.mark.parametrize("flags", [GIT, OCI, ARTIFACT], ids=["git", "oci", "artifact"])
def test_commands_of_the_chart_server_refuse_a_cluster_without_one(
    workspace: Workspace, flags: tuple[str, ...]
) -> None:
    workspace.release("web")
    where = ("--source", "sources", "--vendor", "packages", "--offline")
    image = ("image", "--base", "oci:none", "--output", "made")
    for command in (image, ("serve", "--watch", "--output", "output", "--port", "0")):
        outcome = kcd_gen(*command, *where, *flags, directory=workspace.root)
        assert (outcome.exit, "error[no-chart-server]" in outcome.err) == (1, True), outcome.err


@pytest.mark.parametrize(
    ("mode", "effect", "resources"),
    [
        ("git", "nothing is upgraded", ["- OCIRepository kcd-web", "- HelmRepository kcd-web"]),
        ("oci", "each HelmRelease is upgraded once", ["+ OCIRepository kcd-web-main", "- HelmRepository kcd-web"]),
        ("artifact", "each HelmRelease is upgraded once", ["- HelmRepository kcd-web", "+ ArtifactGenerator kcd-web"]),
    ],
)
def test_diff_says_what_another_delivery_means(
    workspace: Workspace, mode: str, effect: str, resources: list[str]
) -> None:
    text = (
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\ndelivery: server\n"
        f"chartRepository: {{url: '{REPOSITORY}'}}\nclusters: [{{name: prod, sources: [sources], output: output}}]\n"
    )
    workspace.release("web")
    (workspace.root / "kcd-gen.yaml").write_text(text)
    (workspace.root / ".gitignore").write_text(".cache\n")
    git(workspace.root, "init", "-q", "-b", "main")
    git(workspace.root, "add", "-A")
    git(workspace.root, "commit", "-qm", "one")
    (workspace.root / "kcd-gen.yaml").write_text(text.replace("delivery: server", f"delivery: {mode}"))
    outcome = kcd_gen("diff", "--ref", "HEAD", "--offline", directory=workspace.root)
    assert outcome.exit == 0, outcome.err
    assert f"note[delivery-changed]: cluster 'prod': charts reach Flux by 'delivery: {mode}'" in outcome.err
    assert effect in outcome.err
    assert [line.strip() for line in outcome.out.splitlines() if "kcd-web" in line] == [
        *(["- OCIRepository kcd-web"] if mode == "oci" else []),
        *resources,
    ]
    assert "HelmRelease" not in outcome.out


@pytest.mark.parametrize("flags", [OCI, ARTIFACT], ids=["oci", "artifact"])
def test_two_releases_whose_sources_have_one_name_are_an_error(workspace: Workspace, flags: tuple[str, ...]) -> None:
    other = "registry.example.com/demo/other:1.0.0"
    status = "apiVersion: v1alpha1\nchartByModule: {main: {name: %s, version: 1.0.0}}\n"
    for reference, chart in ((WEB, "b-c"), (other, "c")):
        workspace.package(modules("main"), reference=reference, status=status % chart)
    workspace.release("a")
    workspace.release("a-b", package=other)
    outcome = workspace.build(*flags)
    assert (outcome.exit, outcome.err.count("error[duplicate-resource]")) == (1, 2), outcome.err


def test_pushing_for_one_release_keeps_the_records_of_the_others(plain: Workspace) -> None:
    other = "registry.example.com/demo/other:1.0.0"
    status = "apiVersion: v1alpha1\nchartByModule: {main: {name: other, version: 1.0.0}}\n"
    plain.package(modules("main"), reference=other, status=status)
    plain.release("other", package=other)
    assert kcd_gen("build", "--push-charts", directory=plain.root).exit == 0
    before = (plain.root / "kcd-gen.lock").read_text()
    assert before.count("sha256:") == 2
    for flags in (("--release", "web"), ("--cluster", "prod"), ("--keep-going",)):
        assert kcd_gen("build", "--push-charts", *flags, directory=plain.root).exit == 0
        assert (plain.root / "kcd-gen.lock").read_text() == before
    (plain.root / "sources/default-other.yaml").unlink()
    assert kcd_gen("build", "--push-charts", "--allow-removals", "all", directory=plain.root).exit == 0
    assert (plain.root / "kcd-gen.lock").read_text().count("sha256:") == 1


# Names of charts


CONFIG_MAP = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


def with_one_chart(workspace: Workspace, name: str, version: str, file: str, template: bytes) -> None:
    """Make the package `WEB` with one chart, whose archive is the file `file`."""
    status = {"apiVersion": "v1alpha1", "chartByModule": {"main": {"name": name, "version": version}}}
    meta = f"apiVersion: v2\nname: {name}\nversion: {version}\n".encode()
    archive = chart_archive({"chart/Chart.yaml": meta, "chart/templates/one.yaml": template})
    workspace.layers[WEB] = package_layer(modules("main"), yaml.safe_dump(status), {file: archive})
    write_layout(workspace.root / "packages", workspace.layers)


def project(workspace: Workspace, mode: str) -> None:
    (workspace.root / "kcd-gen.yaml").write_text(
        f"apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {{vendor: packages}}\ndelivery: {mode}\n"
        f"chartRepository: {{url: '{REPOSITORY}'}}\nclusters: [{{name: prod, sources: [sources], output: output}}]\n"
    )


@pytest.mark.parametrize("mode", ["server", "git", "oci", "artifact"])
@pytest.mark.parametrize(
    ("name", "version", "file"),
    [("My_App.x", "1.0.0", "My_App.x-1.0.0.tgz"), ("x", "v1.0.0+b.1", "other.tgz")],
    ids=["characters", "file"],
)
def test_diff_compares_the_manifests_of_charts_with_unusual_names(
    workspace: Workspace, mode: str, name: str, version: str, file: str
) -> None:
    workspace.release("web")
    with_one_chart(workspace, name, version, file, CONFIG_MAP % b"old")
    project(workspace, mode)
    (workspace.root / ".gitignore").write_text(".cache\n")
    git(workspace.root, "init", "-q", "-b", "main")
    git(workspace.root, "add", "-A")
    git(workspace.root, "commit", "-qm", "one")
    for other in ("git", "oci"):
        project(workspace, other)
        outcome = kcd_gen("diff", "--ref", "HEAD", "--charts", "--offline", directory=workspace.root)
        assert outcome.exit == 0, outcome.err
        assert "chart-changed" not in outcome.out
        assert "ConfigMap" not in outcome.out
    project(workspace, mode)
    with_one_chart(workspace, name, version, file, CONFIG_MAP % b"new")
    outcome = kcd_gen("diff", "--ref", "HEAD", "--charts", "--offline", directory=workspace.root)
    assert outcome.exit == 0, outcome.err
    assert "+ ConfigMap default/new" in outcome.out


@pytest.mark.parametrize("mode", ["server", "git", "oci", "artifact"])
def test_diff_does_not_render_charts_from_elsewhere(workspace: Workspace, mode: str) -> None:
    patch = """
        moduleOverrides:
        - module: main
          specPatch: {chart: {spec: {chart: main, version: 1.0.0, sourceRef: {name: bitnami}}}, values: {replicas: %d}}
        """
    workspace.release("web", patch % 1)
    project(workspace, mode)
    (workspace.root / ".gitignore").write_text(".cache\n")
    git(workspace.root, "init", "-q", "-b", "main")
    git(workspace.root, "add", "-A")
    git(workspace.root, "commit", "-qm", "one")
    workspace.release("web", patch % 2)
    outcome = kcd_gen("diff", "--ref", "HEAD", "--charts", "--offline", directory=workspace.root)
    assert outcome.exit == 0, outcome.err
    assert "note[chart-not-in-package]: HelmRelease 'web-main': its chart is not in the package" in outcome.err


@pytest.mark.parametrize("flags", [OCI, ARTIFACT], ids=["oci", "artifact"])
@pytest.mark.parametrize(
    "charts",
    [[("My_App", "1.0.0"), ("my-app", "1.0.0")], [("x", "1.0.0-a"), ("x", "1.0.0+a")]],
    ids=["names", "versions"],
)
def test_charts_of_a_package_whose_names_differ_in_replaced_characters_have_their_own_sources(
    workspace: Workspace, flags: tuple[str, ...], charts: list[tuple[str, str]]
) -> None:
    workspace.release("web")
    first, second = charts
    with_charts(workspace, modules("a", "b"), {"a": (*first, b"first"), "b": (*second, b"second")})
    documents = built(workspace, *flags)
    references = {one["spec"]["chartRef"]["name"] for one in documents if one["kind"] == "HelmRelease"}
    sources = {one["metadata"]["name"] for one in documents if one["kind"] == "OCIRepository"}
    artifacts = [one["spec"]["artifacts"] for one in documents if one["kind"] == "ArtifactGenerator"]
    assert len(references) == 2
    assert references <= sources | {one["name"] for several in artifacts for one in several}
    workspace.release("web", "suspended: true")
    assert built(workspace, *flags) == documents


@pytest.mark.parametrize("name", ["___", "x" * 250])
def test_a_chart_that_no_registry_can_store_is_an_error_of_its_release_with_oci(
    workspace: Workspace, name: str
) -> None:
    workspace.release("web")
    other = "registry.example.com/demo/other:1.0.0"
    workspace.package(reference=other)
    workspace.release("good", package=other)
    with_one_chart(workspace, name, "1.0.0", "x.tgz", b"")
    outcome = workspace.build("--keep-going", *OCI)
    assert outcome.exit == 1
    assert "sources/default-web.yaml:5:3: error[bad-reference]: the chart '" in outcome.err
    assert (workspace.output / "flux/default/good.yaml").exists()
