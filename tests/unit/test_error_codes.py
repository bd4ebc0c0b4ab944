"""Every code that kcd-gen reports has its line in the documentation, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r'code="([a-z]+(?:-[a-z]+)*)"|["\']((?:[a-z]+-)+[a-z]+)["\']')


def documented() -> set[str]:
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}


def test_every_documented_code_is_one_that_the_program_uses() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "kubocd_gen").rglob("*.py"))
    used = {one or other for one, other in CODE.findall(sources)}
    assert documented() - used == set()


def test_every_code_is_documented() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "kubocd_gen").rglob("*.py"))
    used = set(re.findall(r'code="([a-z-]+)"', sources))
    assert used - documented() == set()
