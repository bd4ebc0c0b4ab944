"""`kcd-gen image`: what the image contains, where it goes, and what it is compared with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kubocd_gen.oci.descriptors import sha256
from kubocd_gen.oci.layer import EARLIEST, LATEST
from kubocd_gen.server.container import configuration
from tests.support.bases import BaseMaker
from tests.support.registry import Running, make_authority, program, run_registry, skopeo
from tests.support.workspace import Outcome, Workspace, kcd_gen

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas/kcd-gen/image-v1alpha1.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs/image.md").read_text(encoding="utf-8")
DOCUMENTED = re.findall(r"^    (kcd-gen image .*)$", PAGE, re.MULTILINE)
KUSTOMIZATION = """\
# mine
resources: [deployment.yaml]
images:
- name: other
  newTag: "1"
- name: kcd-gen-charts   # the server
  newName: registry.example.com/old
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A project of one cluster with two Releases of one package."""
    made = Workspace(tmp_path)
    made.package()
    made.release("web")
    made.release("shop")
    head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\n"
    (tmp_path / "kcd-gen.yaml").write_text(f"{head}clusters:\n- {{name: prod, sources: [sources], output: output}}\n")
    return made


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def image(workspace: Workspace, *arguments: str) -> Outcome:
    return kcd_gen("image", *arguments, directory=workspace.root)


def single(workspace: Workspace) -> str:
    maker = BaseMaker(workspace.root / "base")
    return maker.named(maker.image())


def several(workspace: Workspace, *, docker: bool = False) -> str:
    maker = BaseMaker(workspace.root / "bases", docker=docker)
    return maker.named(maker.platforms())


def pushed(registry: Running, workspace: Workspace, base: str, repository: str) -> str:
    """Push a base image to the registry with skopeo; return its reference with the digest."""
    reference = f"{registry.host}/{repository}:1"
    skopeo("copy", "--all", "--dest-tls-verify=false", base, f"docker://{reference}", home=workspace.root)
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{reference}", home=workspace.root)
    return f"{reference}@{sha256(raw.encode())}"


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def read(layout: Path, digest: str) -> Any:
    data = blob(layout, digest)
    assert sha256(data) == digest
    return json.loads(data)


def top(layout: Path, name: str = "kcd-gen-charts") -> Any:
    entries = json.loads((layout / "index.json").read_bytes())["manifests"]
    (entry,) = (one for one in entries if one["annotations"]["org.opencontainers.image.ref.name"] == name)
    return entry


def test_the_image_has_the_expected_content(workspace: Workspace) -> None:
    outcome = image(workspace, "--base", single(workspace), "--output", "made")
    assert (outcome.exit, outcome.err) == (0, "")
    layout = workspace.root / "made"
    entry = top(layout)
    assert outcome.out == f"Wrote oci:made:kcd-gen-charts {entry['digest']} (layers: 4 copied)\n"
    manifest = read(layout, entry["digest"])
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert [one["mediaType"].rpartition(".")[2] for one in manifest["layers"]] == ["tar+gzip", "tar+gzip", "tar", "tar"]
    config = read(layout, manifest["config"]["digest"])
    assert config["rootfs"]["diff_ids"][2:] == [one["digest"] for one in manifest["layers"][2:]]
    run = config["config"]
    assert (run["User"], run["StopSignal"], run["WorkingDir"]) == ("65532:65532", "SIGQUIT", "/")
    assert run["Entrypoint"] == ["nginx", "-e", "/dev/stderr", "-g", "daemon off;"]
    assert run["ExposedPorts"] == {"8080/tcp": {}}
    assert run["Env"] == ["PATH=/bin", "NGINX=1"]
    assert not {"Cmd", "Volumes"} & run.keys()
    assert run["Labels"]["vendor"] == "somebody"
    assert run["Labels"]["org.opencontainers.image.title"] == "kcd-gen-charts"
    assert config["created"] == "2024-02-03T04:05:06Z"
    assert len([one for one in config["history"] if not one.get("empty_layer")]) == 4

    files: dict[str, bytes] = {}
    for one in manifest["layers"][2:]:
        with tarfile.open(layout / "blobs" / one["digest"].replace(":", "/"), "r:") as tar:
            for member in tar:
                assert (member.uid, member.gid, member.mode & 0o222) == (0, 0, 0) or member.name == "srv"
                if not member.isdir():
                    content = tar.extractfile(member)
                    assert content is not None
                    files[f"/{member.name}"] = content.read()
                    assert EARLIEST <= member.mtime < LATEST
    assert kcd_gen("build", directory=workspace.root).exit == 0
    served = {f"/srv/kcd-gen/{path.relative_to(workspace.output)}": path for path in workspace.output.glob("hr/*/*/*")}
    assert files == {name: path.read_bytes() for name, path in served.items()} | {
        name: text.encode() for name, text in configuration().items()
    }


def test_the_same_output_makes_the_same_image_anywhere_at_any_time(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    single(workspace)
    digests: set[str] = set()
    for zone, mask, seed in (("UTC", "022", "0"), ("Asia/Tokyo", "077", "1")):
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        subprocess.run(["cp", "-r", *(str(path) for path in workspace.root.iterdir()), str(elsewhere)], check=True)
        command = f"umask {mask}; exec {sys.executable} -m kubocd_gen image --base oci:base:base --output made --quiet"
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        if digests:
            time.sleep(1.1)  # archives store whole seconds
        subprocess.run(["sh", "-c", command], cwd=elsewhere, check=True, env=environment)
        digests.add(top(elsewhere / "made")["digest"])
    assert len(digests) == 1


def test_every_platform_is_kept(workspace: Workspace) -> None:
    outcome = image(workspace, "--base", several(workspace), "--output", "made:charts:prod")
    assert outcome.exit == 0
    assert "note[base-part-left-out]" in outcome.err
    layout = workspace.root / "made"
    index = read(layout, top(layout, "charts:prod")["digest"])
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert [one["platform"] for one in index["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
    ]
    layers = [[one["digest"] for one in read(layout, entry["digest"])["layers"]] for entry in index["manifests"]]
    assert layers[0][0] == layers[1][0]  # as in the base
    assert layers[0][1] != layers[1][1]
    assert layers[0][2:] == layers[1][2:]


def test_platforms_can_be_selected(workspace: Workspace) -> None:
    base = several(workspace)
    assert image(workspace, "--base", base, "--output", "made", "--platform", "linux/arm64").exit == 0
    index = read(workspace.root / "made", top(workspace.root / "made")["digest"])
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["arm64"]
    missing = image(workspace, "--base", base, "--output", "made", "--platform", "linux/s390x")
    assert missing.exit == 1
    assert "error[missing-platform]" in missing.err
    assert "available platforms: linux/amd64, linux/arm64/v8" in missing.err


def test_docker_media_types_become_oci_types_and_the_layers_are_unchanged(workspace: Workspace) -> None:
    assert image(workspace, "--base", several(workspace, docker=True), "--output", "docker").exit == 0
    docker = read(workspace.root / "docker", top(workspace.root / "docker")["digest"])
    for entry in docker["manifests"]:
        manifest = read(workspace.root / "docker", entry["digest"])
        types = {
            manifest["mediaType"],
            manifest["config"]["mediaType"],
            *(one["mediaType"] for one in manifest["layers"]),
        }
        assert not any("docker" in one for one in types)
        for layer in manifest["layers"]:
            assert sha256(blob(workspace.root / "docker", layer["digest"])) == layer["digest"]


def test_skopeo_and_buildah_read_it(workspace: Workspace) -> None:
    assert image(workspace, "--base", several(workspace), "--output", "made").exit == 0
    layout = f"oci:{workspace.root / 'made'}:kcd-gen-charts"
    inspected = json.loads(skopeo("inspect", layout, home=workspace.root))
    assert inspected["Labels"]["org.opencontainers.image.title"] == "kcd-gen-charts"
    skopeo("copy", "--all", layout, f"oci:{workspace.root / 'copy'}:x", home=workspace.root)
    storage = ("--root", str(workspace.root / "s"), "--runroot", str(workspace.root / "r"), "--storage-driver", "vfs")
    done = subprocess.run(
        [program("buildah", "buildah"), *storage, "pull", "--quiet", layout], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_push_to_a_registry_that_serves_plain_http_needs_insecure(registry: Running, workspace: Workspace) -> None:
    outcome = image(workspace, "--base", single(workspace), "--push", f"{registry.host}/charts/prod:main")
    assert outcome.exit == 4
    assert f"{registry.host} does not serve HTTPS\n    if it serves plain HTTP, add --insecure\n" in outcome.err
    base = pushed(registry, workspace, single(workspace), "bases/nginx")
    outcome = image(workspace, "--base", base, "--push", "registry.example.com/charts/prod:main", "--insecure")
    assert outcome.exit == 4
    assert f"skopeo copy --all --src-tls-verify=false docker://{registry.host}/bases/nginx:TAG oci:DIR" in outcome.err


def test_a_push_sends_only_missing_blobs_and_writes_the_digest(registry: Running, workspace: Workspace) -> None:
    path = workspace.output / "server/kustomization.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(KUSTOMIZATION)
    base = pushed(registry, workspace, several(workspace), "bases/nginx")
    name = f"{registry.host}/charts/prod:main"
    arguments = ("--base", base, "--push", name, "--insecure")
    before = len(registry.requests())
    outcome = image(workspace, *arguments)
    assert outcome.exit == 0, outcome
    digest = re.findall(r"sha256:[0-9a-f]{64}", outcome.out)[0]
    assert outcome.out == (
        f"Pushed {name} {digest} (layers: 2 copied, 3 mounted)\nUpdated output/server/kustomization.yaml\n"
        "Created output/server/charts.list\n"
    )
    requests = registry.requests()[before:]
    assert not [one for one in requests if one.startswith("GET") and "/blobs/" in one and "bases" not in one]
    assert requests[-1] == "PUT /v2/charts/prod/manifests/main"
    assert path.read_text() == KUSTOMIZATION.replace(
        "newName: registry.example.com/old\n", f"newName: {registry.host}/charts/prod\n  digest: {digest}\n"
    )
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}", home=workspace.root)
    assert sha256(raw.encode()) == digest
    skopeo(
        "copy",
        "--all",
        "--src-tls-verify=false",
        f"docker://{name}",
        f"oci:{workspace.root}/back:x",
        home=workspace.root,
    )

    before = len(registry.requests())
    again = image(workspace, *arguments)
    assert (again.exit, again.out) == (
        0,
        f"Unchanged {name} {digest}\nUnchanged output/server/kustomization.yaml\nUnchanged output/server/charts.list\n",
    )
    assert {one.partition(" ")[0] for one in registry.requests()[before:]} <= {"GET", "HEAD"}
    assert not [
        one for one in registry.requests()[before:] if "layer" in one or (one.startswith("GET") and "charts" in one)
    ]

    workspace.release("third")
    before = len(registry.requests())
    changed = image(workspace, *arguments)
    assert changed.exit == 0
    assert "(layers: 1 copied, 4 already present)" in changed.out
    sent = [one for one in registry.requests()[before:] if one.startswith(("PUT", "POST"))]
    assert len([one for one in sent if "/blobs/uploads" in one]) == 2 * (1 + 2)  # a layer and two configs
    assert path.read_text().count("digest: sha256:") == 1


def test_the_layers_of_a_base_elsewhere_are_copied_by_a_push(
    registry: Running, workspace: Workspace, tmp_path: Path
) -> None:
    outcome = image(
        workspace, "--base", single(workspace), "--push", f"{registry.host}/elsewhere/charts:1", "--insecure"
    )
    assert outcome.exit == 0, outcome
    assert "(layers: 4 copied)" in outcome.out
    assert "note[unpinned-image]" in outcome.err
    skopeo(
        *("copy", "--src-tls-verify=false", f"docker://{registry.host}/elsewhere/charts:1"),
        f"oci:{tmp_path}/back:x",
        home=workspace.root,
    )


def test_a_private_registry_with_tls_on_both_sides(workspace: Workspace, tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "ca")
    with run_registry(tmp_path / "private", login=True, ca=authority) as private:
        name = f"{private.host}/charts:1"
        refused = image(workspace, "--base", single(workspace), "--push", name, "--ca-file", str(authority.certificate))
        assert refused.exit == 4
        assert "error[registry-denied]" in refused.err
        host = private.host.upper().replace(".", "_").replace(":", "_")
        outcome = kcd_gen(
            *("image", "--base", "oci:base:base", "--push", name, "--ca-file", str(authority.certificate)),
            directory=workspace.root,
            environment={f"KCD_OCI_{host}_USER": "alice", f"KCD_OCI_{host}_SECRET": "open:sesame"},
        )
        assert outcome.exit == 0, outcome


def test_a_base_with_only_a_tag_is_a_warning(registry: Running, workspace: Workspace) -> None:
    base = pushed(registry, workspace, single(workspace), "bases/single")
    name, _, digest = base.partition("@")
    outcome = image(workspace, "--base", name, "--push", f"{registry.host}/warned/charts:1", "--insecure")
    assert outcome.exit == 0
    assert f"warning[unpinned-base]: the base '{name}'" in outcome.err
    assert f"--base {name}@{digest}" in outcome.err


def test_check_reports_an_outdated_image(registry: Running, workspace: Workspace) -> None:
    path = workspace.output / "server/kustomization.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(KUSTOMIZATION)
    base = pushed(registry, workspace, single(workspace), "bases/checked")
    name = f"{registry.host}/checked/charts:main"
    arguments = ("--base", base, "--push", name, "--insecure")

    def check() -> Outcome:
        before = len(registry.requests()), path.read_text()
        outcome = image(workspace, *arguments, "--check")
        requests = registry.requests()[before[0] :]
        assert {one.partition(" ")[0] for one in requests} <= {"GET", "HEAD"}
        assert not [one for one in requests if "/blobs/" in one and one.startswith("HEAD")]
        assert path.read_text() == before[1]
        return outcome

    missing = check()
    assert missing.exit == 3
    assert f"{name} is missing, expected sha256:" in missing.out
    assert "output/server/kustomization.yaml is out of date" in missing.out
    assert f"run: kcd-gen image --base {base} --push {name} --insecure\n" in missing.out
    assert image(workspace, *arguments).exit == 0
    current = check()
    assert (current.exit, current.err) == (0, "")
    assert "is up to date" in current.out
    workspace.release("third")
    assert check().exit == 3
    assert image(workspace, *arguments).exit == 0
    path.write_text(re.sub("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", path.read_text()))
    moved = check()
    assert moved.exit == 3
    assert f"{name} is" not in moved.out


def test_check_with_an_unreachable_registry_is_a_network_error(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubocd_gen.network.hosts.OUTAGE", 0.1)
    arguments = ("--push", "127.0.0.1:1/charts:1", "--insecure", "--check")
    outcome = image(workspace, "--base", single(workspace), *arguments)
    assert outcome.exit == 4


@pytest.mark.parametrize("arguments", [("--output", "made"), ("--output", "made", "--platform", "linux/s390x")])
def test_the_report(workspace: Workspace, arguments: tuple[str, ...]) -> None:
    outcome = image(workspace, "--base", several(workspace), *arguments, "--format", "json")
    report = json.loads(outcome.out)
    jsonschema.validate(report, SCHEMA)
    assert report["status"] == ("failed" if outcome.exit else "written")
    assert len(report["platforms"]) == (0 if outcome.exit else 2)


def test_a_base_with_another_server_is_supported(workspace: Workspace) -> None:
    outcome = image(
        workspace, "--base", single(workspace), "--output", "made", "--no-nginx", "--content-root", "/usr/share/caddy/"
    )
    assert outcome.exit == 0, outcome
    layout = workspace.root / "made"
    manifest = read(layout, top(layout)["digest"])
    config = read(layout, manifest["config"]["digest"])["config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["/entrypoint.sh"], ["nginx"])
    assert "User" not in config
    assert len(manifest["layers"]) == 3
    with tarfile.open(layout / "blobs" / manifest["layers"][2]["digest"].replace(":", "/"), "r:") as tar:
        assert tar.getnames()[0] == "usr/share/caddy/hr"  # nothing is reported about directories of the base


def test_an_error_in_the_sources_pushes_nothing(registry: Running, workspace: Workspace) -> None:
    workspace.release("broken", "parameters: {nothing: 1}\n")
    before = len(registry.requests())
    outcome = image(workspace, "--base", single(workspace), "--push", f"{registry.host}/no/charts:1", "--insecure")
    assert outcome.exit == 1
    assert "error[unknown-parameter]" in outcome.err
    assert outcome.out == ""
    assert registry.requests()[before:] == []


def test_a_kustomization_that_cannot_be_changed_is_reported_before_the_push(
    registry: Running, workspace: Workspace
) -> None:
    path = workspace.output / "server/kustomization.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("images: [&a {name: kcd-gen-charts}, *a]\n")
    before = len(registry.requests())
    outcome = image(workspace, "--base", single(workspace), "--push", f"{registry.host}/odd/charts:1", "--insecure")
    assert outcome.exit == 1
    assert "error[bad-kustomization]" in outcome.err
    assert registry.requests()[before:] == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "Missing option '--base'"),
        (("--base", "oci:base:base"), "--push REF and --output LAYOUT"),
        (("--base", "oci:base:base", "--push", "a.b/c:1", "--output", "x"), "--push REF and --output LAYOUT"),
        (("--base", "oci:base:base", "--output", "x", "--content-root", "/a"), "--content-root requires --no-nginx"),
        (
            ("--base", "oci:base:base", "--output", "x", "--no-nginx", "--content-root", "/a/../b"),
            "--content-root '/a/../b'",
        ),
    ],
)
def test_invalid_combinations_of_flags_are_an_error(
    workspace: Workspace, arguments: tuple[str, ...], expected: str
) -> None:
    single(workspace)
    outcome = image(workspace, *arguments)
    assert outcome.exit == 2
    assert expected in outcome.err


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("nginx", "for Docker Hub, use docker.io/library/nginx"),
        ("nginxinc/nginx:1", "for Docker Hub, use docker.io/nginxinc/nginx:1"),
        ("docker.io/library/nginx", "neither a tag nor a digest"),
        ("docker.io/library/nginx@sha256:123", "has no valid digest"),
        ("oci:", "has no directory"),
        ("oci:nowhere", "nowhere"),
        ("oci:base:other", "available images: base"),
    ],
)
def test_an_invalid_base_is_an_error(workspace: Workspace, base: str, expected: str) -> None:
    single(workspace)
    outcome = image(workspace, "--base", base, "--output", "made", "--offline")
    assert outcome.exit == 1
    assert expected in outcome.err
    assert not (workspace.root / "made").exists()


def test_several_clusters_require_a_selection(workspace: Workspace) -> None:
    text = (workspace.root / "kcd-gen.yaml").read_text()
    (workspace.root / "kcd-gen.yaml").write_text(text + "- {name: test, sources: [sources], output: test}\n")
    base = single(workspace)
    outcome = image(workspace, "--base", base, "--output", "made")
    assert (outcome.exit, outcome.out) == (2, "")
    assert "choose one with --cluster: prod, test" in outcome.err
    assert image(workspace, "--base", base, "--output", "made", "--cluster", "test").exit == 0


def test_the_air_gap_of_the_page(workspace: Workspace) -> None:
    assert "kcd-gen image --base oci:bases/nginx:1.28 --output charts.oci --offline" in DOCUMENTED
    single(workspace)
    (workspace.root / "bases").mkdir()
    (workspace.root / "base").rename(workspace.root / "bases/nginx")
    index = workspace.root / "bases/nginx/index.json"
    index.write_text(index.read_text().replace('"base"', '"1.28"'))
    outcome = image(workspace, "--base", "oci:bases/nginx:1.28", "--output", "charts.oci", "--offline")
    assert outcome.exit == 0, outcome


@pytest.mark.parametrize("command", DOCUMENTED)
def test_every_flag_of_the_page_exists(command: str, tmp_path: Path) -> None:
    printed = kcd_gen("image", "--help", directory=tmp_path).out
    assert set(re.findall(r"--[a-z-]+", command)) <= set(re.findall(r"--[a-z-]+", printed))


def test_a_helm_version_other_than_the_locked_one_is_reported(workspace: Workspace) -> None:
    assert kcd_gen("lock", directory=workspace.root).exit == 0
    lock = workspace.root / "kcd-gen.lock"
    lock.write_text(re.sub("helm: .*", "helm: '3.0'", lock.read_text()))
    run = ("--base", single(workspace), "--output", "charts.oci")
    assert "warning[other-helm]" in image(workspace, *run).err
    locked = image(workspace, *run, "--locked")
    assert (locked.exit, "error[other-helm]" in locked.err) == (1, True)
