"""Whole commands against the real registry: the first, the warm, the locked and the vendored build."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import Running, run_registry, skopeo
from tests.support.registry_packages import push, release
from tests.support.workspace import WEB_MANIFEST, Outcome, Workspace, files_below, kcd_gen

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = 24


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def run(workspace: Workspace, command: str) -> Outcome:
    where = ("--source", "sources", "--output", "output")
    return kcd_gen(*shlex.split(command), *where, directory=workspace.root)


def pull(registry: Running, workspace: Workspace, command: str) -> list[str]:
    """Run a command that succeeds and return its requests, without those that vary from run to run."""
    before = len(registry.requests())
    outcome = run(workspace, command)
    assert (outcome.exit, outcome.err) == (0, "")
    return [re.sub(r"sha256:[0-9a-f]{64}", "<digest>", request) for request in registry.requests()[before:]]


def test_a_first_build_fetches_everything_once_a_warm_one_only_tags_a_locked_one_nothing(
    registry: Running, workspace: Workspace
) -> None:
    for index in range(PACKAGES):
        reference = push(registry, workspace, f"many/web{index}", manifest=WEB_MANIFEST + f"# {index}\n")
        release(workspace, f"web{index}", reference)
    first = pull(registry, workspace, "build")
    assert len(first) == 3 * PACKAGES
    assert len([request for request in first if "/blobs/" in request]) == PACKAGES
    warm = pull(registry, workspace, "build")
    assert len(warm) == PACKAGES
    assert {request.partition("/v2/")[0] for request in warm} == {"HEAD "}
    assert len(pull(registry, workspace, "lock")) == PACKAGES
    assert pull(registry, workspace, "build --locked") == []
    assert pull(registry, workspace, "lock --check") == []


def test_an_image_with_two_tags_is_fetched_once(registry: Running, workspace: Workspace) -> None:
    for tag in ("1.0.0", "1.0.1"):
        release(workspace, f"web-{tag[-1]}", push(registry, workspace, "same/web", tag))
    requests = pull(registry, workspace, "build --jobs 1")
    assert len([request for request in requests if "/blobs/" in request]) == 1


def test_a_moved_tag_is_a_warning_and_the_locked_image_is_used(registry: Running, workspace: Workspace) -> None:
    reference = push(registry, workspace, "moving/web")
    release(workspace, "web", reference)
    assert pull(registry, workspace, "lock")
    assert run(workspace, "build").exit == 0
    before = files_below(workspace.output)
    push(registry, workspace, "moving/web", manifest=WEB_MANIFEST + "description: another\n")
    shutil.rmtree(workspace.root / ".cache")
    outcome = run(workspace, "build")
    assert outcome.exit == 0
    assert "warning[moved-tag]" in outcome.err
    assert files_below(workspace.output) == before
    assert run(workspace, "lock --check --update").exit == 3
    assert run(workspace, "lock --update").exit == 0
    assert run(workspace, "build").err == ""


def test_a_vendored_project_builds_without_registry_and_cache(registry: Running, workspace: Workspace) -> None:
    release(workspace, "web", push(registry, workspace, "vendored/web"))
    for command in ("build", "lock", "vendor --vendor packages"):
        assert run(workspace, command).exit == 0
    before = files_below(workspace.output)
    shutil.rmtree(workspace.root / ".cache")
    shutil.rmtree(workspace.output)
    assert pull(registry, workspace, "build --vendor packages --locked") == []
    assert run(workspace, "build --vendor packages --locked --offline").exit == 0
    assert files_below(workspace.output) == before
    assert run(workspace, "vendor --vendor packages --offline").exit == 0  # all present, all intact


def test_prune_keeps_only_blobs_of_the_lock(registry: Running, workspace: Workspace) -> None:
    old, new = (push(registry, workspace, "pruned/web", tag, WEB_MANIFEST + f"# {tag}\n") for tag in ("1.0.0", "1.0.1"))
    release(workspace, "web", new)
    for command in ("lock", "vendor --vendor fresh"):
        assert run(workspace, command).exit == 0
    release(workspace, "web", old)
    for command in ("lock", "vendor --vendor vendored"):
        assert run(workspace, command).exit == 0
    release(workspace, "web", new)
    assert run(workspace, "lock").exit == 0
    outcome = run(workspace, "vendor --vendor vendored --prune")
    assert outcome.out == f"Vendored {new}\nRemoved {old}\n1 package in vendored\n"
    assert files_below(workspace.root / "vendored") == files_below(workspace.root / "fresh")
    assert run(workspace, "build --vendor vendored --locked --offline").exit == 0


def test_skopeo_reads_a_complete_vendored_layout(registry: Running, workspace: Workspace) -> None:
    reference = push(registry, workspace, "inspected/web")
    release(workspace, "web", reference)
    assert run(workspace, "lock").exit == 0
    assert run(workspace, "vendor --vendor packages").exit == 0
    source = f"oci:{workspace.root}/packages:{reference}"
    skopeo("copy", "--dest-tls-verify=false", source, f"docker://{registry.host}/copied/web:1.0.0", home=workspace.root)
    copied = json.loads(
        skopeo(
            "inspect", "--tls-verify=false", "--raw", f"docker://{registry.host}/copied/web:1.0.0", home=workspace.root
        )
    )
    assert len(copied["layers"]) == 1


def test_a_damaged_vendor_layout_is_repaired(registry: Running, workspace: Workspace) -> None:
    release(workspace, "web", push(registry, workspace, "repaired/web"))
    assert run(workspace, "lock").exit == 0
    assert run(workspace, "vendor --vendor packages").exit == 0
    before = files_below(workspace.root / "packages")
    for path in sorted(before):
        if path.startswith("blobs/"):
            (workspace.root / "packages" / path).write_bytes(b"damaged")
    assert "error[corrupt-blob]" in run(workspace, "build --vendor packages").err
    assert run(workspace, "vendor --vendor packages").exit == 0
    assert files_below(workspace.root / "packages") == before


def test_a_damaged_cache_entry_is_fetched_again(registry: Running, workspace: Workspace) -> None:
    release(workspace, "web", push(registry, workspace, "cached/web"))
    assert run(workspace, "lock").exit == 0
    for path in (workspace.root / ".cache").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    assert run(workspace, "build --locked").exit == 0
    assert kcd_gen("cache", "verify", directory=workspace.root).exit == 0


def test_the_cache_lists_packages_by_name(registry: Running, workspace: Workspace) -> None:
    reference = push(registry, workspace, "listed/web")
    release(workspace, "web", reference)
    assert run(workspace, "build").exit == 0
    listed = kcd_gen("cache", "list", directory=workspace.root).out
    assert len([line for line in listed.splitlines() if line.endswith(f"  {reference}")]) == 1
    assert any(line.startswith("2 blobs, ") for line in listed.splitlines())
    assert listed.splitlines()[-1].startswith("1 state of builds, ")


def test_a_package_missing_in_the_registry_is_a_network_error_at_its_tag(
    registry: Running, workspace: Workspace
) -> None:
    release(workspace, "web", f"{registry.host}/none/web:9.9.9")
    outcome = run(workspace, "build")
    assert outcome.exit == 4
    assert outcome.err.startswith("sources/web.yaml:4:")
    assert "error[missing-package]" in outcome.err


def test_the_commands_of_the_page_on_locks_work(registry: Running, workspace: Workspace) -> None:
    release(workspace, "redis", push(registry, workspace, "docs/redis"))
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: vendor/packages}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    commands = re.findall(r"^\$ kcd-gen (.*?) *(?:#.*)?$", (ROOT / "docs/lock.md").read_text(), re.MULTILINE)
    assert len(commands) == 12
    for command in commands:
        outcome = kcd_gen(*shlex.split(command), directory=workspace.root)
        assert (outcome.exit, outcome.err) == (0, ""), command
