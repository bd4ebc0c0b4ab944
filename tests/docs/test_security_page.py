"""The threat model: every promise in docs/security.md names an existing test that verifies it."""

from __future__ import annotations

import ast
import re

from tests.support.sessions import ROOT

PAGE = ROOT / "docs/security.md"


def promises() -> list[list[str]]:
    """Yield the cells of each row of the page's tables, without headers and separators."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] != "controls" and not set(row[0]) <= set("-|")]


def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_an_existing_test() -> None:
    rows = promises()
    assert len(rows) > 20
    for row in rows:
        assert len(row) == 4, row
        named = re.findall(r"`(tests/[^`]+\.py)::(test_[^`]+)`", row[3])
        assert named, row
        for file, name in named:
            assert name in functions_of(file), (file, name)
