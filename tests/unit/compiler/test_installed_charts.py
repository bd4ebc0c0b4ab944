"""Which chart of a package a HelmRelease installs."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.compiler.installed_charts import InstalledChart, installed_chart
from kubocd_gen.packages.chart_artifact import chart_artifact

INDEX = b"""\
apiVersion: v1
entries:
  My_App: [{name: My_App, version: 1.0.0+b, urls: [other.tgz]}]
  x: [{name: x, version: v2.0.0, urls: [x-v2.0.0.tgz]}]
"""
FILES = {"index.yaml": INDEX, "other.tgz": b"one", "x-v2.0.0.tgz": b"two"}
TAG = chart_artifact("My_App", "1.0.0+b", b"one").tag


def chart(name: str, kind: str, source: str, version: str = "") -> dict[str, Any]:
    spec = {"chart": name, "sourceRef": {"kind": kind, "name": source}, **({"version": version} if version else {})}
    return {"kind": "HelmRelease", "spec": {"chart": {"spec": spec}}}


def reference(kind: str, name: str) -> dict[str, Any]:
    return {"kind": "HelmRelease", "spec": {"chartRef": {"kind": kind, "name": name}}}


def repository(name: str, tag: str) -> dict[str, Any]:
    spec = {"url": f"oci://registry.example.com/charts/{name}", "ref": {"tag": tag}}
    return {"kind": "OCIRepository", "metadata": {"name": "kcd-web-app"}, "spec": spec}


def generator(file: str) -> dict[str, Any]:
    artifacts = [{"name": "kcd-web-app", "copy": [{"from": f"@package/{file}"}]}]
    return {"kind": "ArtifactGenerator", "metadata": {"name": "kcd-web"}, "spec": {"artifacts": artifacts}}


OWN = {"kind": "HelmRepository", "metadata": {"name": "kcd-web"}}
MY_APP = InstalledChart("My_App", "1.0.0+b", "other.tgz")


@pytest.mark.parametrize(
    ("document", "sibling", "expected"),
    [
        (chart("My_App", "HelmRepository", "kcd-web", "1.0.0+b"), OWN, MY_APP),
        (chart("./a/hr/default/web/other.tgz", "GitRepository", "flux-system"), OWN, MY_APP),
        (reference("OCIRepository", "kcd-web-app"), repository("my-app", TAG), MY_APP),
        (reference("ExternalArtifact", "kcd-web-app"), generator("other.tgz"), MY_APP),
    ],
    ids=["server", "git", "oci", "artifact"],
)
def test_the_chart_is_the_one_of_the_index(
    document: dict[str, Any], sibling: dict[str, Any], expected: InstalledChart
) -> None:
    assert installed_chart(document, [sibling], FILES) == expected


@pytest.mark.parametrize(
    ("document", "sibling", "expected"),
    [
        (chart("x", "HelmRepository", "bitnami", "v2.0.0"), OWN, ("x", "v2.0.0")),
        (chart("x", "HelmRepository", "kcd-web", "v1.0.0"), OWN, ("x", "v1.0.0")),
        (chart("./hr/default/web/x-1.0.0.tgz", "GitRepository", "flux-system"), OWN, ("x", "1.0.0")),
        (chart("./hr/default/web/x.tgz", "GitRepository", "flux-system"), OWN, ("x.tgz", "")),
        (reference("OCIRepository", "kcd-web-app"), repository("x", "1.0.0_b-0123456789ab"), ("x", "1.0.0+b")),
        (reference("OCIRepository", "kcd-web-app"), repository("x", "latest"), ("x", "")),
        (reference("OCIRepository", "elsewhere"), repository("my-app", TAG), ("elsewhere", "")),
        (reference("ExternalArtifact", "elsewhere"), generator("other.tgz"), ("elsewhere", "")),
    ],
)
def test_a_chart_that_is_not_in_the_package_has_no_file(
    document: dict[str, Any], sibling: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert installed_chart(document, [sibling], FILES) == InstalledChart(*expected, "")
