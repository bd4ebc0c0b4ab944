"""The versions of Flux that must accept the output: `flux` in the project file, and `--flux`."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubocd_gen.schema.flux_versions import FLUX_VERSIONS
from tests.support.flux import flux_documents, refusals
from tests.support.quickstart import QUICKSTART
from tests.support.workspace import Workspace, kcd_gen

PARITY = Path(__file__).resolve().parents[3] / "shared/parity"
# The default failure strategy of KuboCD's own chart.
RETRY = """\
apiVersion: kubocd.kubotal.io/v1alpha1
kind: Config
metadata: {name: conf, namespace: kubocd}
spec:
  defaultOnFailureStrategy: retry
  onFailureStrategies:
  - name: retry
    strategy:
      install: {strategy: {name: RetryOnFailure, retryInterval: 1m}}
      upgrade: {strategy: {name: RetryOnFailure, retryInterval: 1m}}
"""
MODES: dict[str, tuple[tuple[str, ...], str]] = {
    "server": ((), "2.6"),
    "git": (("--delivery", "git"), "2.6"),
    "oci": (("--delivery", "oci", "--chart-repository", "oci://registry.example.com/charts"), "2.6"),
    "artifact": (("--delivery", "artifact"), "2.8"),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_quickstart_is_valid_in_each_mode_for_every_version_that_the_mode_supports(
    mode: str, tmp_path: Path
) -> None:
    flags, oldest = MODES[mode]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)  # that of the charts, for `git`
    versions = FLUX_VERSIONS[FLUX_VERSIONS.index(oldest) :]
    for version in versions:
        where = ("--source", str(QUICKSTART / "cluster"), "--vendor", str(QUICKSTART / "packages"), "--output", version)
        outcome = kcd_gen("build", *where, *flags, "--flux", version, "--offline", directory=tmp_path)
        assert outcome.exit == 0, outcome.err
        documents = list(flux_documents(tmp_path / version / "flux"))
        assert documents
        assert [text for one in documents for text in refusals(one, versions)] == []
    if oldest != FLUX_VERSIONS[0]:
        older = FLUX_VERSIONS[: -len(versions)]
        assert [version for version in older if any(refusals(one, [version]) for one in documents)] == list(older)


def test_a_strategy_that_flux_2_6_lacks_is_an_error_of_each_release(workspace: Workspace) -> None:
    workspace.source("conf.yaml", RETRY)
    workspace.release("web")
    workspace.release("web", namespace="apps")
    outcome = workspace.build("--flux", "2.6", "--format", "json")
    report = json.loads(outcome.out)
    assert outcome.exit == 1
    assert not workspace.output.exists()
    found = [(one["release"], one["code"], one["path"], one["line"]) for one in report["diagnostics"]]
    assert sorted(found) == [
        ("apps/web", "flux-version", "sources/conf.yaml", 9),
        ("apps/web", "flux-version", "sources/conf.yaml", 10),
        ("default/web", "flux-version", "sources/conf.yaml", 9),
        ("default/web", "flux-version", "sources/conf.yaml", 10),
    ]
    assert {one["hint"] for one in report["diagnostics"]} == {
        "set 'flux: \"2.7\"' in the project file if every cluster has that version, or remove it"
    }
    assert workspace.build().exit == 0
    documents = list(flux_documents(workspace.output / "flux"))
    assert [text for one in documents for text in refusals(one, FLUX_VERSIONS[1:])] == []


def test_clusters_have_their_own_version(workspace: Workspace) -> None:
    workspace.source("conf.yaml", RETRY)
    workspace.release("web")
    (workspace.root / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\nclusters:\n"
        "- {name: new, sources: [sources], output: new, flux: '2.9'}\n"
        "- {name: old, sources: [sources], output: old, flux: '2.6'}\n"
    )
    outcome = kcd_gen("build", "--offline", "--format", "json", directory=workspace.root)
    assert outcome.exit == 1
    found = json.loads(outcome.out)["diagnostics"]
    assert {(one["cluster"], one["code"]) for one in found} == {("old", "flux-version")}
    assert kcd_gen("build", "--offline", "--cluster", "new", directory=workspace.root).exit == 0


def test_version_lists_the_versions_of_flux(tmp_path: Path) -> None:
    outcome = kcd_gen("version", "--format", "json", directory=tmp_path)
    assert json.loads(outcome.out)["flux"] == list(FLUX_VERSIONS)


@pytest.mark.slow
@pytest.mark.skipif(not PARITY.is_dir(), reason="the parity cases are not next to the checkout")
def test_what_kubocd_creates_is_valid_for_every_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(PARITY))
    write_layout: Callable[[Path, Path], None] = importlib.import_module("layout").write_layout
    found: list[str] = []
    count = 0
    for case in sorted(path.parent for path in PARITY.glob("cases/*/expected.json")):
        work = tmp_path / case.name
        work.mkdir()
        write_layout(case, work / "layout")
        addresses: dict[str, Any] = {}
        if (case / "dns.yaml").exists():
            addresses = yaml.safe_load((case / "dns.yaml").read_text(encoding="utf-8"))
        resolve = [word for name, address in addresses.items() for word in ("--resolve", f"{name}={address}")]
        flags = ("--source", str(case / "cluster"), "--output", "deploy", "--vendor", "layout", "--offline")
        kcd_gen("build", *flags, "--keep-going", *resolve, directory=work)  # for the default, Flux 2.7
        for document in flux_documents(work / "deploy/flux"):
            count += 1
            found += [f"{case.name}: {text}" for text in refusals(document, FLUX_VERSIONS[1:])]
    assert count > 1000
    # KuboCD creates resources with any name; kcd-gen warns of those that Kubernetes rejects.
    assert [text for text in found if "metadata.name must be" not in text] == []


@pytest.mark.slow
@pytest.mark.skipif(not PARITY.is_dir(), reason="the parity cases are not next to the checkout")
@pytest.mark.parametrize(
    ("mode", "counts"),
    [
        ("server", {"HelmRelease": 37, "HelmRepository": 24, "OCIRepository": 24}),
        ("git", {"HelmRelease": 37}),
        ("oci", {"HelmRelease": 37, "OCIRepository": 36}),
        ("artifact", {"ArtifactGenerator": 24, "HelmRelease": 37, "OCIRepository": 24}),
    ],
)
def test_a_real_platform_is_valid_in_each_mode(
    mode: str, counts: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts are those of docs/delivery.md."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(PARITY))
    importlib.import_module("layout").write_layout(PARITY / "cases/okdp", tmp_path / "layout")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    flags, oldest = MODES[mode]
    where = ("--source", str(PARITY / "cases/okdp/cluster"), "--output", "deploy", "--vendor", "layout", "--offline")
    outcome = kcd_gen("build", *where, *flags, directory=tmp_path)
    assert outcome.exit == 0, outcome.err
    documents = list(flux_documents(tmp_path / "deploy/flux"))
    versions = [version for version in FLUX_VERSIONS if version >= max(oldest, "2.7")]
    assert [text for one in documents for text in refusals(one, versions)] == []
    kinds = Counter(one["kind"] for one in documents if one["kind"] != "Namespace")
    assert kinds == counts
