"""The commands of docs/image.md are ones that kcd-gen has, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.test_image import image, single, workspace
from tests.support.workspace import Workspace, kcd_gen

__all__ = ["workspace"]
PAGE = (Path(__file__).resolve().parents[2] / "docs/image.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (kcd-gen image .*)$", PAGE, re.MULTILINE)


def test_the_air_gap(workspace: Workspace) -> None:
    assert "kcd-gen image --base oci:bases/nginx:1.28 --output charts.oci --offline" in COMMANDS
    single(workspace)
    (workspace.root / "bases").mkdir()
    (workspace.root / "base").rename(workspace.root / "bases/nginx")
    index = workspace.root / "bases/nginx/index.json"
    index.write_text(index.read_text().replace('"base"', '"1.28"'))
    outcome = image(workspace, "--base", "oci:bases/nginx:1.28", "--output", "charts.oci", "--offline")
    assert outcome.exit == 0, outcome


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_exists(command: str, tmp_path: Path) -> None:
    told = kcd_gen("image", "--help", directory=tmp_path).out
    assert set(re.findall(r"--[a-z-]+", command)) <= set(re.findall(r"--[a-z-]+", told))
