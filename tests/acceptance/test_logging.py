"""`-v` logs each operation at the borders with its duration, `-vv` its details; neither logs a credential."""

from __future__ import annotations

import re

import pytest

from tests.support.workspace import Workspace


def logged(err: str) -> list[str]:
    """Return the lines of the log without durations and sizes, which change from run to run."""
    lines = [line for line in err.splitlines() if line.startswith(("info: ", "debug: "))]
    return [re.sub(r"\d+\.\d{3} s$|\d+ bytes", "*", line) for line in lines]


def test_without_the_flag_nothing_is_logged(workspace: Workspace) -> None:
    workspace.release("web")
    assert workspace.build().err == ""


def test_verbose_logs_a_line_for_each_operation(workspace: Workspace) -> None:
    workspace.release("web")
    assert logged(workspace.build("-v").err) == [
        "info: read sources (1 file, 1 resource) in *",
        "info: helm template (exit code 0, *) in *",
        "info: write output (6 files) in *",
    ]


def test_very_verbose_logs_each_file(workspace: Workspace) -> None:
    workspace.release("web")
    lines = logged(workspace.build("-vv").err)
    assert "debug: read sources/default-web.yaml" in lines
    assert "debug: created flux/default/web.yaml" in lines
    assert any(re.match(r"debug: /\S+/helm template ", line) for line in lines)


@pytest.mark.parametrize(("value", "lines"), [("true", 2), ("1", 2), ("0", 0), ("false", 0)])
def test_the_variable_can_be_a_boolean(value: str, lines: int, workspace: Workspace) -> None:
    workspace.release("web")
    assert len(logged(workspace.build("--full", "--dry-run", environment={"KCD_GEN_VERBOSE": value}).err)) == lines


def test_no_file_name_can_control_the_terminal(workspace: Workspace) -> None:
    workspace.release("web")
    (workspace.root / "sources" / "a\x1b[31m.yaml").write_text("kubocd.kubotal.io: 1\n")
    assert "\x1b" not in workspace.build("-vv").err
