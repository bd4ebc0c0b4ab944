"""Nothing refers users to an address or package that is not this project's: it is not published yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubocd_gen.package_data import SITE
from tests.support.sessions import ROOT

OWNER, NAME = re.findall(r"https://([\w-]+)\.github\.io/([\w-]+)", SITE)[0]
# Addresses and names that are not registered.
CLAIMS = (
    re.compile(rf"{OWNER}(?:\.github\.io)?/{NAME}"),
    re.compile(r"(?:pipx?|uv tool|uv pip) install (?:-\S+ )*kcd-gen|uvx kcd-gen|pip download kcd-gen"),
    re.compile(r"pypi\.org/project/kcd-gen"),
)
# The constant itself, and the job that publishes only after the project is registered.
KNOWN = {"kubocd_gen/package_data.py": 1, ".github/workflows/release.yaml": 1}


def published() -> Iterator[Path]:
    """Return the files that users and their programs read."""
    yield from (path for path in ROOT.iterdir() if path.suffix in (".md", ".toml", ".yml", ".yaml"))
    for directory in ("docs", "templates", "kubocd_gen", "website", "schemas", ".github"):
        files = (path for path in (ROOT / directory).rglob("*") if path.is_file())
        yield from (path for path in files if path.suffix not in (".pyc", ".png", ".woff2"))


def claims(text: str) -> list[str]:
    return [line for line in text.splitlines() if any(claim.search(line) for claim in CLAIMS)]


@pytest.mark.parametrize(
    "line",
    [
        "    pip install kcd-gen     # or: uv tool install kcd-gen",
        "      - run: pip install --quiet kcd-gen==0.1.0",
        f"      - uses: {OWNER}/{NAME}@v0.1.0",
        f"see {SITE}/image/",
    ],
)
def test_a_false_address_is_found(line: str) -> None:
    assert claims(line) == [line]


def test_no_file_names_an_unregistered_address() -> None:
    found = {path.relative_to(ROOT).as_posix(): claims(path.read_text(encoding="utf-8")) for path in published()}
    assert len(found) > 300
    assert {name: lines for name, lines in found.items() if len(lines) > KNOWN.get(name, 0)} == {}
