"""The table of docs/diff.md lists every danger; its session is run in tests/docs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/diff.md").read_text(encoding="utf-8")


def test_every_danger_is_on_the_page() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)
    documented = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    source = (ROOT / "kubocd_gen/diffing/dangers.py").read_text(encoding="utf-8")
    assert documented == set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source))
