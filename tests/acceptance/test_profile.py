"""`--profile` writes a trace of the run, whatever becomes of the run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import write_layout
from tests.support.registry import SECRET, USER, make_authority, run_registry, skopeo
from tests.support.workspace import WEB_MANIFEST, Workspace, kcd_gen, package_content, status_of

PHASES = ("read sources", "resolve packages", "render parameters", "render packages", "assemble")


def trace(path: Path) -> list[dict[str, Any]]:
    """Return the events of a trace that are operations."""
    return [one for one in json.loads(path.read_text())["traceEvents"] if one["ph"] == "X"]


def assert_nested(path: Path) -> None:
    """Two events of a thread must not overlap unless one contains the other, or viewers drop one of them."""
    events = trace(path)
    for one in events:
        for other in events:
            if one["tid"] == other["tid"] and one["ts"] < other["ts"] < one["ts"] + one["dur"]:
                assert other["ts"] + other["dur"] <= one["ts"] + one["dur"] + 0.0005


def names(path: Path, kind: str) -> list[str]:
    return [one["name"] for one in trace(path) if one["cat"] == kind]


def phases(path: Path) -> list[str]:
    """Return the phases in the trace that every compilation has had so far, in their order."""
    return [name for name in names(path, "pipeline") if name in (*PHASES, "plan", "write", "check templates")]


def test_a_build(workspace: Workspace) -> None:
    workspace.release("web")
    path = workspace.root / "traces/build.json"
    assert workspace.build("--profile", "traces/build.json").exit == 0
    assert phases(path) == [*PHASES, "plan", "write"]
    assert names(path, "helm") == ["helm template"]
    assert names(path, "output") == ["write output"]
    assert_nested(path)


def test_the_output_of_the_command_is_the_same(workspace: Workspace) -> None:
    workspace.release("web")
    plain = workspace.build("--check")
    assert "run: kcd-gen build" in plain.out
    assert workspace.build("--check", "--profile", "trace") == plain


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("lint",), (*PHASES, "check templates")),
        (("diff", "--from", "other"), PHASES * 2),
        (("image", "--base", "oci:missing:base", "--output", "image"), PHASES),
        (("migrate", "check", "dump.yaml"), PHASES),
    ],
)
def test_other_commands(workspace: Workspace, command: tuple[str, ...], expected: tuple[str, ...]) -> None:
    workspace.release("web")
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
    clusters = "clusters: [{name: prod, sources: [sources], output: output}]\n"
    (workspace.root / "kcd-gen.yaml").write_text(head + clusters)
    (workspace.root / "dump.yaml").write_text("apiVersion: v1\nkind: List\nitems: []\n")
    shutil.copytree(workspace.root / "packages", workspace.root / "other/packages")
    shutil.copytree(workspace.root / "sources", workspace.root / "other/sources")
    (workspace.root / "other/kcd-gen.yaml").write_text(head + clusters)
    (workspace.root / "other/sources/default-web.yaml").write_text(
        (workspace.root / "sources/default-web.yaml").read_text().replace("name: web", "name: shop")
    )
    kcd_gen(*command, directory=workspace.root, environment={"KCD_GEN_PROFILE": "trace"})
    path = workspace.root / "trace"
    assert names(path, "cli")[0] == " ".join(["kcd-gen", *command[: 1 + (command[0] == "migrate")]])
    assert sorted(phases(path)) == sorted(expected)
    assert names(path, "diffing") == ["compare"] * (command[0] == "diff")


def test_a_failed_build(workspace: Workspace) -> None:
    workspace.release("web", "parameters: {unknown: 1}\n")
    assert workspace.build("--profile", "trace").exit == 1
    assert phases(workspace.root / "trace") == [*PHASES]
    assert workspace.build("--profile", "trace", "--helm", "missing").exit == 1
    assert names(workspace.root / "trace", "cli") == ["kcd-gen build", "start"]


@pytest.mark.parametrize("kind", ["fifo", "symlink", "directory", "device"])
def test_only_a_regular_file_is_replaced_and_otherwise_nothing_is_built(workspace: Workspace, kind: str) -> None:
    workspace.release("web")
    path = workspace.root / "trace"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to("target")
    elif kind == "directory":
        path.mkdir()
    else:
        path = Path("/dev/full")
    before = path.lstat()
    outcome = workspace.build("--profile", str(path) if kind == "device" else "trace")
    assert outcome.exit == 1
    assert "error[unusable-file]: cannot write the profile" in outcome.err
    assert path.lstat() == before
    assert not (workspace.root / "target").exists()
    assert not workspace.output.exists()


def test_standard_output_is_no_file(workspace: Workspace) -> None:
    outcome = workspace.build("--profile", "-")
    assert outcome.exit == 2
    assert "Invalid value for '--profile': '-' is not a file" in outcome.err


def test_requests_are_in_the_trace_and_credentials_are_not(tmp_path: Path, workspace: Workspace) -> None:
    authority = make_authority(tmp_path / "authority")
    with run_registry(tmp_path / "registry", login=True, ca=authority) as registry:
        write_layout(tmp_path / "made", {"web": package_content(WEB_MANIFEST, status_of(WEB_MANIFEST))})
        skopeo(
            *("copy", f"--dest-creds={USER}:{SECRET}", "--dest-tls-verify=false"),
            *(f"oci:{tmp_path / 'made'}:web", f"docker://{registry.host}/demo/web:1.0.0"),
            home=tmp_path,
        )
        workspace.release("web", package=f"{registry.host}/demo/web:1.0.0")
        variable = "KCD_OCI_" + registry.host.upper().replace(".", "_").replace(":", "_")
        outcome = kcd_gen(
            *("build", "--source", "sources", "--output", "output", "--profile", "trace"),
            *("--ca-file", str(authority.certificate)),
            directory=workspace.root,
            environment={f"{variable}_USER": USER, f"{variable}_SECRET": SECRET},
        )
    assert outcome.exit == 0, outcome.err
    text = (workspace.root / "trace").read_text()
    assert f"GET https://{registry.host}/v2/demo/web/blobs/sha256:" in text
    assert f"GET https://{registry.host}/v2/demo/web/manifests/" in text
    assert SECRET not in text
    assert {one["cat"] for one in trace(workspace.root / "trace")} >= {"network", "helm", "pipeline"}
    assert_nested(workspace.root / "trace")
