"""The vendor layout can have a package as the Release writes it, or as a Config redirects it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.workspace import WEB, WEB_MANIFEST, Workspace, kcd_gen

MIRRORED = "mirror.example.com/demo/web:1.0.0"
CONFIG = """
    apiVersion: kubocd.kubotal.io/v1alpha1
    kind: Config
    metadata: {name: conf, namespace: kubocd}
    spec:
      packageRedirects: [{oldPrefix: registry.example.com/, newPrefix: mirror.example.com/, interval: 10m}]
    """


@pytest.fixture
def redirected(workspace: Workspace) -> Workspace:
    workspace.layers.clear()
    workspace.source("config.yaml", CONFIG)
    workspace.release("web")
    return workspace


def source_of(workspace: Workspace, *flags: str) -> Any:
    report = json.loads(workspace.build("--format", "json", *flags).out)
    return report["releases"][0]["source"]


@pytest.mark.parametrize("name", [WEB, MIRRORED])
def test_either_name_is_found_and_the_output_is_the_same(redirected: Workspace, name: str) -> None:
    redirected.package(reference=name)
    assert source_of(redirected) == {"location": "vendor", "reference": name}
    text = (redirected.output / "flux/default/web.yaml").read_text()
    assert "url: oci://mirror.example.com/demo/web\n" in text
    lint = ("lint", "--source", "sources", "--vendor", "packages", "--offline")
    assert kcd_gen(*lint, directory=redirected.root).exit == 0
    assert redirected.run("lock", "--offline").exit == 0
    assert source_of(redirected, "--locked") == {"location": "vendor", "reference": name}


def test_the_redirected_name_takes_precedence(redirected: Workspace) -> None:
    redirected.package(WEB_MANIFEST.replace("default: 1", "default: 9"), reference=MIRRORED)
    redirected.package(reference=WEB)
    assert source_of(redirected)["reference"] == MIRRORED
    assert "replicas: 9" in (redirected.output / "flux/default/web.yaml").read_text()


def test_a_package_with_neither_name_is_reported_with_both(redirected: Workspace) -> None:
    redirected.package(reference="other.example.com/x:1")
    outcome = redirected.build()
    assert outcome.exit == 1
    assert f"package {MIRRORED}, to which a redirect leads from {WEB}, is not in the vendor layout" in outcome.err
    assert source_of(redirected) is None
