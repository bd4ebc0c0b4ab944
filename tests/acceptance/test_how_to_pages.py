"""Every block of the how-to pages is run: files are written, and commands print what the page shows."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import cluster
from tests.support.bases import BaseMaker
from tests.support.charts import commit_all, git
from tests.support.pages import DOCS, Sandbox, sections
from tests.support.registry import SECRET, USER, CertificateAuthority, make_authority, program, run_registry
from tests.support.sessions import Block

ROOT = DOCS.parent
QUICKSTART = ROOT / "fixtures/quickstart"
RELEASE = QUICKSTART / "cluster/releases/podinfo1.yaml"
PACKAGE = "packages/podinfo:6.7.1-p01"
VENDORED = f"oci:{QUICKSTART}/packages:quay.io/kubodoc/{PACKAGE}"
PAGES = ("air-gap", "from-the-controller", "monorepo", "package-author", "private-registry", "several-clusters")
WORKFLOWS = ".github/workflows/"
INSTALLATION = "pipx install 'git+<URL of your copy of kcd-gen>@<commit>'"


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return make_authority(tmp_path / "authority")


def copy(source: str, target: str, ca: CertificateAuthority, home: Path) -> None:
    """Copy an image with skopeo, all of its platforms, trusting only the registry's authority."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "SSL_CERT_FILE": str(ca.certificate)}
    command = [program("skopeo", "skopeo"), "--insecure-policy", "copy", "--all", "--quiet", source, target]
    subprocess.run([*command, "--dest-creds", f"{USER}:{SECRET}"], env=environment, check=True, timeout=60)


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def steps(blocks: list[Block]) -> Iterator[tuple[Block, dict[str, str]]]:
    """Yield what the workflows of a section run, except for the installation of kcd-gen, each with its variables."""
    for block in blocks:
        if block.title.startswith(WORKFLOWS):
            workflow: dict[str, Any] = yaml.safe_load(block.text)
            for job in workflow["jobs"].values():
                for step in job["steps"]:
                    if step.get("run", INSTALLATION) != INSTALLATION:
                        values = {**workflow.get("env", {}), **job.get("env", {}), **step.get("env", {})}
                        yield (
                            Block("bash", "", step["run"] + "\n"),
                            {name: _value(text) for name, text in values.items()},
                        )


def _value(text: str) -> str:
    if text.startswith("${{"):
        return SECRET if "secrets." in text else USER
    return text


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_tested(page: str) -> None:
    blocks = [block for section in sections(f"how-to/{page}.md").values() for block in section]
    assert len(blocks) == (DOCS / f"how-to/{page}.md").read_text(encoding="utf-8").count("```") / 2
    assert all(block.is_file or block.is_session for block in blocks)


@pytest.mark.slow
def test_air_gap(tmp_path: Path, authority: CertificateAuthority) -> None:
    page = sections("how-to/air-gap.md")
    with run_registry(tmp_path / "registry", ca=authority) as outside:
        copy(VENDORED, f"docker://{outside.host}/kubodoc/{PACKAGE}", authority, tmp_path)
        base = BaseMaker(tmp_path / "base")
        nginx = base.named(base.platforms())
        copy(nginx, f"docker://{outside.host}/nginxinc/nginx-unprivileged:1.28-alpine", authority, tmp_path)
        trusting = {"SSL_CERT_FILE": str(authority.certificate)}
        box = Sandbox(tmp_path, {"quay.io": outside.host, "docker.io": outside.host}, trusting)
        git(tmp_path, "init", "--quiet", "--initial-branch=main", str(box.work))
        source = box.work / "clusters/prod/podinfo1.yaml"
        source.parent.mkdir(parents=True)
        source.write_text(box.to_local(RELEASE.read_text(encoding="utf-8")))
        box.run(page["Prepare on a machine with network access"])
    shutil.rmtree(box.home / ".cache")
    box.run(page["Build in the isolated network"])  # where nothing listens any more
    with run_registry(tmp_path / "inside", ca=authority) as inside:
        box = Sandbox(tmp_path, {**box.hosts, "registry.example.com": inside.host}, trusting)
        box.run(page["Build the server image in the isolated network"])
        box.run(page["Use a registry instead of a vendor layout"])
        assert f"PUT /v2/quay/kubodoc/{PACKAGE.replace(':', '/manifests/')}" in inside.requests()


@pytest.mark.slow
def test_private_registry(tmp_path: Path, authority: CertificateAuthority) -> None:
    page = sections("how-to/private-registry.md")
    with run_registry(tmp_path / "registry", ca=authority, login=True) as registry:
        copy(VENDORED, f"docker://{registry.host}/{PACKAGE}", authority, tmp_path)
        box = Sandbox(tmp_path, {"registry.example.com": registry.host})
        for directory in ("certs", "clusters/prod"):
            (box.work / directory).mkdir(parents=True)
        shutil.copy(authority.certificate, box.work / "certs/ca.crt")
        source = RELEASE.read_text(encoding="utf-8").replace("quay.io/kubodoc", registry.host)
        (box.work / "clusters/prod/podinfo1.yaml").write_text(source)
        clusters = "clusters: [{name: prod, sources: [clusters/prod], output: deploy/prod}]"
        (box.work / "kcd-gen.yaml").write_text(f"apiVersion: kcd-gen/v1alpha1\nkind: Project\n{clusters}\n")
        answer = f'{{"Username": "{USER}", "Secret": "{SECRET}"}}'
        helper = f"""[ "$1" = get ] && [ "$(cat)" = {registry.host} ] || exit 1\necho '{answer}'"""
        executable(box.home / "bin/docker-credential-secretservice", helper)

        box.run(page["Trust your own certificate authority"])
        trusting = {"KCD_GEN_CA_FILE": "certs/ca.crt"}
        box.run(page["Log in on your machine"], trusting)
        (box.home / ".docker/config.json").unlink()
        box.run(page["Set credentials in variables"], trusting)
        for step, variables in steps(page["Check for moved tags in CI"]):
            box.run([step], {box.to_local(name): value for name, value in variables.items()})
        box.run(page["Use a mirror"], trusting)


def test_from_the_controller(tmp_path: Path) -> None:
    page = sections("how-to/from-the-controller.md")
    box = Sandbox(tmp_path)
    shutil.copytree(QUICKSTART / "cluster", box.work / "clusters/prod")
    shutil.copytree(QUICKSTART / "packages", box.work / "vendor/packages")
    box.run(page["Compile the existing Releases"])
    live = [cluster.by_kubocd(one) for one in cluster.compiled_documents(box.work / "deploy/prod")]
    next(one for one in live if one["kind"] == "HelmRelease")["spec"]["values"]["replicaCount"] = 2
    package = {"repository": "quay.io/kubodoc/packages/podinfo", "tag": "6.7.1-p01"}
    live += [cluster.release("default", "podinfo1", {"package": package}), cluster.kubocd_deployment(1)]
    (tmp_path / "dump.json").write_text(cluster.dumped(live))
    executable(
        box.home / "bin/kubectl", f'case "$*" in *"-A -o json --show-managed-fields") cat {tmp_path}/dump.json; esac'
    )
    box.run(page["Compare with the cluster"])


def test_several_clusters(tmp_path: Path) -> None:
    page = sections("how-to/several-clusters.md")
    box = Sandbox(tmp_path)
    shutil.copytree(QUICKSTART / "packages", box.work / "vendor/packages")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(box.work))
    for section in page.values():
        box.run(section)


@pytest.mark.slow
def test_monorepo(tmp_path: Path) -> None:
    page = sections("how-to/monorepo.md")
    box = Sandbox(tmp_path)
    shutil.copytree(QUICKSTART / "packages", box.work / "platform/vendor/packages")
    shutil.copytree(RELEASE.parent, box.work / "platform/releases")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(box.work))
    for section in page.values():
        box.run(section)
    commit_all(box.work)
    known = {hook["id"]: hook["entry"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    (hooks,) = (block for block in page["Several projects"] if block.title == ".pre-commit-config.yaml")
    for hook in yaml.safe_load(hooks.text)["repos"][0]["hooks"]:
        box.run([Block("bash", "", " ".join([known[hook["id"]], *hook["args"]]) + "\n")])


@pytest.mark.slow
def test_package_author(tmp_path: Path, authority: CertificateAuthority) -> None:
    page = sections("how-to/package-author.md")
    with run_registry(tmp_path / "registry", ca=authority, login=True) as registry:
        box = Sandbox(tmp_path, {"quay.io": registry.host}, {"SSL_CERT_FILE": str(authority.certificate)})
        shutil.copytree(QUICKSTART / "chart/podinfo", box.work / "charts/hello")
        for section in page.values():
            box.run(section)
        for step, variables in steps(page["In CI"]):
            box.run([step], {box.to_local(name): box.to_local(value) for name, value in variables.items()})
        assert "PUT /v2/acme/packages/hello/manifests/1.0.0-p01" in registry.requests()
