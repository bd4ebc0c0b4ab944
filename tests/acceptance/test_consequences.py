"""A problem that follows from another one is printed below it, and a summary ends the output."""

from __future__ import annotations

import json

import pytest

from tests.support.workspace import WEB, Workspace, kcd_gen


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    workspace.package()
    return workspace


def test_a_role_of_a_release_with_errors(workspace: Workspace) -> None:
    workspace.release("a-app", "dependencies: [database]")
    workspace.release("b-front", "dependencies: [application]\nroles: [x]")
    workspace.release("a-app", "dependencies: [database]\nroles: [application]")
    workspace.release("db", "roles: [database]\nparameters: {unknown: 1}")
    outcome = workspace.build()
    assert outcome.exit == 1
    assert outcome.err == (
        "sources/default-db.yaml:7:16: error[unknown-parameter]: "
        "parameter 'unknown' is not in the schema of web:1.0.0\n"
        "    known parameters: host, replicas\n"
        "    this also causes:\n"
        "    sources/default-a-app.yaml:6:18: error[unmet-role]: default/a-app depends on the role 'database': "
        "default/db would provide it, but has errors\n"
        "    sources/default-b-front.yaml:6:18: error[unmet-role]: default/b-front depends on the role 'application': "
        "default/a-app provides it, but has errors\n"
        "3 errors\n"
    )


def test_a_context_in_a_file_that_cannot_be_read(workspace: Workspace) -> None:
    workspace.release("web", "contexts: [{name: base}]")
    workspace.source("base.yaml", "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Context\nmetadata: {name: base\n")
    lines = workspace.build().err.splitlines()
    assert lines[0].startswith("sources/base.yaml:")
    assert "error[bad-yaml]" in lines[0]
    assert "    this also causes:" in lines
    assert lines[-2].startswith("    sources/default-web.yaml:6:14: error[missing-context]")
    assert lines[-1] == "2 errors"


def test_without_a_cause_nothing_is_grouped(workspace: Workspace) -> None:
    workspace.release("app", "dependencies: [database]")
    workspace.release("other", "parameters: {a: 1}", package=WEB)
    workspace.release("third", "contexts: [{name: gone}]")
    outcome = workspace.build()
    assert "this also causes" not in outcome.err
    assert outcome.err.endswith("\n3 errors\n")


def test_the_same_problem_in_several_clusters_is_one(workspace: Workspace) -> None:
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\nclusters:\n"
        "- {name: dev, sources: [sources], output: out/dev}\n- {name: prod, sources: [sources], output: out/prod}\n"
    )
    workspace.release("web", "parameters: {a: 1}")
    outcome = kcd_gen("build", "--offline", directory=workspace.root)
    assert outcome.err.count("error[unknown-parameter]") == 1
    assert "    in the clusters dev, prod\n1 error\n" in outcome.err


@pytest.mark.parametrize(
    ("spec", "flags", "last"),
    [
        ("parameters: {replicas: two}", (), "1 error"),
        ("moduleOverrides: [{module: nope, timeout: 5m}]", (), "1 warning"),
        ("moduleOverrides: [{module: nope, timeout: 5m}]", ("--quiet",), ""),
        ("suspended: false", (), ""),
    ],
)
def test_a_summary_ends_the_output(workspace: Workspace, spec: str, flags: tuple[str, ...], last: str) -> None:
    workspace.release("web", spec)
    lines = workspace.build(*flags).err.splitlines() or [""]
    assert lines[-1] == last


def test_the_json_report_has_no_summary_line(workspace: Workspace) -> None:
    workspace.release("web", "parameters: {a: 1}")
    assert len(json.loads(workspace.build("--format", "json").out)["diagnostics"]) == 1
