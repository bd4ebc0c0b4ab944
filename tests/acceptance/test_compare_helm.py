"""`kcd-gen build --compare-helm`: the results of two helm binaries, compared. Both are real, of different versions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kubocd_gen.helm.process import find_helm, helm_version
from kubocd_gen.package_data import schema
from tests.helm_versions.binaries import path_of
from tests.support.sessions import Stage, run_page
from tests.support.workspace import WEB, WEB_MANIFEST, Outcome, Workspace, files_below, kcd_gen

NEW = path_of("4.3.1")
OLD = find_helm()
VALUES = "host: {{ .Parameters.host }}\n"
CONSTRAINT = 'newer: {{ toToml (dict "a" 1000000.0) | contains "." }}'  # true before helm 3.22 and 4.1
COUNT = "count: {{ range add 1 2 }}x{{ end }}"  # an error before helm 3.18

needs_both = pytest.mark.skipif(not NEW.exists(), reason="helm 4.3.1 is not installed: make helm-versions")


def package(workspace: Workspace, name: str, line: str) -> str:
    """Add a package whose values have one more line. Return its reference."""
    manifest = WEB_MANIFEST.replace("name: web", f"name: {name}", 1).replace(VALUES, f"{VALUES}      {line}\n")
    reference = WEB.replace("/web:", f"/{name}:")
    workspace.package(manifest, reference=reference)
    return reference


@pytest.fixture
def web(workspace: Workspace) -> Workspace:
    """Three Releases: the same with both helms, different with both, and failing with the old one."""
    workspace.release("same")
    workspace.release("differs", package=package(workspace, "newer", CONSTRAINT))
    workspace.release("fails", package=package(workspace, "count", COUNT))
    return workspace


def compare(workspace: Workspace, *flags: str, helms: str | None = None) -> Outcome:
    given = helms or f"{OLD},{NEW}"
    where = ("--source", "sources", "--vendor", "packages", "--offline")
    return kcd_gen("build", "--compare-helm", given, *where, *flags, directory=workspace.root)


def report(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(outcome.out)
    jsonschema.Draft7Validator(schema("kcd-gen/helm-comparison-v1alpha1")).validate(found)
    return found


@needs_both
def test_only_releases_whose_result_differs_are_printed_and_nothing_is_written(web: Workspace) -> None:
    before = files_below(web.root)
    outcome = compare(web)
    version = helm_version(OLD)
    assert outcome.exit == 3
    assert outcome.out.splitlines() == [
        f"! default/fails fails with helm {version} only",
        "    oci://registry.example.com/demo/count:1.0.0/original.yaml:15:29: error[template-error]: "
        "package count:1.0.0, module 'main', values: range can't iterate over 3 at <2>",
        "        use helm 3.18 or later, or 'range until (int …)', which works with every helm",
        "        affects default/fails",
        "",
        "~ default/differs",
        "  ~ HelmRelease differs-main",
        "    - spec.values.newer: true",
        "    + spec.values.newer: false",
        "",
        f"helm 4.3.1 compared with helm {version}: 1 of 3 Releases changes; 1 value differs; "
        f"1 Release fails with helm {version} only",
    ]
    assert outcome.err == ""
    assert files_below(web.root) == before


@needs_both
def test_the_report_has_both_versions_and_every_difference(web: Workspace) -> None:
    found = report(compare(web, "--format", "json"))
    assert found["old"] == {"version": helm_version(OLD), "path": str(OLD)}
    assert found["new"] == {"version": "4.3.1", "path": str(NEW)}
    assert found["summary"] == {"releases": 3, "changed": 1, "failed": 1, "values": 1}
    ((differing,), (failing,)) = found["releases"], found["failed"]
    assert differing["resources"][0]["changes"] == [{"path": "spec.values.newer", "old": True, "new": False}]
    assert (failing["name"], failing["with"]) == ("fails", "old")
    assert [one["code"] for one in failing["problems"]] == ["template-error"]
    assert found["diagnostics"] == []


@needs_both
def test_the_exit_code_is_0_if_the_selected_releases_are_the_same(web: Workspace) -> None:
    outcome = compare(web, "--release", "same")
    same = f"1 Release compiled with helm {helm_version(OLD)} and with helm 4.3.1: the results are the same\n"
    assert (outcome.exit, outcome.out, outcome.err) == (0, same, "")
    assert compare(web, "--release", "same", "--quiet").out == ""
    assert compare(web, "--release", "default/fails", "--quiet").exit == 3
    assert compare(web, "--release", "absent").exit == 1


@needs_both
def test_helm_is_found_on_the_path_and_the_order_is_that_of_the_flag(web: Workspace) -> None:
    path = f"{NEW.parent}{os.pathsep}{os.environ['PATH']}"
    where = ("--source", "sources", "--vendor", "packages", "--offline", "--release", "differs")
    given = ("--compare-helm", f"helm-4.3.1,{OLD}")
    outcome = kcd_gen("build", *given, *where, directory=web.root, environment={"PATH": path})
    assert outcome.exit == 3
    assert "    - spec.values.newer: false\n    + spec.values.newer: true\n" in outcome.out


@needs_both
def test_an_error_with_both_prevents_the_comparison_unless_it_keeps_going(web: Workspace) -> None:
    web.release("broken", "parameters: {replicaz: 1}\n")
    web.release("missing", package=package(web, "missing", "at: {{ .Parameters.a.b }}"))
    outcome = compare(web)
    assert (outcome.exit, outcome.out) == (1, "")
    assert outcome.err.count("error[template-error]") == 1  # both helms report it, with their own words
    assert "error[unknown-parameter]" in outcome.err
    assert report(compare(web, "--format", "json"))["summary"] is None
    going = compare(web, "--keep-going")
    assert going.exit == 1
    assert "~ default/differs\n" in going.out
    assert "1 of 5 Releases changes" in going.out


@needs_both
def test_a_result_that_differs_in_each_run_is_reported_as_such(workspace: Workspace) -> None:
    workspace.release("random", package=package(workspace, "random", "password: {{ randAlphaNum 20 }}"))
    outcome = compare(workspace)
    assert outcome.exit == 3
    assert "~ default/random\n" in outcome.out
    assert "values.password: •••\n" in outcome.out  # masked
    assert "warning[varying-function]: " in outcome.err
    assert "helm is not necessarily the cause of a difference" in outcome.err


@needs_both
def test_a_release_that_depends_on_a_failing_one_fails_with_the_same_helm_only(web: Workspace) -> None:
    web.release("fails", "roles: [database]\n", package=WEB.replace("/web:", "/count:"))
    web.release("client", "dependencies: [database]\n")
    found = report(compare(web, "--format", "json"))
    assert [(one["name"], one["with"]) for one in found["failed"]] == [("client", "old"), ("fails", "old")]


@needs_both
def test_clusters_are_named_and_selected(web: Workspace) -> None:
    clusters = "".join(f"- {{name: {name}, sources: [sources], output: {name}}}\n" for name in ("one", "two"))
    (web.root / "kcd-gen.yaml").write_text(
        f"apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {{vendor: packages}}\nclusters:\n{clusters}"
    )
    outcome = kcd_gen("build", "--compare-helm", f"{OLD},{NEW}", directory=web.root)
    assert outcome.exit == 3
    assert outcome.out.count(": default/fails fails with helm ") == 2
    assert "2 of 6 Releases change; 2 values differ; 2 Releases fail with" in outcome.out
    selected = kcd_gen("build", "--compare-helm", f"{OLD},{NEW}", "--cluster", "two", directory=web.root)
    assert "~ two: default/differs\n" in selected.out
    assert "one: " not in selected.out


@needs_both
def test_the_page_helm_md_shows_the_real_output(workspace: Workspace) -> None:
    workspace.release("same")
    workspace.release("web", package=package(workspace, "newer", CONSTRAINT))
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    path = os.pathsep.join((str(OLD.parent), str(NEW.parent), os.environ["PATH"]))
    assert run_page("docs/helm.md", workspace.root, Stage({"PATH": path})) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--check"], "--check cannot be used with --compare-helm: it writes nothing and checks no output"),
        (["--dry-run"], "--dry-run cannot be used with --compare-helm"),
        (["--helm", "helm"], "--helm cannot be used with --compare-helm: it names both helm binaries"),
        (["--fail-on-change"], "--fail-on-change cannot be used with --compare-helm"),
        (["--allow-removals", "all"], "--allow-removals cannot be used with --compare-helm"),
        (["--report", "junit=x.xml"], "--report cannot be used with --compare-helm"),
        (["--format", "sarif"], "--format sarif cannot be used with --compare-helm"),
        (["--source", "-"], "--source - cannot be used with --compare-helm, which reads the sources twice"),
    ],
)
def test_flags_that_make_no_sense_are_usage_errors(flags: list[str], message: str, workspace: Workspace) -> None:
    outcome = compare(workspace, *flags)
    assert (outcome.exit, outcome.out) == (2, "")
    assert f"error[usage]: {message}" in outcome.err


@pytest.mark.parametrize("given", ["helm", "helm,", ",helm", "a,b,c"])
def test_anything_but_two_names_is_a_usage_error(given: str, workspace: Workspace) -> None:
    outcome = compare(workspace, helms=given)
    assert outcome.exit == 2
    assert f"'{given}' is not A,B: two helm binaries" in outcome.err


def test_one_binary_twice_is_a_usage_error(workspace: Workspace, tmp_path: Path) -> None:
    link = tmp_path / "helm-link"
    link.symlink_to(OLD)
    workspace.release("web")
    outcome = compare(workspace, helms=f"{OLD},{link}")
    assert outcome.exit == 2
    assert f"error[usage]: --compare-helm: both are '{OLD}'" in outcome.err


def test_a_helm_that_does_not_work_is_an_error(workspace: Workspace) -> None:
    workspace.release("web")
    missing = compare(workspace, "--format", "json", helms=f"{OLD},/nowhere/helm")
    assert missing.exit == 1
    found = report(missing)
    assert [one["code"] for one in found["diagnostics"]] == ["helm-missing"]
    assert (found["old"], found["summary"]) == (None, None)
    assert "error[helm-missing]" in compare(workspace, helms=f"/bin/false,{OLD}").err
