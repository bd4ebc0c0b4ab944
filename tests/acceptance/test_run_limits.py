"""A build that exceeds a limit of its run names the limit and leaves the output unchanged."""

from __future__ import annotations

import json

import pytest

from tests.support.workspace import WEB_MANIFEST, Workspace, files_below, kcd_gen

LIMITS = {"yaml-values": 30, "schema-steps": 1, "rendered": 10, "files": 1, "source-bytes": 100, "package-memory": 100}


@pytest.fixture
def built(workspace: Workspace) -> Workspace:
    """A workspace that was built once and then changed."""
    workspace.package()
    workspace.release("first")
    assert workspace.build().exit == 0
    for number in range(5):
        workspace.release(f"more{number}")
    return workspace


@pytest.mark.parametrize("name", [name for name in LIMITS if name != "package-memory"])
def test_a_limit_is_named_and_nothing_is_written(built: Workspace, name: str) -> None:
    before = files_below(built.output)
    outcome = built.build("--limit", f"{name}={LIMITS[name]}")
    assert outcome.exit == 1
    assert f"--limit {name}=" in outcome.err
    assert outcome.err.count("error[run-limit]") == 1
    assert files_below(built.output) == before


def test_a_limit_can_be_raised_on_the_command_line(built: Workspace) -> None:
    assert built.build("--limit", "yaml-values=10").exit == 1
    assert built.build("--limit", "yaml-values=100000").exit == 0


def test_the_json_report_is_printed_anyway(built: Workspace) -> None:
    outcome = built.build("--limit", "yaml-values=30", "--format", "json")
    assert outcome.exit == 1
    report = json.loads(outcome.out)
    assert "run-limit" in json.dumps(report)


@pytest.mark.parametrize("name", ["cpu-time", "memory", "yaml-values"])
def test_the_project_file_cannot_change_a_limit_of_the_run(workspace: Workspace, name: str) -> None:
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\nclusters: [{name: a, sources: [sources], output: output}]\n"
        f"packages: {{vendor: packages, limits: {{{name}: 500}}}}\n"
    )
    workspace.package(WEB_MANIFEST)
    workspace.release("web")
    outcome = kcd_gen("build", "--offline", directory=workspace.root)
    assert outcome.exit != 0
    assert name in outcome.err


def test_the_number_of_problems_shown_per_release_is_limited(workspace: Workspace) -> None:
    workspace.package()
    workspace.release("web", "parameters: {" + ", ".join(f"unknown{number}: 1" for number in range(900)) + "}")
    outcome = workspace.build()
    assert outcome.exit == 1
    assert outcome.err.count("error[") <= 202
