"""The command line: flags, their variables, exit codes, and which stream the output goes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pytest
from syrupy.assertion import SnapshotAssertion

from kubocd_gen.pipeline import build as building
from tests.support.workspace import WEB, WEB_MANIFEST, Outcome, Workspace, files_below, helm_releases, kcd_gen

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "kcd-gen" / "report-v1alpha1.json").read_text())
WHERE = {"KCD_GEN_SOURCE": "sources", "KCD_GEN_OUTPUT": "output", "KCD_GEN_VENDOR": "packages"}


def report_of(outcome: Outcome) -> dict[str, Any]:
    """Return the report, which is all of standard output, validated by its schema."""
    report: dict[str, Any] = json.loads(outcome.out)
    jsonschema.validate(report, SCHEMA)
    return report


@pytest.fixture
def web(workspace: Workspace) -> Workspace:
    workspace.release("web")
    return workspace


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("build", "no kcd-gen.yaml found in this directory or its parents"),
        ("build --source sources", "--source requires --output"),
        ("build --source sources --output output --cluster prod", "--cluster cannot be used with --source"),
        ("build --bogus", "--bogus"),
        ("lint --source sources --output output", "--output"),  # it writes nothing
        ("init server --offline", "--offline"),  # it needs no network
        ("build --format yaml", "'yaml' is not one of"),
        ("build --jobs 0", "'--jobs'"),
        ("build --source= --output output", "'--source': "),
        ("build --source sources --output=", "'--output': "),
        ("build --repository-url charts.example.com", "does not start with http:// or https:// and a host"),
        ("build --resolve ldap.example.com", "'ldap.example.com' is not NAME=ADDRESS"),
        ("build --limit layer", "'layer' is not NAME=VALUE, such as layer=512MiB"),
        ("build --limit layr=1MiB", "the limit 'layr' does not exist; did you mean 'layer'?"),
        ("build --limit layer=1MB", "the limit 'layer' must be a size such as 512MiB (KiB, MiB, GiB), not '1MB'"),
        ("build --limit members=1Ki", "the limit 'members' must be a number such as 2000, not '1Ki'"),
        ("build --project nowhere.yaml", "nowhere.yaml"),
        ("biuld", "build"),
    ],
)
def test_an_invalid_flag_is_a_usage_error(arguments: str, expected: str, web: Workspace) -> None:
    outcome = kcd_gen(*arguments.split(), directory=web.root)
    assert (outcome.exit, outcome.out) == (2, "")
    assert expected in outcome.err
    assert not web.output.exists()


def test_an_unknown_cluster_is_a_usage_error(web: Workspace) -> None:
    (web.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    outcome = kcd_gen("build", "--cluster", "prdo", directory=web.root)
    assert outcome.exit == 2
    assert (
        outcome.err == "error[unknown-cluster]: the project has no cluster 'prdo'\n    did you mean 'prod'?\n1 error\n"
    )


def test_help_needs_no_project_and_succeeds(tmp_path: Path) -> None:
    for arguments in (["--help"], ["build", "-h"], ["--version"]):
        outcome = kcd_gen(*arguments, directory=tmp_path)
        assert (outcome.exit, outcome.err) == (0, "")


def test_a_limit_is_set_by_a_flag_or_its_variable(web: Workspace) -> None:
    web.package()
    low = web.build("--limit", "text=100", "--limit", "members=3")
    assert low.exit == 1
    assert "error[package-limit]" in low.err
    assert "    if you trust the package, raise the limit: --limit text=" in low.err
    lower = web.build(environment={"KCD_GEN_LIMIT": "text=1MiB members=3"})
    assert "has more members than the limit of 3" in lower.err
    assert "    if you trust the package, raise the limit: --limit members=6\n" in lower.err
    assert web.build("--limit", "members=6", environment={"KCD_GEN_LIMIT": "members=3"}).exit == 0


def test_every_flag_can_be_a_variable(web: Workspace) -> None:
    more = {"KCD_GEN_NAMESPACE": "apps", "KCD_GEN_REPOSITORY_URL": "https://charts.example.com", "KCD_GEN_QUIET": "1"}
    outcome = kcd_gen("build", directory=web.root, environment=WHERE | more)
    assert (outcome.exit, outcome.out, outcome.err) == (0, "", "")
    assert b"https://charts.example.com/hr/default/web" in files_below(web.output)["flux/default/web.yaml"]


def test_a_flag_overrides_its_variable(web: Workspace) -> None:
    kcd_gen("build", "--output", "elsewhere", directory=web.root, environment=WHERE)
    assert not web.output.exists()
    assert (web.root / "elsewhere" / "flux").is_dir()


def test_sources_in_a_variable_are_separated_as_in_path_and_can_contain_spaces(web: Workspace) -> None:
    spaced = web.root / "my sources"
    (web.root / "sources").rename(spaced)
    web.release("app")
    outcome = kcd_gen("build", directory=web.root, environment=WHERE | {"KCD_GEN_SOURCE": "my sources:sources"})
    assert outcome.exit == 0
    assert [*helm_releases(web.output)] == ["default/app-main", "default/web-main"]


def test_an_empty_source_in_a_variable_is_not_the_whole_checkout(web: Workspace) -> None:
    assert kcd_gen("build", directory=web.root, environment=WHERE | {"KCD_GEN_SOURCE": "sources:"}).exit == 2


def test_names_in_a_variable_are_separated_by_white_space(workspace: Workspace) -> None:
    host = '{{ resolveDNS "a.example.com" }}-{{ resolveDNS "b.example.com" }}'
    workspace.package(WEB_MANIFEST.replace("{{ .Parameters.host }}", host))
    workspace.release("web")
    hosts = "a.example.com=10.0.0.1 .example.com=fd00::1"
    assert workspace.build(environment={"KCD_GEN_RESOLVE": hosts}).exit == 0
    assert helm_releases(workspace.output)["default/web-main"]["values"] == {"replicas": 1, "host": "10.0.0.1-fd00::1"}


def test_quiet_prints_errors_only(web: Workspace) -> None:
    web.release("app", "moduleOverrides: [{module: mian}]")
    outcome = web.build("-q")
    assert (outcome.exit, outcome.out, outcome.err) == (0, "", "")
    web.release("app", "parametres: {}")
    outcome = web.build("-q")
    assert (outcome.exit, outcome.out) == (1, "")
    assert outcome.err.startswith("sources/default-app.yaml:6:3: error[unknown-field]")


def test_verbose_also_prints_unchanged_releases(web: Workspace) -> None:
    web.build()
    assert web.build().out == "1 of 1 Release compiled; 0 files written, 0 removed, 4 unchanged\n"
    assert '  Unchanged HelmRelease "web-main"\n' in web.build("-v").out


def test_only_the_json_report_is_on_standard_output(web: Workspace) -> None:
    web.release(
        "app",
        "description: Ein Gruß\ncontexts: [{name: c}, {name: c}]\nroles: [b, a]\nprotected: true\n"
        "moduleOverrides: [{module: mian}]",
    )
    web.source(
        "c.yaml",
        "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Context\n"
        "metadata: {name: c, namespace: default}\nspec: {context: {}}\n",
    )
    report = report_of(web.build("--format", "json"))
    assert report["summary"] == {
        "releases": 2,
        "compiled": 2,
        "failed": 0,
        "written": 7,
        "unchanged": 0,
        "removed": 0,
    }
    app, _ = report["releases"]
    assert app["package"] == WEB
    assert app["digest"].startswith("sha256:")
    assert (app["description"], app["contexts"], app["roles"]) == ("Ein Gruß", ["default:c", "default:c"], ["a", "b"])
    assert (app["status"], app["protected"], app["cluster"]) == ("compiled", True, "default")
    assert app["resources"][-1] == {
        "kind": "HelmRelease",
        "name": "app-main",
        "path": "flux/default/app.yaml",
        "change": "created",
    }
    (warning,) = report["diagnostics"]
    assert warning == {
        "severity": "warning",
        "code": "unknown-module-override",
        "message": "the override of module 'mian' has no effect: package web:1.0.0 has no such module",
        "hint": "did you mean 'main'?",
        "cluster": "default",
        "release": "default/app",
        "path": "sources/default-app.yaml",
        "line": 10,
        "column": 22,
    }


def test_the_report_of_a_failed_build_has_the_would_be_status_of_each_release(web: Workspace) -> None:
    web.release("app", "parametres: {}\nroles: [x]")
    web.release("bad", "parameters: {x: 1}\nroles: [x]\nsuspended: true\ndescription: d")
    outcome = web.build("--format", "json")
    report = report_of(outcome)
    assert outcome.exit == 1
    assert [(one["name"], one["status"], one["roles"]) for one in report["releases"]] == [
        ("app", "failed", []),  # the cluster would not accept it, so none of it counts
        ("bad", "failed", ["x"]),
        ("web", "compiled", []),
    ]
    assert [one["resources"] for one in report["releases"]] == [[], [], []]


def test_a_release_that_is_gone_is_reported_as_removed(web: Workspace) -> None:
    web.release("app")
    web.build()
    (web.root / "sources" / "default-app.yaml").unlink()
    report = report_of(web.build("--format", "json"))
    assert [(one["name"], one["status"]) for one in report["releases"]] == [("app", "removed"), ("web", "compiled")]
    assert {one["change"] for one in report["releases"][0]["resources"]} == {"removed"}
    assert report["summary"]["removed"] == 3


def test_a_suspended_release_is_reported_as_such(web: Workspace) -> None:
    web.release("web", "suspended: true")
    (one,) = report_of(web.build("--format", "json"))["releases"]
    assert (one["status"], one["suspended"]) == ("suspended", True)
    assert [resource["kind"] for resource in one["resources"]] == ["OCIRepository", "HelmRepository"]


def test_a_shared_problem_is_one_line_in_text_and_one_diagnostic_per_release_in_the_report(web: Workspace) -> None:
    web.release("app")
    web.source(
        "config.yaml",
        "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Config\n"
        "metadata: {name: c, namespace: kubocd}\nspec: {defaultContexts: [{name: nowhere}]}\n",
    )
    outcome = web.build("--format", "json")
    assert outcome.err.count("error[") == 1
    assert "    affects default/app, default/web\n" in outcome.err
    found = [(one["release"], one["path"], one["line"]) for one in report_of(outcome)["diagnostics"]]
    assert found == [("default/app", "sources/config.yaml", 4), ("default/web", "sources/config.yaml", 4)]


def test_an_invalid_project_has_a_report(web: Workspace) -> None:
    outcome = kcd_gen("build", "--format", "json", directory=web.root)
    assert outcome.exit == 2
    assert [one["code"] for one in report_of(outcome)["diagnostics"]] == ["missing-project"]


def test_without_helm_the_error_explains_how_to_install_it(web: Workspace, snapshot: SnapshotAssertion) -> None:
    outcome = web.build("--helm", "/nowhere/helm")
    assert outcome.text == snapshot
    assert outcome.exit == 1
    assert not web.output.exists()


def test_another_program_as_helm_is_an_error_and_not_a_defect(web: Workspace) -> None:
    fake = web.root / "helm"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    outcome = web.build("--helm", str(fake))
    assert outcome.exit == 1
    assert "error[helm-" in outcome.err
    assert not web.output.exists()


@pytest.mark.parametrize("flags", [(), ("--debug",)], ids=["plain", "debug"])
def test_a_defect_is_reported_as_such_and_exits_70(web: Workspace, flags: tuple[str, ...]) -> None:
    with mock.patch.object(building, "compile_cluster", side_effect=AssertionError("a \x1b[31mmistake\n")):
        outcome = web.build(*flags)
    assert outcome.exit == 70
    assert "internal error in kcd-gen: AssertionError: a \\x1b[31mmistake\\n\n" in outcome.err
    assert ("Traceback" in outcome.err) is bool(flags)
    assert not web.output.exists()


def test_ignoring_dependencies_gives_what_the_controller_writes(web: Workspace) -> None:
    web.release("web", "dependencies: [nobodys]")
    assert web.build().exit == 1
    assert web.build("--dependencies", "ignore").exit == 0
    assert "dependsOn" not in helm_releases(web.output)["default/web-main"]


def test_version_prints_the_versions_in_use(tmp_path: Path) -> None:
    versions = json.loads(kcd_gen("version", "--format", "json", directory=tmp_path).out)
    assert versions.keys() == {"kcd-gen", "python", "helm", "helmPath", "flux"}
    missing = kcd_gen("version", "--helm", "/nowhere/helm", directory=tmp_path)
    assert missing.exit == 1
    assert missing.out.endswith("helm not found\n")


def test_an_unknown_variable_is_reported(web: Workspace) -> None:
    outcome = web.build(environment={"KCD_GEN_OFLINE": "1", "KCD_GEN_PUSH": "a flag of another command"})
    assert outcome.exit == 0
    assert outcome.err == (
        "warning[unknown-variable]: the environment variable 'KCD_GEN_OFLINE' has no effect, because kcd-gen has no "
        "such flag\n    did you mean 'KCD_GEN_OFFLINE'?\n1 warning\n"
    )
    report = web.build("--format", "json", environment={"KCD_GEN_OFLINE": "1"})
    assert json.loads(report.out)["kind"] == "Report"
    assert web.build("--quiet", environment={"KCD_GEN_OFLINE": "1"}).err == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KCD_GEN_FORMAT", "jsno"),
        ("KCD_GEN_NAMESPACE", "A_b"),
        ("KCD_GEN_KUBOCD_NAMESPACE", "x" * 64),
        ("KCD_GEN_REPOSITORY_URL", "charts"),
        ("KCD_GEN_JOBS", "many"),
        ("KCD_GEN_QUIET", "perhaps"),
        ("KCD_GEN_RESOLVE", "ldap"),
        ("KCD_GEN_PROJECT", "nowhere"),
        ("KCD_GEN_CA_FILE", "nowhere"),
        ("KCD_GEN_LIMIT", "layer=big"),
    ],
)
def test_an_invalid_value_names_the_variable_that_has_it(web: Workspace, variable: str, value: str) -> None:
    outcome = web.build(environment={variable: value})
    assert outcome.exit == 2
    assert f"Error: Invalid value for '{variable}': " in outcome.err
    flag = f"--{variable.removeprefix('KCD_GEN_').lower().replace('_', '-')}"
    assert flag not in outcome.err.partition("Error:")[2]
    outcome = web.build(flag, value) if variable != "KCD_GEN_QUIET" else web.build()
    assert variable not in outcome.err


def test_an_error_about_a_flag_names_the_variable_that_sets_it(web: Workspace) -> None:
    origin = "    --cluster is set by the environment variable KCD_GEN_CLUSTER\n"
    assert origin in web.build(environment={"KCD_GEN_CLUSTER": "prod"}).err
    web.source("../kcd-gen.yaml", PROJECT)
    unknown = kcd_gen("build", directory=web.root, environment={"KCD_GEN_CLUSTER": "prdo"})
    assert unknown.exit == 2
    assert origin in unknown.err
    assert origin not in kcd_gen("build", "--cluster", "prdo", directory=web.root).err
    helm = kcd_gen("build", directory=web.root, environment={"KCD_GEN_HELM": "/no/helm"})
    assert "    --helm is set by the environment variable KCD_GEN_HELM\n" in helm.err


def test_the_project_can_be_a_directory(web: Workspace, tmp_path_factory: pytest.TempPathFactory) -> None:
    web.source("../kcd-gen.yaml", PROJECT)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert kcd_gen("build", "--project", str(web.root), directory=elsewhere).exit == 0
    assert (web.root / "out/flux/default/web.yaml").exists()
    assert kcd_gen("build", "--check", directory=elsewhere, environment={"KCD_GEN_PROJECT": str(web.root)}).exit == 0
    outcome = kcd_gen("build", "--project", ".", directory=elsewhere)
    assert outcome.exit == 2
    assert "Invalid value for '--project': the directory '.' has no kcd-gen.yaml" in outcome.err


PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
clusters: [{name: prod, sources: [sources], output: out}]
packages: {vendor: packages}
"""
