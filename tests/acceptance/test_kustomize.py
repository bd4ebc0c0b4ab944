"""Sources that kustomize or Flux changes: reported if read as they are, and compiled if the project says so."""

from __future__ import annotations

import io
import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.support.charts import commit_all, git
from tests.support.registry import skip_without_servers
from tests.support.workspace import Outcome, Workspace, kcd_gen

KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
RELEASE = """\
apiVersion: kubocd.kubotal.io/v1alpha1
kind: Release
metadata: {name: NAME, namespace: default}
spec:
  package: {repository: registry.example.com/demo/web, tag: 1.0.0}
  parameters: {host: NAME.example.com}
"""
SYNC = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: NAME, namespace: flux-system}
spec:
  interval: 10m
  prune: true
  path: PATH
  sourceRef: {kind: GitRepository, name: flux-system}
"""


def release(name: str) -> str:
    return RELEASE.replace("NAME", name)


def sync(name: str, path: str, extra: str = "") -> str:
    return SYNC.replace("NAME", name).replace("PATH", path) + textwrap.indent(textwrap.dedent(extra), "  ")


def project(sources: str, extra: str = "") -> str:
    return (
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\n"
        f"clusters:\n- name: prod\n  output: output\n  sources: {sources}\n{textwrap.indent(extra, '  ')}"
        "packages: {vendor: packages}\n"
    )


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    if not (shutil.which("kustomize") or shutil.which("kubectl")):
        skip_without_servers("needs kustomize or kubectl")
    workspace.package()
    return workspace


def write(workspace: Workspace, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = workspace.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def build(workspace: Workspace, *flags: str) -> Outcome:
    return kcd_gen("build", "--offline", *flags, directory=workspace.root)


def hosts(workspace: Workspace) -> dict[str, str]:
    """Return the host of each compiled HelmRelease by namespace and name."""
    found = {}
    for path in (workspace.output / "flux").rglob("*.yaml"):
        for one in yaml.safe_load_all(path.read_text()):
            if one["kind"] == "HelmRelease":
                name = f"{one['metadata']['namespace']}/{one['metadata']['name']}"
                found[name] = one["spec"]["values"]["host"]
    return found


PLAIN = {"sources/web.yaml": release("web"), "kcd-gen.yaml": project("[sources]")}

CHANGES = {
    "namespace": "namespace: other\nresources: [web.yaml]\n",
    "namePrefix": "namePrefix: prod-\nresources: [web.yaml]\n",
    "nameSuffix": "nameSuffix: -prod\nresources: [web.yaml]\n",
    "patches": "resources: [web.yaml]\npatches:\n- target: {kind: Release}\n  patch: |-\n"
    "    - {op: replace, path: /spec/package/tag, value: 2.0.0}\n",
    "patchesStrategicMerge": "resources: [web.yaml]\npatchesStrategicMerge:\n- |-\n"
    "  apiVersion: kubocd.kubotal.io/v1alpha1\n  kind: Release\n  metadata: {name: web}\n  spec: {suspended: true}\n",
    "patchesJson6902": "resources: [web.yaml]\npatchesJson6902:\n- target: {kind: Release, name: web}\n"
    "  path: p.yaml\n",
    "replacements": "resources: [web.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: x}\n"
    "  targets: [{select: {kind: Release}, fieldPaths: [spec.package.tag]}]\n",
    "generators": "resources: [web.yaml]\ngenerators: [g.yaml]\n",
    "transformers": "resources: [web.yaml]\ntransformers: [t.yaml]\n",
    "resources": "resources: [other.yaml]\n",
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_kustomization_that_changes_sources_is_an_error(workspace: Workspace, field: str) -> None:
    write(workspace, PLAIN | {"sources/kustomization.yaml": KUSTOMIZATION + CHANGES[field]})
    outcome = build(workspace)
    assert outcome.exit == 1, outcome.text
    assert "error[kustomization-ignored]" in outcome.err
    assert (
        f"sources/kustomization.yaml:{2 + CHANGES[field][: CHANGES[field].index(field)].count(chr(10)) + 1}:1"
        in outcome.err
    )
    assert "{kustomize: sources}" in outcome.err
    assert not workspace.output.exists()
    write(workspace, {"kcd-gen.yaml": project("[sources]", "ignoreKustomizations: true\n")})
    assert build(workspace).exit == 0


@pytest.mark.parametrize(
    "harmless",
    [
        "resources: [web.yaml]\n",
        "namespace: default\nresources: [web.yaml]\n",
        "resources: [web.yaml]\ncommonLabels: {team: a}\nconfigMapGenerator: [{name: x, literals: [a=b]}]\n",
        "resources: [web.yaml]\npatches: [{target: {kind: Deployment}, patch: '[]'}]\n",
        "resources: [web.yaml]\nimages: [{name: nginx, newTag: '1'}]\n",
    ],
)
def test_a_kustomization_that_changes_nothing_is_no_error(workspace: Workspace, harmless: str) -> None:
    write(workspace, PLAIN | {"sources/kustomization.yaml": KUSTOMIZATION + harmless})
    outcome = build(workspace)
    assert outcome.exit == 0, outcome.text
    assert "kustomization" not in outcome.err


def test_a_component_and_a_base_outside_the_sources_are_reported(workspace: Workspace) -> None:
    write(
        workspace,
        PLAIN
        | {
            "base/kustomization.yaml": KUSTOMIZATION + "resources: [db.yaml]\n",
            "base/db.yaml": release("db"),
            "part/kustomization.yaml": "kind: Component\nnamePrefix: x-\n",
            "sources/kustomization.yaml": KUSTOMIZATION + "resources: [web.yaml, ../base]\ncomponents: [../part]\n",
        },
    )
    err = build(workspace).err
    assert "the list adds base/db.yaml" in err
    assert "'components' would change the Release 'web'" in err


OVERLAY = {
    "base/kustomization.yaml": KUSTOMIZATION + "resources: [web.yaml, settings.yaml]\n",
    "base/web.yaml": f"# the first line\n{release('web')}",
    "base/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {}\n",
    "overlays/prod/kustomization.yaml": KUSTOMIZATION
    + "namespace: shop\nnamePrefix: prod-\nresources: [../../base]\npatches: [{path: patch.yaml}]\n",
    "overlays/prod/patch.yaml": "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nmetadata: {name: web}\n"
    "spec: {parameters: {host: shop.example.com}}\n",
    "kcd-gen.yaml": project("[{kustomize: overlays/prod}]"),
}


def test_what_kustomize_prints_is_compiled(workspace: Workspace) -> None:
    write(workspace, OVERLAY)
    outcome = build(workspace)
    assert outcome.exit == 0, outcome.text
    assert hosts(workspace) == {"shop/prod-web-main": "shop.example.com"}
    assert build(workspace, "--check").exit == 0


def test_positions_are_those_of_the_files_before_kustomize(workspace: Workspace) -> None:
    wrong = OVERLAY["base/web.yaml"].replace("parameters: {", "parameters: {replicaz: 1, ")
    write(workspace, OVERLAY | {"base/web.yaml": wrong})
    outcome = build(workspace)
    assert outcome.exit == 1
    assert "base/web.yaml:7:16: error[unknown-parameter]" in outcome.err, outcome.err


def test_diff_compares_what_kustomize_prints_for_the_revision(workspace: Workspace) -> None:
    write(workspace, OVERLAY)
    git(workspace.root, "init", "--quiet")
    commit_all(workspace.root)
    write(workspace, {"overlays/prod/patch.yaml": OVERLAY["overlays/prod/patch.yaml"].replace("shop.", "new.")})
    outcome = kcd_gen("diff", "--offline", directory=workspace.root)
    assert outcome.exit == 0, outcome.text
    assert "shop.example.com" in outcome.out
    assert "new.example.com" in outcome.out


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"overlays/prod/kustomization.yaml": "resources: [https://example.com/a.yaml]\n"}, "remote-base"),
        ({"overlays/prod/kustomization.yaml": "resources: ['github.com/a/b//c?ref=v1']\n"}, "remote-base"),
        ({"overlays/prod/kustomization.yaml": "resources: [missing.yaml]\n"}, "remote-base"),
        ({"overlays/prod/kustomization.yaml": "resources: [/etc]\n"}, "outside-checkout"),
        ({"overlays/prod/kustomization.yaml": "resources: [../../../../etc]\n"}, "outside-checkout"),
        ({"overlays/prod/kustomization.yaml": "resources: [../../base/web.yaml]\n"}, "kustomize-failed"),
        (
            {"overlays/prod/kustomization.yaml": "resources: [../../base]\npatches: [{path: no.yaml}]\n"},
            "missing-source",
        ),
        ({"overlays/prod/kustomization.yaml": "resources: [../../base]\nunknown: 1\n"}, "kustomize-failed"),
        ({"overlays/prod/kustomization.yaml": "a: [\n"}, "bad-yaml"),
    ],
)
def test_what_kustomize_cannot_build_is_an_error(workspace: Workspace, files: Mapping[str, str], code: str) -> None:
    write(workspace, {**OVERLAY, **files})
    outcome = build(workspace)
    assert outcome.exit == 1, outcome.text
    assert f"error[{code}]" in outcome.err, outcome.err
    assert "kcd-gen-kustomize-" not in outcome.err  # the temporary directory


def test_a_source_without_kustomization_is_an_error(workspace: Workspace) -> None:
    write(workspace, OVERLAY | {"kcd-gen.yaml": project("[{kustomize: overlays}]")})
    assert "overlays/kustomization.yaml: error[unreadable-source]" in build(workspace).err
    write(workspace, {"kcd-gen.yaml": project("[{kustomize: missing}]")})
    assert "kcd-gen.yaml:6:13: error[missing-source]" in build(workspace).err


@pytest.mark.parametrize("source", ["{}", "{kustomize: a, flux: b}", "{kustomise: a}", "3", "'-'", "''"])
def test_an_invalid_source_is_an_error(workspace: Workspace, source: str) -> None:
    write(workspace, {"kcd-gen.yaml": project(f"[{source}]")})
    outcome = build(workspace)
    assert outcome.exit == 1, outcome.text
    assert "kcd-gen.yaml:6:" in outcome.err


FLUX = {
    "clusters/prod/flux-system/gotk-sync.yaml": sync("flux-system", "./clusters/prod"),
    "clusters/prod/apps.yaml": sync(
        "apps",
        "./apps",
        """\
        targetNamespace: shop
        postBuild:
          substitute: {domain: example.org}
          substituteFrom: [{kind: ConfigMap, name: settings}, {kind: Secret, name: gone, optional: true}]
        """,
    ),
    "clusters/prod/settings.yaml": "apiVersion: v1\nkind: ConfigMap\n"
    "metadata: {name: settings, namespace: flux-system}\ndata: {domain: ignored, site: paris}\n",
    "apps/web.yaml": release("web")
    .replace("NAME.example.com", "")
    .replace("host: web.example.com", "host: '${site}.${domain:=x}.${other:=rest}'"),
    "kcd-gen.yaml": project("[{flux: clusters/prod}]"),
}


def test_what_flux_applies_is_compiled(workspace: Workspace) -> None:
    write(workspace, FLUX)
    outcome = build(workspace)
    assert outcome.exit == 0, outcome.text
    assert hosts(workspace) == {"shop/web-main": "paris.example.org.rest"}


def test_a_flux_kustomization_that_changes_plain_sources_is_an_error(workspace: Workspace) -> None:
    write(workspace, FLUX | {"kcd-gen.yaml": project("[apps]")})
    outcome = build(workspace)
    assert outcome.exit == 1
    assert "clusters/prod/apps.yaml:9:3: error[kustomization-ignored]" in outcome.err, outcome.err
    assert "'targetNamespace' of the Flux Kustomization 'apps' would change the Release 'web'" in outcome.err


def test_values_that_flux_reads_from_elsewhere_are_an_error(workspace: Workspace) -> None:
    write(workspace, FLUX | {"clusters/prod/settings.yaml": "# none\n"})
    outcome = build(workspace)
    assert outcome.exit == 1
    assert "error[unknown-substitution]" in outcome.err
    assert "the ConfigMap 'settings'" in outcome.err


def test_standard_input_is_a_source(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(release("web").encode())
        closed = False

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", Input())
    outcome = build(workspace, "--source", "-", "--output", "output", "--vendor", "packages")
    assert outcome.exit == 0, outcome.text
    assert hosts(workspace) == {"default/web-main": "web.example.com"}


def test_excluded_files_are_not_read(workspace: Workspace) -> None:
    broken = {
        f"sources/{name}": "kind: Release\napiVersion: kubocd.kubotal.io/v1alpha1\na: ["
        for name in ("x/bad.yaml", "b.sops.yaml")
    }
    write(workspace, PLAIN | broken | {"kcd-gen.yaml": project("[sources]", "exclude: [x/**, '*.sops.yaml']\n")})
    assert build(workspace).exit == 0
    write(workspace, {"kcd-gen.yaml": project("[sources]")})
    assert build(workspace).err.count("error[bad-yaml]") == 2
    assert build(workspace, "--exclude", "x", "--exclude", "sources/*.sops.yaml").exit == 0


def test_templates_of_a_helm_chart_are_skipped_with_a_note(workspace: Workspace) -> None:
    template = release("{{ .Release.Name }}")
    write(workspace, PLAIN | {"sources/chart/Chart.yaml": "name: x\n", "sources/chart/templates/r.yaml": template})
    outcome = build(workspace)
    assert outcome.exit == 0, outcome.text
    assert "sources/chart: note[chart-skipped]" in outcome.err
    write(workspace, {"kcd-gen.yaml": project("['sources/**/*.yaml']")})
    assert "note[chart-skipped]" in build(workspace).err


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (release("web").replace("host: web.example.com", "host: 'ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]'"), "6:16"),
        ("apiVersion: ENC[AES256_GCM,data:a]\nkind: ENC[AES256_GCM,data:b]\nsops: {mac: x}\n", "2:1"),
    ],
)
def test_a_document_encrypted_with_sops_is_an_error(workspace: Workspace, text: str, position: str) -> None:
    write(workspace, PLAIN | {"sources/secret.yaml": text})
    outcome = build(workspace)
    assert outcome.exit == 1
    assert f"sources/secret.yaml:{position}: error[encrypted-source]" in outcome.err, outcome.err


def test_an_encrypted_secret_is_ignored(workspace: Workspace) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: 'ENC[AES256_GCM,data:x]'}\nsops: {mac: x}\n"
    write(workspace, PLAIN | {"sources/secret.yaml": secret})
    assert build(workspace).exit == 0


VARIABLE = release("web").replace("host: web.example.com", "host: '${domain}'")


@pytest.mark.parametrize(
    ("path", "extra", "marked"),
    [
        ("./output/flux", "postBuild: {substitute: {a: b}}", True),
        ("./output", "postBuild: {substituteFrom: [{kind: Secret, name: x}]}", True),
        ("./", "postBuild: {substitute: {a: b}}", True),
        ("./output/flux", "postBuild: {}", False),
        ("./output/flux", "", False),
        ("./other", "postBuild: {substitute: {a: b}}", False),
    ],
)
def test_flux_does_not_substitute_what_is_compiled(workspace: Workspace, path: str, extra: str, marked: bool) -> None:
    write(
        workspace,
        {
            "sources/web.yaml": VARIABLE,
            "flux-system/sync.yaml": sync("releases", path, extra),
            "kcd-gen.yaml": project("[sources]", "ignoreKustomizations: true\n"),
        },
    )
    assert build(workspace).exit == 0
    found = {
        one["kind"]: one["metadata"]["annotations"].get("kustomize.toolkit.fluxcd.io/substitute")
        for one in yaml.safe_load_all((workspace.output / "flux/default/web.yaml").read_text())
    }
    expected = "disabled" if marked else None
    assert found == {"OCIRepository": None, "HelmRepository": None, "HelmRelease": expected}
    suspended = VARIABLE.replace("  parameters", "  suspended: true\n  parameters")
    write(workspace, {"sources/web.yaml": suspended})
    outcome = build(workspace)
    assert outcome.exit == 0, outcome.text


HOSTILE = {
    "a generator that reads any file": {
        "overlays/prod/kustomization.yaml": "resources: [../../base]\ngenerators: [g.yaml]\n",
        "overlays/prod/g.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\n"
        "metadata: {name: g}\nfiles: [/etc/hostname]\n",
    },
    "an inline generator": {
        "overlays/prod/kustomization.yaml": "resources: [../../base]\ngenerators:\n- |-\n  apiVersion: builtin\n"
        "  kind: ConfigMapGenerator\n  metadata: {name: g}\n  files: [../../../../../../../../../etc/hostname]\n",
    },
    "a chart from a server": {
        "overlays/prod/kustomization.yaml": "resources: [../../base]\n"
        "helmCharts: [{name: x, repo: https://charts.example.com, version: 1.0.0}]\n",
    },
    "a program as a plugin": {
        "overlays/prod/kustomization.yaml": "resources: [../../base]\ntransformers: [t.yaml]\n",
        "overlays/prod/t.yaml": "apiVersion: x/v1\nkind: X\nmetadata:\n  name: x\n  annotations:\n"
        "    config.kubernetes.io/function: 'exec: {path: ./run.sh}'\n",
        "overlays/prod/run.sh": "#!/bin/sh\ntouch /PWNED\n",
    },
    "a cycle": {
        "overlays/prod/kustomization.yaml": "resources: [../../base]\n",
        "base/kustomization.yaml": "resources: [../overlays/prod]\n",
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_kustomization_reaches_nothing_outside_of_the_checkout(workspace: Workspace, name: str) -> None:
    write(workspace, OVERLAY | HOSTILE[name])
    outcome = build(workspace)
    assert outcome.exit == 1, outcome.text
    assert "error[kustomize-failed]" in outcome.err, outcome.err
    assert not workspace.output.exists()


def test_a_kustomization_is_not_read_through_a_symlink_out_of_the_checkout(
    workspace: Workspace, tmp_path: Path
) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    write(workspace, OVERLAY | {"overlays/prod/kustomization.yaml": "resources: [link, file.yaml]\n"})
    outside.mkdir()
    (outside / "kustomization.yaml").write_text("resources: [web.yaml]\n")
    (outside / "web.yaml").write_text(release("web"))
    (workspace.root / "overlays/prod/link").symlink_to(outside)
    (workspace.root / "overlays/prod/file.yaml").symlink_to(outside / "web.yaml")
    outcome = build(workspace)
    assert outcome.exit == 1
    assert outcome.err.count("error[outside-checkout]") == 2, outcome.err


def test_without_kustomize_a_kustomization_is_an_error(workspace: Workspace, tmp_path: Path) -> None:
    write(workspace, OVERLAY)
    (tmp_path / "bin").mkdir()
    outcome = kcd_gen("build", "--offline", directory=workspace.root, environment={"PATH": str(tmp_path / "bin")})
    assert outcome.exit == 1
    assert "error[kustomize-missing]" in outcome.err
    assert "install kustomize" in outcome.err


def test_a_kustomization_of_another_source_is_reported(workspace: Workspace) -> None:
    other = FLUX["clusters/prod/apps.yaml"].replace("kind: GitRepository, name: flux-system", "kind: Bucket, name: x")
    write(workspace, FLUX | {"clusters/prod/apps.yaml": other})
    outcome = build(workspace)
    assert "clusters/prod/apps.yaml:8:3: warning[unfollowed-kustomization]" in outcome.err
    assert "its source is the Bucket flux-system/x" in outcome.err
    assert "warning[no-releases]" in outcome.err


def test_a_checkout_that_is_too_large_to_search_is_no_error(workspace: Workspace) -> None:
    write(workspace, PLAIN | {f"other/{number}.yaml": "a: 1\n" for number in range(100)})
    outcome = build(workspace, "--limit", "files=60")
    assert outcome.exit == 0, outcome.text
    assert "warning[flux-not-searched]" in outcome.err


def test_an_overlay_that_flux_applies_is_found_outside_of_the_sources(workspace: Workspace) -> None:
    write(workspace, OVERLAY | {"clusters/prod/apps.yaml": sync("apps", "./overlays/prod")})
    write(workspace, {"kcd-gen.yaml": project("[base]")})
    outcome = build(workspace)
    assert outcome.exit == 1
    for line, field in ((3, "namespace"),):
        assert f"overlays/prod/kustomization.yaml:{line}:1: error[kustomization-ignored]: '{field}'" in outcome.err
    assert "'sources: [{kustomize: overlays/prod}]'" in outcome.err


CHART = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: kubocd-ctrl, namespace: kubocd}
spec:
  interval: 1h
  chart: {spec: {chart: kubocd-ctrl, version: 0.3.1, sourceRef: {kind: HelmRepository, name: kubocd}}}
  values: {config: {content: {clusterRoles: [ROLE]}}}
"""


@pytest.mark.parametrize(
    ("patch", "role", "post_build", "code"),
    [
        ("- {op: replace, path: /spec/interval, value: 5m}", "x", "", 0),
        ("- {op: add, path: /spec/values/a, value: 5}", "x", "", 1),
        ("- {op: replace, path: /spec/interval, value: 5m}", "x", "postBuild: {substitute: {a: b}}", 0),
        ("- {op: replace, path: /spec/interval, value: 5m}", "'${a}'", "postBuild: {substitute: {a: b}}", 1),
    ],
)
def test_only_changes_of_the_config_in_a_chart_matter(
    workspace: Workspace, patch: str, role: str, post_build: str, code: int
) -> None:
    write(
        workspace,
        PLAIN
        | {
            "sources/chart.yaml": CHART.replace("ROLE", role),
            "sources/kustomization.yaml": KUSTOMIZATION + "resources: [web.yaml, chart.yaml]\npatches:\n"
            f"- target: {{kind: HelmRelease}}\n  patch: |-\n    {patch}\n",
            "flux-system/sync.yaml": sync("apps", "./sources", post_build),
        },
    )
    outcome = build(workspace)
    assert outcome.exit == code, outcome.text
    assert ("kustomization-ignored" in outcome.err) is bool(code)


def test_diff_compares_what_flux_applies_in_the_revision(workspace: Workspace) -> None:
    write(workspace, FLUX)
    git(workspace.root, "init", "--quiet")
    commit_all(workspace.root)
    settings = FLUX["clusters/prod/settings.yaml"].replace("paris", "rome")
    write(workspace, {"clusters/prod/settings.yaml": settings})
    outcome = kcd_gen("diff", "--offline", directory=workspace.root)
    assert outcome.exit == 0, outcome.text
    assert "- spec.values.host: paris.example.org.rest" in outcome.out
    assert "+ spec.values.host: rome.example.org.rest" in outcome.out
    (workspace.root / "clusters/prod/settings.yaml").unlink()
    commit_all(workspace.root)
    outcome = kcd_gen("diff", "--offline", "--ref", "HEAD", directory=workspace.root)
    assert "HEAD:apps/web.yaml" in outcome.err, outcome.err


@pytest.mark.parametrize(
    ("command", "expected"), [("lock", "Locked registry.example.com/demo/web:1.0.0"), ("lint", "1 Release checked")]
)
def test_other_commands_read_rendered_sources(workspace: Workspace, command: str, expected: str) -> None:
    write(workspace, OVERLAY)
    outcome = kcd_gen(command, "--offline", directory=workspace.root)
    assert expected in outcome.out, outcome.text
    assert "no-releases" not in outcome.err


def test_a_directory_that_two_kustomizations_apply_is_read_once(workspace: Workspace) -> None:
    write(
        workspace,
        {
            "clusters/prod/sync.yaml": sync("flux-system", "./clusters/prod")
            + "---\n"
            + sync("apps", "./clusters/prod/apps"),
            "clusters/prod/apps/web.yaml": release("web"),
            "kcd-gen.yaml": project("[{flux: clusters/prod}]"),
        },
    )
    outcome = build(workspace)
    assert outcome.exit == 0, outcome.text
    assert hosts(workspace) == {"default/web-main": "web.example.com"}


def test_the_components_of_a_flux_instance_are_not_those_of_kustomize(workspace: Workspace) -> None:
    instance = (
        "apiVersion: fluxcd.controlplane.io/v1\nkind: FluxInstance\nmetadata: {name: flux, namespace: flux-system}\n"
        "spec:\n  components: [source-controller, kustomize-controller]\n"
        "  sync: {kind: GitRepository, url: 'https://git.example.com/x', ref: refs/heads/main, path: sources}\n"
    )
    write(workspace, PLAIN | {"sources/instance.yaml": instance})
    assert build(workspace).exit == 0
    write(workspace, {"kcd-gen.yaml": project("[{flux: sources}]")})
    outcome = build(workspace)
    assert outcome.exit == 0, outcome.text
    assert hosts(workspace) == {"default/web-main": "web.example.com"}


TREE = {
    "clusters/prod/flux-system/kustomization.yaml": KUSTOMIZATION + "resources: [sync.yaml]\n",
    "clusters/prod/flux-system/sync.yaml": sync("flux-system", "./clusters/prod", "postBuild: {substitute: {a: prod}}"),
    "clusters/prod/apps/apps.yaml": sync(
        "apps",
        "./apps/${a}",
        """\
        namePrefix: x-
        components: [../../part]
        patches:
        - target: {kind: Release}
          patch: |-
            - {op: add, path: /spec/parameters/replicas, value: 3}
        postBuild: {substitute: {host: example.com}}
        """,
    ),
    "apps/prod/web.yaml": release("web").replace("web.example.com", "'${host}'"),
    "apps/prod/raw.yaml": release("raw")
    .replace("default}", "default, labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}}")
    .replace("raw.example.com", "'$${host}'"),
    "apps/prod/nested/kustomization.yaml": KUSTOMIZATION + "resources: [db.yaml]\n",
    "apps/prod/nested/db.yaml": release("db"),
    "apps/prod/.gitlab-ci.yml": "not: [a manifest",
    "apps/prod/.git/config.yaml": "not: [a manifest",
    "part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamespace: shop\n",
    "kcd-gen.yaml": project("[{flux: clusters/prod}]"),
}


def test_flux_kustomizations_are_followed_with_all_their_changes(workspace: Workspace) -> None:
    write(workspace, TREE)
    outcome = build(workspace)
    assert outcome.exit == 0, outcome.text
    assert hosts(workspace) == {
        "shop/x-web-main": "example.com",
        "shop/x-raw-main": "$${host}",
        "shop/x-db-main": "db.example.com",
    }
    text = (workspace.output / "flux/shop/x-web.yaml").read_text()
    assert "replicas: 3" in text


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"clusters/prod/apps/apps.yaml": sync("apps", "./gone")}, "apps.yaml:7:3: error[missing-source]"),
        ({"apps/prod/bad.yaml": "a: ["}, "error["),
        (
            {"apps/prod/web.yaml": release("web").replace("web.example.com", "'${host#*.}'")},
            "error[unknown-substitution]",
        ),
        ({"clusters/prod/apps/apps.yaml": sync("apps", "./apps/${a!}")}, "error[unknown-substitution]"),
        ({"clusters/prod/broken.yaml": "kind: Release # kubocd.kubotal.io\na: ["}, "error["),
        ({"clusters/prod/flux-system/kustomization.yaml": "- a list\n"}, "error[kustomize-failed]"),
        (
            {"apps/prod/web.yaml": release("web").replace("web.example.com", "'ENC[AES256_GCM,data:x]'")},
            "error[encrypted-source]",
        ),
    ],
)
def test_what_flux_cannot_apply_is_an_error(workspace: Workspace, files: Mapping[str, str], expected: str) -> None:
    write(workspace, {**TREE, **files})
    outcome = build(workspace)
    assert outcome.exit == 1, outcome.text
    assert expected in outcome.err, outcome.err
    assert not workspace.output.exists()


def test_environment_variables_are_expanded_in_what_kustomize_prints(workspace: Workspace) -> None:
    variable = OVERLAY["overlays/prod/patch.yaml"].replace("shop.example.com", "'${DOMAIN}'")
    write(workspace, OVERLAY | {"overlays/prod/patch.yaml": variable})
    environment = {"DOMAIN": "env.example.com", "KCD_GEN_EXPAND_ENV": "DOMAIN"}
    outcome = kcd_gen("build", "--offline", directory=workspace.root, environment=environment)
    assert outcome.exit == 0, outcome.text
    assert hosts(workspace) == {"shop/prod-web-main": "env.example.com"}


def test_a_list_with_an_encrypted_release_is_an_error(workspace: Workspace) -> None:
    text = release("web").replace("host: web.example.com", "host: ['ENC[AES256_GCM,data:x]']")
    items = "".join(f"  {line}\n" if index else f"- {line}\n" for index, line in enumerate(text.splitlines()))
    write(workspace, PLAIN | {"sources/web.yaml": f"apiVersion: v1\nkind: List\nitems:\n{items}"})
    assert "error[encrypted-source]: the value of 'spec.parameters.host[0]' is encrypted" in build(workspace).err


def test_standard_input_that_is_a_terminal_is_an_error(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        closed = False

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    outcome = build(workspace, "--source", "-", "--output", "output", "--vendor", "packages")
    assert outcome.exit == 1
    assert "<stdin>: error[unreadable-source]" in outcome.err
