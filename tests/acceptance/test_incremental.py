"""An incremental build has the same result as a full one, byte for byte, whatever has changed since the last build.

`INCREMENTAL_SEEDS=7,8 INCREMENTAL_EDITS=500 python -m pytest tests/acceptance/test_incremental.py` searches further.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from kubocd_gen.pipeline.known_releases import KnownReleases
from kubocd_gen.state import store
from kubocd_gen.state.store import State
from tests.support.edits import EDITS
from tests.support.incremental import check
from tests.support.thorough import THOROUGH, count
from tests.support.workspace import WEB, WEB_MANIFEST, Workspace, files_below

# Each of them restores hundreds of Releases.
SEEDS = [int(seed) for seed in os.environ.get("INCREMENTAL_SEEDS", "1,2,3,5").split(",")]
LENGTH = int(os.environ.get("INCREMENTAL_EDITS", count(5, 25)))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_incremental_build_has_the_result_of_a_full_one(tmp_path: Path, seed: int) -> None:
    world = check(seed, LENGTH, EDITS, tmp_path)
    assert world.builds == LENGTH + 1
    assert world.restored > 4 * LENGTH or not THOROUGH  # of up to 18 in each build


@pytest.fixture
def platform(workspace: Workspace) -> Workspace:
    """Releases of which one needs the role of another, built."""
    workspace.package()
    workspace.package(WEB_MANIFEST.replace("name: web", "name: db"), reference=WEB.replace("web", "db"))
    workspace.release("db", "roles: [database]", package=WEB.replace("web", "db"))
    workspace.release("shop", "dependencies: [database]\nparameters: {replicas: 2}")
    workspace.release("web")
    store._recent.clear()
    assert workspace.build().exit == 0
    return workspace


def state_file(workspace: Workspace) -> Path:
    (path,) = (workspace.root / ".cache/kcd-gen/state").iterdir()
    return path


def restored_in(workspace: Workspace, *flags: str) -> int:
    """Build in a new process, as it were, and return how many Releases were restored."""
    store._recent.clear()
    found: list[int] = []
    restore = KnownReleases.restore

    def counted(*arguments: Any) -> Any:
        result = restore(*arguments)
        found.append(len(result))
        return result

    with mock.patch.object(KnownReleases, "restore", counted):
        workspace.build(*flags)
    return sum(found)


def test_a_second_build_restores_every_release(platform: Workspace) -> None:
    assert restored_in(platform) == 3
    assert restored_in(platform, "--full") == 0


def test_the_output_of_a_release_that_is_restored_with_an_error_is_kept(platform: Workspace) -> None:
    """Roles are found out after a Release is restored."""
    (platform.root / "sources/default-db.yaml").unlink()
    shop = (platform.output / "flux/default/shop.yaml").read_bytes()
    flags = ("--keep-going", "--allow-removals", "1", "--format", "json")
    before = files_below(platform.output)
    report = platform.build(*flags)
    assert report.exit == 1
    statuses = {one["name"]: one["status"] for one in json.loads(report.out)["releases"]}
    assert statuses == {"db": "removed", "shop": "failed", "web": "compiled"}
    assert (platform.output / "flux/default/shop.yaml").read_bytes() == shop
    found = files_below(platform.output)
    assert before.keys() - found.keys() == {name for name in before if "/db/" in name or "/db." in name}


def test_a_damaged_content_is_compiled_again_and_the_state_is_replaced(platform: Workspace) -> None:
    wanted = files_below(platform.output)
    path = state_file(platform)
    data = bytearray(path.read_bytes())
    data[-40:] = bytes(40)
    path.write_bytes(data)
    shutil.rmtree(platform.output)
    store._recent.clear()
    built = platform.build("--format", "json")
    assert files_below(platform.output) == wanted
    assert {one["change"] for each in json.loads(built.out)["releases"] for one in each["resources"]} == {"created"}
    shutil.rmtree(platform.output)
    with mock.patch.object(State, "blob", autospec=True, side_effect=State.blob) as blob:
        assert restored_in(platform) == 3
    assert blob.call_count
    assert files_below(platform.output) == wanted


def test_a_limit_is_reported_as_without_a_state(platform: Workspace) -> None:
    """The limit is part of what a state belongs to, so it is exceeded by something new."""
    size = sum(map(len, files_below(platform.output).values()))
    limits = ("--limit", f"output={size + 1000}")
    assert platform.build(*limits).exit == 0
    assert restored_in(platform, *limits) == 3
    for name in ("a", "b", "c", "d", "e", "zoo"):
        platform.release(name, "parameters: {replicas: 3}")
    incremental, full = platform.build(*limits), platform.build(*limits, "--full")
    assert (incremental.exit, incremental.out, incremental.err) == (full.exit, full.out, full.err)
    assert "run-limit" in full.err


def test_a_changed_index_of_the_layout_is_not_overlooked(platform: Workspace) -> None:
    path = platform.root / "packages/index.json"
    path.write_text(path.read_text().replace("application/vnd.oci.image.manifest.v1+json", "application/x", 1))
    incremental, full = platform.build(), platform.build("--full")
    assert incremental == full
    assert "not-a-package" in full.err


def test_what_a_removed_release_had_is_in_the_report(platform: Workspace) -> None:
    """The old content of a file is read before it is removed, also if its digest is known."""
    restored_in(platform)
    (platform.root / "sources/default-web.yaml").unlink()
    built = platform.build("--format", "json")
    assert built.exit == 0
    (removed,) = (one for one in json.loads(built.out)["releases"] if one["name"] == "web")
    assert {one["change"] for one in removed["resources"]} == {"removed"}
    assert len(removed["resources"]) == 3
