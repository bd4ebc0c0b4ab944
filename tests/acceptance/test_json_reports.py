"""The JSON reports of commands that compile nothing, and their schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kubocd_gen.package_data import schema
from tests.support.init_checkouts import BOOTSTRAP, GITHUB, Repository, sync
from tests.support.workspace import WEB, Outcome, Workspace, kcd_gen


def document(outcome: Outcome, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(outcome.out)
    jsonschema.validate(found, schema(f"kcd-gen/{name}-v1alpha1"))
    return found


@pytest.mark.parametrize("name", ["cache", "scaffold"])
def test_diagnostics_are_the_same_in_all_documents(name: str) -> None:
    diagnostics = [schema(f"kcd-gen/{one}-v1alpha1")["properties"]["diagnostics"] for one in (name, "report")]
    assert diagnostics[0] == diagnostics[1]


def test_init(tmp_path: Path) -> None:
    checkout = Repository(tmp_path / "checkout", GITHUB)
    checkout.write(BOOTSTRAP, sync("./clusters/prod"))
    checkout.resource("releases/web.yaml")
    dry = document(checkout.init("--format", "json", "--dry-run"), "scaffold")
    first = document(checkout.init("--format", "json"), "scaffold")
    assert (dry["dryRun"], first["dryRun"]) == (True, False)
    assert dry["files"] == first["files"]
    assert {one["change"] for one in first["files"]} == {"created"}
    assert first["found"]["clusters"] == [{"name": "prod", "sources": ["releases"]}]
    source = "GitRepository flux-system/flux-system"
    assert first["found"]["flux"] == [{"path": "clusters/prod", "source": source, "cluster": "prod"}]
    assert first["found"]["ci"] == "github"
    assert "kcd-gen build" in first["next"]
    checkout.write(".github/workflows/kcd-gen.yaml", checkout.read(".github/workflows/kcd-gen.yaml") + "# mine\n")
    again = checkout.init("--format", "json")
    assert again.exit == 3
    changes = {one["path"]: one["change"] for one in document(again, "scaffold")["files"]}
    assert {path for path, change in changes.items() if change != "unchanged"} == {".github/workflows/kcd-gen.yaml"}
    assert changes[".github/workflows/kcd-gen.yaml"] == "kept"
    server = document(kcd_gen("init", "server", "--format", "json", directory=checkout.root), "scaffold")
    assert (server["found"], server["next"]) == (None, [])


def test_init_after_an_error(tmp_path: Path) -> None:
    outcome = kcd_gen("init", "--format", "json", directory=tmp_path)
    found = document(outcome, "scaffold")
    assert outcome.exit == 1
    assert [one["code"] for one in found["diagnostics"]] == ["no-repository"]
    assert (found["found"], found["files"], found["next"]) == (None, [], [])


def test_vendor_and_cache(workspace: Workspace) -> None:
    workspace.release("web")
    workspace.package()
    assert workspace.run("lock", "--offline").exit == 0
    report = document(workspace.run("vendor", "--offline", "--format", "json"), "report")
    assert report["packages"] == [{"package": WEB, "status": "unchanged"}]
    missing = workspace.run("vendor", "--vendor", "elsewhere", "--offline", "--format", "json")
    assert missing.exit == 4
    assert document(missing, "report")["packages"] == [{"package": WEB, "status": "failed"}]
    cached = document(kcd_gen("cache", "list", "--format", "json", directory=workspace.root), "cache")
    assert cached["blobs"] == []
