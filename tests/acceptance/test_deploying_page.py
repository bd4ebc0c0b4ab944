"""kcd-gen and kustomize do what the examples of docs/deploying.md show."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.support.init_checkouts import Checkout

PAGE = (Path(__file__).resolve().parents[2] / "docs/deploying.md").read_text(encoding="utf-8")


def test_the_session(tmp_path: Path) -> None:
    (session,) = re.findall(r"```console\n\$ kcd-gen init server (.*)\n([^`]*)```", PAGE)
    outcome = Checkout(tmp_path).init(*session[0].split())
    assert (outcome.exit, outcome.out, outcome.err) == (0, session[1], "")


def test_every_file_is_explained(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.init("--containerfile")
    for path in (tmp_path / "deploy/prod/server").iterdir():
        assert f"`{path.name}`" in PAGE


def test_the_patch_is_valid() -> None:
    block, application = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert yaml.safe_load(application)["spec"]["source"]["path"] == "deploy/prod/flux"
    (patch,) = yaml.safe_load(block)["patches"]
    (operation,) = yaml.safe_load(patch["patch"])
    assert operation == {
        "op": "add",
        "path": "/spec/template/spec/containers/0/args/-",
        "value": "--requeue-dependency=5s",
    }
