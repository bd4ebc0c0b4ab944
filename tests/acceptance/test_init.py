"""`kcd-gen init`: what it detects, what it writes, and how the programs that read its files interpret them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from tests.support.flux import refusals
from tests.support.init_checkouts import (
    BOOTSTRAP,
    COMMIT,
    COPY,
    GITHUB,
    GITLAB,
    HOOKS,
    PIPELINE,
    ROOT,
    SOURCE,
    WORKFLOW,
    Repository,
    python,
    sync,
)
from tests.support.quickstart import QUICKSTART, write_packages
from tests.support.workspace import kcd_gen

COMPONENT = ".gitlab/kcd-gen.yml"
OUR_HOOKS = {one["id"]: one for one in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))}


@pytest.fixture
def checkout(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "checkout", GITHUB)


def rejected(module: str, *arguments: str, directory: Path) -> None:
    with pytest.raises(AssertionError):
        python(module, *arguments, directory=directory)


def check_workflow(checkout: Repository, name: str = WORKFLOW) -> None:
    python("check_jsonschema", "--builtin-schema", "vendor.github-workflows", name, directory=checkout.root)


def check_pipeline(checkout: Repository) -> None:
    schema = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    python("check_jsonschema", *schema, PIPELINE, directory=checkout.root)


def test_an_empty_repository(checkout: Repository, snapshot: SnapshotAssertion) -> None:
    outcome = checkout.init()
    written = sorted(name for name in checkout.files() if "/server/" not in name)
    texts = outcome.text + "".join(f"--- {name}\n{checkout.read(name)}" for name in written)
    assert texts == snapshot
    assert outcome.exit == 0


def test_the_quickstart_builds_with_the_written_files(checkout: Repository) -> None:
    checkout.write("cluster/releases/podinfo1.yaml", (QUICKSTART / "cluster/releases/podinfo1.yaml").read_text())
    write_packages(checkout.root / "vendor/packages")
    outcome = checkout.init()
    assert (outcome.exit, outcome.err) == (0, "")
    assert "  default: 1 Release in cluster\n  packages in vendor/packages\n" in outcome.out
    offered = [line.strip().partition("   #")[0] for line in outcome.out.partition("Next:\n")[2].splitlines()]
    run = [line for line in offered if line.startswith(("kcd-gen lock", "kcd-gen build", "kcd-gen schema"))]
    assert len(run) == 3
    for line in (*run, "kcd-gen build --check --locked --offline"):
        assert kcd_gen(*line.split()[1:], directory=checkout.root).exit == 0, line
    # VS Code's settings name the schema and the files it applies to.
    settings = json.loads(checkout.read(".vscode/settings.json"))
    assert settings == {
        "yaml.schemas": {"./kcd-gen.schema.json": ["kcd-gen.yaml", "cluster/**/*.yaml", "cluster/**/*.yml"]}
    }
    assert checkout.init().exit == 0


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="Debian has no package with a recent kubectl")
def test_kustomize_accepts_the_written_files(checkout: Repository) -> None:
    checkout.write("cluster/releases/podinfo1.yaml", (QUICKSTART / "cluster/releases/podinfo1.yaml").read_text())
    write_packages(checkout.root / "vendor/packages")
    checkout.init("--image", "registry.example.com/platform/charts")
    assert kcd_gen("build", "--offline", directory=checkout.root).exit == 0
    kinds = {}
    for directory in ("server", "flux"):
        command = ["kubectl", "kustomize", f"deploy/default/{directory}"]
        done = subprocess.run(command, cwd=checkout.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        documents = list(yaml.safe_load_all(done.stdout))
        kinds[directory] = sorted(one["kind"] for one in documents)
        deployments = [one for one in documents if one["kind"] == "Deployment"]
        images = [one["spec"]["template"]["spec"]["containers"][0]["image"] for one in deployments]
        assert images == ["registry.example.com/platform/charts"] * (directory == "server")
    assert kinds["flux"] == ["HelmRelease", "HelmRepository", "OCIRepository"]
    assert len(kinds["server"]) == 6


def test_the_example_of_a_release_compiles_once_it_is_uncommented(checkout: Repository) -> None:
    write_packages(checkout.root / "packages")
    assert checkout.init("--cluster-name", "prod").exit == 0
    path = checkout.root / "clusters/prod/releases.yaml"
    assert checkout.git("check-attr", "text", "packages/blobs/x").endswith("text: unset\n")
    assert kcd_gen("build", "--offline", directory=checkout.root).exit == 0
    assert not list((checkout.root / "deploy/prod").rglob("podinfo1*"))
    text, begun = [], False
    for line in path.read_text().splitlines():
        begun = begun or line.startswith("# apiVersion")
        text.append(line.removeprefix("# ") if begun else line)
    path.write_text("\n".join(text) + "\n")
    assert kcd_gen("build", "--offline", directory=checkout.root).exit == 0
    assert (checkout.root / "deploy/prod/flux/default/podinfo1.yaml").exists()
    assert "Unchanged kcd-gen.yaml" in checkout.init().out
    assert path.read_text() == "\n".join(text) + "\n"


def test_releases_are_found_in_their_directories(checkout: Repository) -> None:
    checkout.resource("clusters/prod/releases/web.yaml")
    checkout.resource("clusters/prod/config.yaml", "Config", "platform")
    checkout.resource("contexts/base.yaml", "Context")
    checkout.write("charts/web/values.yaml", "kind: Release\n")
    outcome = checkout.init()
    assert outcome.exit == 0
    assert "  prod: 1 Release, 1 Context and 1 Config in clusters/prod, contexts\n" in outcome.out
    assert checkout.clusters() == {
        "prod": {
            "name": "prod",
            "sources": ["clusters/prod", "contexts"],
            "output": "deploy/prod",
            "kubocdNamespace": "platform",
        }
    }


KUBOCD = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: kubocd, namespace: kubocd-system}
spec:
  chart: {spec: {chart: kubocd-ctrl, version: 0.3.1, sourceRef: {kind: HelmRepository, name: kubocd}}}
  values: {config: {content: {}}}
"""


def test_two_clusters_are_detected_from_flux(checkout: Repository) -> None:
    for name in ("prod", "test"):
        checkout.write(f"clusters/{name}/flux-system/gotk-sync.yaml", sync(f"./clusters/{name}"))
        checkout.write(f"clusters/{name}/apps.yaml", sync(f"./apps/{name}", "apps"))
    checkout.write("clusters/prod/kubocd.yaml", KUBOCD)
    checkout.resource("apps/prod/web.yaml")
    checkout.resource("apps/prod/more/shop.yaml")
    checkout.resource("apps/test/web.yaml")
    checkout.resource("apps/base/both.yaml", "Context")
    outcome = checkout.init()
    assert (outcome.exit, outcome.err) == (0, "")
    found = checkout.clusters()
    assert {name: one["sources"] for name, one in found.items()} == {
        "prod": ["apps/base", "apps/prod", "clusters/prod"],
        "test": ["apps/base", "apps/test"],
    }
    assert {name: one.get("kubocdNamespace") for name, one in found.items()} == {"prod": "kubocd-system", "test": None}
    for name in ("prod", "test"):
        charts, releases = checkout.documents(f"clusters/{name}/kcd-gen-kustomizations-{name}.yaml")
        for one in (charts, releases):
            assert refusals(one) == []
        assert releases["spec"]["path"] == f"./deploy/{name}/flux"
        assert charts["spec"]["path"] == f"./deploy/{name}/server"
    assert "  prod: 2 Releases, 1 Context and KuboCD's chart in apps/base, apps/prod, clusters/prod\n" in outcome.out
    applied = "Flux also applies the Releases in apps/prod, apps/test, clusters/prod"
    assert f"read docs/migration.md of kcd-gen: {applied}" in outcome.out


def test_two_clusters_are_detected_from_their_directories(checkout: Repository) -> None:
    checkout.resource("infra/clusters/a/web.yaml")
    checkout.resource("infra/clusters/B_1/web.yaml")
    checkout.resource("web.yaml")
    assert checkout.init().exit == 0
    assert {name: one["sources"] for name, one in checkout.clusters().items()} == {
        "a": ["infra/clusters/a", "web.yaml"],
        "b-1": ["infra/clusters/B_1", "web.yaml"],
    }


def test_the_first_release_is_not_put_where_flux_would_apply_it(checkout: Repository) -> None:
    checkout.write(BOOTSTRAP, sync("./clusters/prod"))
    assert checkout.init().exit == 0
    assert checkout.clusters()["prod"]["sources"] == ["kubocd/prod"]
    assert "clusters/prod/kcd-gen-kustomizations.yaml" in checkout.files()
    assert "kubocd/prod/releases.yaml" in checkout.files()


def test_an_existing_output_is_found_or_an_unused_directory_is_chosen(checkout: Repository) -> None:
    checkout.resource("deploy/default/web.yaml")
    assert checkout.init("--dry-run").exit == 0
    checkout.init()
    assert checkout.clusters()["default"]["output"] == "compiled/default"
    (checkout.root / "kcd-gen.yaml").unlink()
    checkout.write("out/.kcd-gen/shared.list", "")
    checkout.init()
    assert checkout.clusters()["default"]["output"] == "out"


def test_the_workflow_is_valid(checkout: Repository) -> None:
    assert checkout.init().exit == 0
    check_workflow(checkout)
    (workflow,) = checkout.documents(WORKFLOW)
    (job,) = workflow["jobs"].values()
    take, run = job["steps"]
    assert re.fullmatch(r"actions/checkout@[0-9a-f]{40}", take["uses"])
    assert take["with"]["fetch-depth"] == 0
    assert run["uses"] == f"platform/kcd-gen@{COMMIT}"
    assert (workflow["permissions"], job["permissions"]) == ({}, {"contents": "read", "pull-requests": "write"})
    checkout.write("broken.yaml", checkout.read(WORKFLOW).replace("runs-on", "runs-in"))
    with pytest.raises(AssertionError):
        check_workflow(checkout, "broken.yaml")


def test_the_workflow_is_for_the_default_branch(checkout: Repository) -> None:
    checkout.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    checkout.init()
    assert checkout.documents(WORKFLOW)[0][True]["push"] == {"branches": ["trunk"]}  # `on` is true in YAML 1.1


def test_the_hook_configuration_is_valid(checkout: Repository) -> None:
    assert checkout.init().exit == 0
    python("pre_commit", "validate-config", HOOKS, directory=checkout.root)
    (hook,) = checkout.documents(HOOKS)[0]["repos"]
    assert hook == {
        "repo": COPY,
        "rev": COMMIT,
        "hooks": [{"id": "kcd-gen-build"}],
    }
    assert hook["hooks"][0]["id"] in OUR_HOOKS
    checkout.write("broken.yaml", checkout.read(HOOKS).replace("rev:", "rev_:"))
    with pytest.raises(AssertionError):
        python("pre_commit", "validate-config", "broken.yaml", directory=checkout.root)


@pytest.mark.parametrize(
    ("remote", "files", "flags", "written"),
    [
        ("https://github.com/acme/platform", {}, (), WORKFLOW),
        ("ssh://git@github.com:22/acme/platform", {}, (), WORKFLOW),
        (GITLAB, {}, (), PIPELINE),
        ("git@gitlab.example.com:acme/platform.git", {}, (), PIPELINE),
        (None, {".github/workflows/test.yaml": "on: push\n"}, (), WORKFLOW),
        (GITHUB, {PIPELINE: "job: {script: make}\n"}, (), PIPELINE),
        (None, {}, (), None),
        ("../gitlab", {}, (), None),
        ("https://github.com.evil.example.com/a/b", {}, (), WORKFLOW),
        (None, {}, ("--ci", "github"), WORKFLOW),
        (GITHUB, {}, ("--ci", "gitlab"), PIPELINE),
        (GITHUB, {}, ("--ci", "none"), None),
    ],
)
def test_the_ci_system_is_detected(
    tmp_path: Path, remote: str | None, files: Mapping[str, str], flags: tuple[str, ...], written: str | None
) -> None:
    checkout = Repository(tmp_path, remote)
    for name, text in files.items():
        checkout.write(name, text)
    outcome = checkout.init(*flags)
    assert (outcome.exit, outcome.err) == (0, "")
    assert {WORKFLOW, PIPELINE} & (checkout.files() - files.keys() | ({PIPELINE} & files.keys())) == (
        {written} if written else set()
    )
    assert ("kcd-gen init --ci github" in outcome.out) == (written is None and not flags)
    if written == PIPELINE:
        check_pipeline(checkout)
        included = {"local": f"/{COMPONENT}", "inputs": {"install-from": SOURCE}}
        assert checkout.documents(PIPELINE)[0]["include"] == [included]
        assert checkout.read(COMPONENT) == (ROOT / "templates/kcd-gen/template.yml").read_text(encoding="utf-8")


def test_without_git_the_ci_system_is_detected_from_files(checkout: Repository) -> None:
    checkout.write(".github/workflows/test.yaml", "on: push\n")
    outcome = kcd_gen("init", directory=checkout.root, environment={"PATH": ""})
    assert (outcome.exit, outcome.err) == (0, "")
    assert "CI system GitHub, from .github/workflows\n" in outcome.out


OTHER_HOOKS = """\
# ours
exclude: ^deploy/
repos:
  - repo: https://github.com/pre-commit/pre-commit-hooks
    rev: v5.0.0  # of today
    hooks:
      - id: check-yaml
      # - id: check-json

ci:
  autofix_prs: false
"""


def test_the_hook_is_added_to_existing_hooks(checkout: Repository, snapshot: SnapshotAssertion) -> None:
    checkout.write(HOOKS, OTHER_HOOKS)
    outcome = checkout.init("--no-server")
    assert outcome.text == snapshot
    python("pre_commit", "validate-config", HOOKS, directory=checkout.root)
    added = f"""\
  - repo: {COPY}
    rev: {COMMIT}
    hooks:
    - id: kcd-gen-build
"""
    head, tail = OTHER_HOOKS.split("\nci:")
    assert checkout.read(HOOKS) == f"{head}{added}\nci:{tail}"
    again = checkout.state()
    assert checkout.init("--no-server").exit == 0
    assert checkout.state() == again


@pytest.mark.parametrize("text", ["repos: []\n", "a: [\n", "repos:\n- &x {repo: meta, hooks: []}\n---\n"])
def test_a_hook_that_cannot_be_added_is_printed(checkout: Repository, text: str) -> None:
    checkout.write(HOOKS, text)
    outcome = checkout.init()
    assert outcome.exit == 0
    assert checkout.read(HOOKS) == text
    assert "add to .pre-commit-config.yaml, below 'repos':\n      - repo: https://github.com/platform" in outcome.out


def test_a_pipeline_keeps_its_includes(tmp_path: Path) -> None:
    checkout = Repository(tmp_path, GITLAB)
    text = "include:\n  - local: a.yml\n\ntest:\n  script:\n    - !reference [.setup, script]\n"
    checkout.write(PIPELINE, text)
    assert checkout.init().exit == 0
    check_pipeline(checkout)
    before, after = text.split("a.yml\n")
    component = f"  - local: /{COMPONENT}\n    inputs:\n      install-from: {SOURCE}\n"
    assert checkout.read(PIPELINE) == f"{before}a.yml\n{component}{after}"


def test_a_pipeline_that_includes_another_component_keeps_it(tmp_path: Path) -> None:
    checkout = Repository(tmp_path, GITLAB)
    text = f"include:\n  - component: gitlab.example.com/platform/kcd-gen/kcd-gen@{COMMIT}\n"
    checkout.write(PIPELINE, text)
    assert checkout.init().exit == 0
    assert checkout.read(PIPELINE) == text
    assert COMPONENT not in checkout.files()


def test_without_a_source_neither_hook_nor_ci_is_written(checkout: Repository) -> None:
    outcome = checkout.init(source="")
    assert (outcome.exit, outcome.err) == (0, "")
    assert not {HOOKS, WORKFLOW, PIPELINE} & checkout.files()
    assert "  kcd-gen init --install-from git+URL@COMMIT   # add the missing hook or CI file" in outcome.out
    assert "pre-commit install" not in outcome.out
    assert {HOOKS, WORKFLOW} <= set(re.findall(r"Created (\S+)", checkout.init().out))
    again = checkout.init(source="")
    assert "--install-from" not in again.out
    assert {HOOKS, WORKFLOW} <= set(re.findall(r"Unchanged (\S+)", again.out))


WHEEL = f"https://packages.example.com/kcd_gen-0.1.0-py3-none-any.whl#sha256={COMMIT}{COMMIT[:24]}"
INDEX = "--index-url https://packages.example.com/simple kcd-gen==0.1.0"


@pytest.mark.parametrize("source", [WHEEL, INDEX])
def test_the_hook_from_a_wheel_matches_the_hook_from_a_copy(checkout: Repository, source: str) -> None:
    assert checkout.init(source=source).exit == 0
    python("pre_commit", "validate-config", HOOKS, directory=checkout.root)
    (repository,) = checkout.documents(HOOKS)[0]["repos"]
    (hook,) = repository["hooks"]
    assert repository["repo"] == "local"
    assert hook.pop("additional_dependencies") == source.split(" ")
    assert hook.items() <= OUR_HOOKS["kcd-gen-build"].items()


@pytest.mark.parametrize("source", [WHEEL, INDEX, f"git+https://git.example.com/platform/kcd-gen@{COMMIT}"])
def test_a_workflow_without_a_copy_on_github_installs_before_the_checkout(checkout: Repository, source: str) -> None:
    assert checkout.init(source=source).exit == 0
    check_workflow(checkout)
    (workflow,) = checkout.documents(WORKFLOW)
    (job,) = workflow["jobs"].values()
    install, take, run = job["steps"]
    assert install["env"] == {"INSTALL_FROM": source}
    assert " -I -m pip install " in install["run"]
    assert take["uses"].startswith("actions/checkout@")
    assert " build --check " in run["run"]
    assert job["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("source", ["kcd-gen", f"git+{COPY}", f"git+{COPY}@v0.1.0", WHEEL.partition("#")[0], "."])
def test_a_source_that_is_not_pinned_is_refused(checkout: Repository, source: str) -> None:
    outcome = checkout.init(source=source)
    assert outcome.exit == 2
    assert f"Invalid value for 'KCD_GEN_INSTALL_FROM': '{source}' does not pin a version of kcd-gen" in outcome.err
    assert checkout.files() == set()


def test_another_workflow_that_runs_it_is_enough(checkout: Repository) -> None:
    checkout.write(".github/workflows/all.yml", "on: push\njobs: {a: {steps: [{uses: platform/kcd-gen@v0.1.0}]}}\n")
    checkout.write(".github/workflows/other.yml", "# not kcd-gen\non: push\n")
    outcome = checkout.init()
    assert "Unchanged .github/workflows/all.yml" in outcome.out
    assert WORKFLOW not in checkout.files()


def test_git_does_not_change_the_bytes_of_the_output(checkout: Repository) -> None:
    checkout.write(".gitattributes", "* text=auto eol=crlf\n")
    assert checkout.init().exit == 0
    assert checkout.read(".gitattributes").startswith("* text=auto eol=crlf\n\n# Files generated by kcd-gen")

    def attributes(path: str) -> dict[str, str]:
        printed = checkout.git("check-attr", "--all", "--", path)
        return {name: value for _, name, value in (line.rsplit(": ", 2) for line in printed.splitlines())}

    generated = {"text": "unset", "eol": "crlf", "linguist-generated": "set", "gitlab-generated": "set"}
    for name in ("flux/default/web.yaml", "hr/default/web/index.yaml", ".kcd-gen/default/web.list"):
        assert attributes(f"deploy/default/{name}") == generated
    assert attributes("deploy/default/flux/kustomization.yaml") == {**generated, "merge": "union"}
    archive = attributes("deploy/default/hr/default/web/web-1.0.0.tgz")
    assert archive == {**generated, "binary": "set", "diff": "unset", "merge": "unset"}
    assert attributes("kcd-gen.schema.json") == generated
    for theirs in ("deploy/default/server/service.yaml", "clusters/default/releases.yaml"):
        assert attributes(theirs) == {"text": "auto", "eol": "crlf"}
    # The effective rule: Git returns the bytes that were committed, although it converts line endings elsewhere.
    written = b"a: 1\nb: 2\n"
    path = checkout.root / "deploy/default/hr/default/web/index.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(written)
    checkout.git("add", "-A")
    path.unlink()
    checkout.git("checkout", "--", ".")
    assert path.read_bytes() == written


def test_an_existing_project_is_kept_and_the_other_files_are_written(checkout: Repository) -> None:
    text = (
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters:\n"
        "- {name: one, sources: [releases], output: 'out put'}\n"
        "- {name: two, sources: [r.yaml], output: out2, repositoryURL: 'https://charts.example.com'}\n"
    )
    checkout.write("kcd-gen.yaml", text)
    outcome = checkout.init("--force")
    assert (outcome.exit, outcome.err) == (0, "")
    assert checkout.read("kcd-gen.yaml") == text
    assert "  a project with the clusters one, two\n" in outcome.out
    assert {HOOKS, WORKFLOW, ".gitattributes", "out put/server/service.yaml"} <= checkout.files()
    assert "  two: charts are served at https://charts.example.com, which is not a Service\n" in outcome.out
    assert "out2/server/service.yaml" not in checkout.files()
    (releases,) = checkout.documents("out2/cluster/kcd-gen-kustomizations-two.yaml")
    assert refusals(releases) == []
    assert releases["spec"]["path"] == "./out2/flux"
    assert "dependsOn" not in releases["spec"]
    assert "-text" in checkout.read(".gitattributes")
    assert checkout.git("check-attr", "text", "--", "out put/hr/a b/index.yaml").endswith(": text: unset\n")
    assert not any("releases.yaml" in name for name in checkout.files())


def test_a_project_in_a_subdirectory_is_passed_to_hook_and_ci(checkout: Repository) -> None:
    checkout.project("- {name: prod, sources: [sources], output: deploy/prod}\n", directory="platform")
    assert checkout.init(directory="platform").exit == 0
    (hook,) = checkout.documents(HOOKS)[0]["repos"]
    assert hook["hooks"] == [{"id": "kcd-gen-build", "args": ["--project", "platform/kcd-gen.yaml"]}]
    python("pre_commit", "validate-config", HOOKS, directory=checkout.root)
    # As pre-commit calls it: from the root of the repository.
    _, *entry = OUR_HOOKS["kcd-gen-build"]["entry"].split()
    checkout.write("platform/sources/none.yaml", "a: b\n")
    assert kcd_gen(*entry, *hook["hooks"][0]["args"], directory=checkout.root).exit == 3  # it wrote
    checkout.git("add", "-A")
    assert kcd_gen(*entry, *hook["hooks"][0]["args"], directory=checkout.root).exit == 0
    check_workflow(checkout)
    (workflow,) = checkout.documents(WORKFLOW)
    assert workflow["jobs"]["kcd-gen"]["steps"][1]["with"] == {"working-directory": "platform"}
    assert checkout.init("--ci", "gitlab", directory="platform").exit == 0
    check_pipeline(checkout)
    (component,) = checkout.documents(PIPELINE)[0]["include"]
    directory = {"working-directory": "platform", "lock": "platform/kcd-gen.lock"}
    assert component["inputs"] == {"install-from": SOURCE, **directory}
    assert "/platform/deploy/prod/flux/** -text" in checkout.read(".gitattributes")
    assert "./platform/kcd-gen.schema.json" in checkout.read(".vscode/settings.json")
    assert "another project in platform" in checkout.init("--dry-run").out


def test_a_second_run_changes_nothing(checkout: Repository) -> None:
    checkout.write(BOOTSTRAP, sync("./clusters/prod"))
    checkout.resource("releases/web.yaml")
    checkout.init("--image", "registry.example.com/charts")
    before = checkout.state()
    again = checkout.init()
    assert (again.exit, again.err) == (0, "")
    assert checkout.state() == before
    assert set(re.findall(r"^(\w+) [.\w]", again.out, re.MULTILINE)) == {"Unchanged"}
    assert kcd_gen("init", "server", directory=checkout.root).exit == 0
    assert checkout.state() == before


def test_a_changed_file_is_reported_and_kept(checkout: Repository) -> None:
    checkout.init()
    mine = checkout.read(WORKFLOW).replace("ubuntu-latest", "self-hosted")
    checkout.write(WORKFLOW, mine)
    (checkout.root / HOOKS).unlink()
    outcome = checkout.init()
    assert outcome.exit == 3
    assert "-    runs-on: self-hosted\n+    runs-on: ubuntu-latest\n" in outcome.out
    assert f"Kept (differs; use --force to replace it): {WORKFLOW}\n" in outcome.out
    assert checkout.read(WORKFLOW) == mine
    assert (checkout.root / HOOKS).exists()
    dry = checkout.init("--force", "--dry-run")
    assert (dry.exit, checkout.read(WORKFLOW)) == (0, mine)
    assert f"Would replace {WORKFLOW}\n" in dry.out
    assert checkout.init("--force").exit == 0
    assert "ubuntu-latest" in checkout.read(WORKFLOW)


def test_a_dry_run_writes_nothing(checkout: Repository) -> None:
    checkout.resource("releases/web.yaml")
    checkout.write(HOOKS, "repos: []\n")
    before = checkout.state()
    outcome = checkout.init("--dry-run")
    assert outcome.exit == 0
    assert checkout.state() == before
    assert "Would create kcd-gen.yaml\n" in outcome.out
    assert "Next, without --dry-run:\n" in outcome.out


def test_no_server_only_writes_the_kustomization_of_the_releases(checkout: Repository) -> None:
    checkout.write(BOOTSTRAP, sync("./clusters/prod"))
    outcome = checkout.init("--no-server")
    assert outcome.exit == 0
    assert not any("/server/" in name for name in checkout.files())
    (releases,) = checkout.documents("clusters/prod/kcd-gen-kustomizations.yaml")
    assert refusals(releases) == []
    assert releases["spec"]["sourceRef"] == {"kind": "GitRepository", "name": "flux-system"}
    assert "kcd-gen image" not in outcome.out


def test_existing_editor_settings_are_kept(checkout: Repository) -> None:
    checkout.write(".vscode/settings.json", '{"editor.tabSize": 2}\n')
    outcome = checkout.init()
    assert checkout.read(".vscode/settings.json") == '{"editor.tabSize": 2}\n'
    shown = outcome.out.partition("add to .vscode/settings.json, inside the braces:\n")[2].partition("\n  write")[0]
    assert "./kcd-gen.schema.json" in json.loads(f"{{{shown}}}")["yaml.schemas"]


@pytest.mark.parametrize("pattern", ["*.tgz", "/deploy/", ".kcd-gen", "default/"])
def test_an_output_ignored_by_git_is_a_warning(checkout: Repository, pattern: str) -> None:
    checkout.write(".gitignore", f"# ours\n{pattern}\n")
    outcome = checkout.init()
    assert outcome.exit == 0
    assert outcome.err.startswith(f".gitignore:2:1: warning[ignored-output]: the pattern '{pattern}' ")
    checkout.write(".gitignore", f"{pattern}\n!/deploy/default/**\n" if pattern in {"*.tgz", ".kcd-gen"} else "")
    assert checkout.init().err == ""


def test_editor_settings_ignored_by_git_are_not_written(checkout: Repository) -> None:
    checkout.write(".gitignore", "/.vscode/\n")
    assert checkout.init().exit == 0
    assert not any(name.startswith(".vscode") for name in checkout.files())


def test_ambiguous_flux_directories_are_a_warning(checkout: Repository) -> None:
    checkout.project("- {name: x, sources: [s], output: out}\n")
    for name in ("a", "b"):
        checkout.write(f"clusters/{name}/sync.yaml", sync(f"./clusters/{name}"))
    outcome = checkout.init()
    assert outcome.exit == 0
    assert "warning[ambiguous-flux-folder]" in outcome.err
    assert "--cluster x --flux-dir clusters/a" in outcome.err
    assert HOOKS in checkout.files()
    assert not any("kustomizations" in name for name in checkout.files())


def test_an_output_that_flux_applies_as_a_whole_is_an_error(checkout: Repository) -> None:
    checkout.write("sync.yaml", sync("./"))
    before = checkout.files()
    outcome = checkout.init()
    assert outcome.exit == 1
    assert outcome.err.count("error[applied-output]") == 1
    assert checkout.files() == before


def test_outside_of_a_repository(tmp_path: Path) -> None:
    outcome = kcd_gen("init", directory=tmp_path)
    assert outcome.exit == 1
    assert "error[no-repository]" in outcome.err
    assert "git init" in outcome.err
    assert [path for path in tmp_path.iterdir() if path.name != ".cache"] == []


def test_a_project_above_the_checkout_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "kcd-gen.yaml").write_text("not even a project\n")
    checkout = Repository(tmp_path / "checkout")
    assert checkout.init().exit == 0
    assert "kcd-gen.yaml" in checkout.files()


def test_an_invalid_project_is_reported_and_nothing_is_written(checkout: Repository) -> None:
    checkout.write("kcd-gen.yaml", "apiVersion: kcd-gen/v1alpha1\nkind: Projekt\n")
    outcome = checkout.init()
    assert outcome.exit == 1
    assert "kcd-gen.yaml:2:1: error" in outcome.err
    assert checkout.files() == {"kcd-gen.yaml"}


@pytest.mark.parametrize(
    "link", [WORKFLOW, ".github", HOOKS, ".gitattributes", ".vscode/settings.json", "deploy", "clusters"]
)
def test_nothing_is_written_through_symlinks(checkout: Repository, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    if "." in Path(link).name[1:] or link == HOOKS:
        outside.write_text("mine")
    else:
        outside.mkdir()
    path = checkout.root / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside)
    outcome = checkout.init("--force")
    assert outcome.exit == 1
    assert re.search(r"error\[(unusable-file|outside-checkout)\]", outcome.err)
    assert outside.read_text() == "mine" if outside.is_file() else not list(outside.iterdir())
    assert "kcd-gen.yaml" not in checkout.files()


def test_hostile_names(checkout: Repository) -> None:
    names = ("clusters/\x1b[31m $(id)/web.yaml", "a: b # {c}/web.yaml", "q\"'*[x]\\/web.yaml", "new\nline/web.yaml")
    for name in names:
        checkout.resource(name)
    bytes_ = checkout.root / "\udcff\udcfe"
    bytes_.mkdir()
    (bytes_ / "web.yaml").write_text("apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nmetadata: {name: web}\n")
    outcome = checkout.init()
    assert outcome.exit == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", outcome.out + outcome.err)
    ((name, cluster),) = checkout.clusters().items()
    assert re.fullmatch(r"[a-z0-9-]+", name)
    # The project file names existing paths; if a name is not valid text, it names the directory above.
    assert cluster["sources"] == ["."]
    listed = kcd_gen("build", "--offline", directory=checkout.root)
    assert "missing-source" not in listed.err


def test_hostile_names_that_are_valid_text_are_usable(checkout: Repository) -> None:
    names = ["a: b # {c}", "q\"'*[x]\\", "new\nline", "true"]
    for name in names:
        checkout.resource(f"{name}/web.yaml")
    assert checkout.init().exit == 0
    assert checkout.clusters()["default"]["sources"] == sorted(names)
    assert "missing-source" not in kcd_gen("build", "--offline", directory=checkout.root).err


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--ci", "jenkins"), "'jenkins' is not one of"),
        (("--image", "registry.example.com/a:1"), "without a tag"),
        (("--cluster-name", "../x"), "'--cluster-name': '../x' is not a valid cluster name"),
        (("--dry-run", "server"), "must come after 'server'"),
        (("--cluster-name", ""), "value is empty"),
    ],
)
def test_invalid_combinations_of_flags_are_an_error(
    checkout: Repository, flags: tuple[str, ...], expected: str
) -> None:
    outcome = checkout.init(*flags)
    assert outcome.exit == 2
    assert expected in outcome.err
    assert checkout.files() == set()


def test_every_written_yaml_file_is_valid(checkout: Repository) -> None:
    checkout.init("--image", "registry.example.com/charts")
    read = [name for name in checkout.files() if name.endswith((".yaml", ".yml"))]
    assert len(read) >= 10
    for name in read:
        list(yaml.safe_load_all(checkout.read(name)))
