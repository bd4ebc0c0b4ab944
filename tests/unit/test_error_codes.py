"""Every code that kcd-gen reports is documented, and every documented code is used."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def nodes() -> list[ast.AST]:
    files = (ROOT / "kubocd_gen").rglob("*.py")
    return [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def documented() -> set[str]:
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}


def test_every_documented_code_is_used() -> None:
    strings = {node.value for node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert documented() - strings == set()


def test_every_code_is_documented() -> None:
    used = set[str]()
    for node in nodes():
        if isinstance(node, ast.Call):
            given = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            if ast.unparse(node.func) in {"Problem", "ProblemsError.of"}:
                given += node.args[:1]
            if ast.unparse(node.func) in {"JsonSource", "archive_errors"}:
                given += node.args[1:2]
            used |= {one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    assert len(used) > 120
    assert used - documented() == set()
