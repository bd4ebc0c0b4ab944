"""Validation of Flux resources by the CRDs of each supported version of Flux."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.diagnostics.wording import dotted
from kubocd_gen.package_data import schema, schema_names
from kubocd_gen.schema.flux import spec_schema, spec_violations, violations
from kubocd_gen.schema.flux_versions import FLUX_VERSIONS, FluxVersion
from tests.flux_schemas import APIS, KINDS

CHART = {"spec": {"chart": "c", "sourceRef": {"kind": "HelmRepository", "name": "x"}}}


def helm_release(**spec: Any) -> dict[str, Any]:
    chart = {} if "chartRef" in spec else {"chart": CHART}
    return resource("helm.toolkit.fluxcd.io/v2", "HelmRelease", interval="5m", **chart, **spec)


def git_repository(**spec: Any) -> dict[str, Any]:
    url = "https://git.example.com/fleet"
    return resource("source.toolkit.fluxcd.io/v1", "GitRepository", interval="5m", url=url, **spec)


def generator(name: str = "charts", strategy: str = "Overwrite", **spec: Any) -> dict[str, Any]:
    copy = {"from": "@package/web-1.0.0.tgz", "to": "@artifact/", "strategy": strategy}
    return resource(
        "source.extensions.fluxcd.io/v1beta1",
        "ArtifactGenerator",
        sources=[{"alias": "package", "kind": "OCIRepository", "name": "kcd-web"}],
        artifacts=[{"name": name, "originRevision": "@package", "copy": [copy]}],
        **spec,
    )


def resource(api_version: str, kind: str, /, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "apps"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def accepting(document: dict[str, Any]) -> list[str]:
    return [version for version in FLUX_VERSIONS if not violations(document, version)]


NEWER: list[tuple[dict[str, Any], str, str]] = [
    (helm_release(install={"strategy": {"name": "RetryOnFailure"}}), "spec.install.strategy", "2.7"),
    (helm_release(chartRef={"kind": "ExternalArtifact", "name": "x"}), "spec.chartRef.kind", "2.7"),
    (helm_release(commonMetadata={"labels": {"a": "b"}}), "spec.commonMetadata", "2.7"),
    (helm_release(kubeConfig={"configMapRef": {"name": "x"}}), "spec.kubeConfig.configMapRef", "2.7"),
    (helm_release(waitStrategy={"name": "poller"}), "spec.waitStrategy", "2.8"),
    (helm_release(install={"serverSideApply": True}), "spec.install.serverSideApply", "2.8"),
    (helm_release(postRenderStrategy="combined"), "spec.postRenderStrategy", "2.9"),
    (generator(), "kind", "2.7"),
    (generator(strategy="Extract"), "spec.artifacts[0].copy[0].strategy", "2.8"),
    (generator(name="web-1.0.0"), "spec.artifacts[0].name", "2.9"),
    (generator(commonMetadata={"labels": {"a": "b"}}), "spec.commonMetadata", "2.9"),
    (resource("source.toolkit.fluxcd.io/v1", "ExternalArtifact", sourceRef={"name": "x", "kind": "Y"}), "kind", "2.7"),
    (git_repository(serviceAccountName="x", provider="azure"), "spec.serviceAccountName", "2.7"),
    (git_repository(serviceAccountName="x", provider="aws"), "spec.provider", "2.9"),
]


@pytest.mark.parametrize(("document", "field", "since"), NEWER, ids=lambda value: str(value)[:60])
def test_what_a_version_lacks_names_the_version_that_has_it(document: dict[str, Any], field: str, since: str) -> None:
    at = FLUX_VERSIONS.index(since)
    assert accepting(document) == list(FLUX_VERSIONS[at:])
    found = {dotted(one.path): one for one in violations(document, FLUX_VERSIONS[at - 1])}
    assert found[field].code == "flux-version"
    assert f"needs Flux {since}, but the project is for Flux {FLUX_VERSIONS[at - 1]}" in found[field].message
    assert f'flux: "{since}"' in (found[field].hint or "")


def test_what_a_newer_version_rejects_names_the_last_that_accepts_it() -> None:
    document = generator()
    document["spec"]["artifacts"][0]["copy"][0]["to"] = "@artifact/../x"
    assert accepting(document) == ["2.7", "2.8"]
    (found,) = violations(document, "2.9")
    assert (dotted(found.path), found.code) == ("spec.artifacts[0].copy[0].to", "flux-version")
    assert found.message.startswith("is valid up to Flux 2.8, but the project is for Flux 2.9, where it must match")


@pytest.mark.parametrize("version", FLUX_VERSIONS)
@pytest.mark.parametrize(
    ("document", "field", "code"),
    [
        (helm_release(intervall="5m"), "spec.intervall", "unknown-field"),
        (helm_release(timeout="5 minutes"), "spec.timeout", "invalid-value"),
        (helm_release(suspend="no"), "spec.suspend", "invalid-type"),
        (helm_release(chartRef={"kind": "OCIRepository"}), "spec.chartRef.name", "missing-field"),
        ({**helm_release(), "data": {}}, "data", "unknown-field"),
        ({**helm_release(), "metadata": {"name": "web", "label": {}}}, "metadata.label", "unknown-field"),
        ({**helm_release(), "metadata": {"namespace": "web"}}, "metadata.name", "missing-field"),
        (resource("source.toolkit.fluxcd.io/v1beta2", "OCIRepository"), "kind", "invalid-value"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_every_version_rejects_names_no_version(
    document: dict[str, Any], field: str, code: str, version: FluxVersion
) -> None:
    assert [(dotted(one.path), one.code) for one in violations(document, version)] == [(field, code)]


def test_a_rule_of_a_crd_is_evaluated_after_its_fields() -> None:
    both = helm_release(chartRef={"kind": "OCIRepository", "name": "x"})
    both["spec"]["chart"] = CHART
    for version in FLUX_VERSIONS:
        (found,) = violations(both, version)
        assert (found.path, found.code) == (("spec",), "invalid-value")
    assert [one.code for one in violations(git_repository(serviceAccountName="x"), "2.9")] == ["invalid-value"]
    assert accepting(generator(name="Web")) == []
    assert accepting(generator(name="web-1.0.0", pathPattern="@package/*")) == ["2.9"]


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"name": "Web"}, "metadata.name"),
        ({"name": "a" * 254}, "metadata.name"),
        ({"name": "web", "namespace": "a.b"}, "metadata.namespace"),
        ({"name": "web", "labels": {"Example.com/x": "y"}}, 'metadata.labels["Example.com/x"]'),
        ({"name": "web", "labels": {"x": "a b"}}, "metadata.labels.x"),
        ({"name": "web", "labels": {"x": "a" * 64}}, "metadata.labels.x"),
        ({"name": "web", "labels": {"x" * 64: "a"}}, f"metadata.labels.{'x' * 64}"),
        ({"name": "web", "annotations": {"a/b/c": ""}}, "metadata.annotations.a/b/c"),
        ({"name": "web", "annotations": {"x": "é" * 131072}}, "metadata.annotations"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_metadata_follows_the_rules_of_kubernetes(metadata: dict[str, Any], field: str) -> None:
    for kind in (helm_release(), {"apiVersion": "v1", "kind": "Namespace"}):
        assert [dotted(one.path) for one in violations({**kind, "metadata": metadata}, "2.7")] == [field]


def test_metadata_that_kubernetes_accepts() -> None:
    metadata = {
        "name": "web.example",
        "labels": {"app.kubernetes.io/Name": "A_b.c", "empty": ""},
        "annotations": {"Example.com/x": "any text\n", "x": "a" * 262121},
        "creationTimestamp": None,
    }
    assert violations({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, "2.6") == []


def test_resources_of_other_groups_have_any_fields() -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}
    assert violations(config_map, "2.6") == []
    assert violations({"kind": "ConfigMap", "metadata": {"name": "x"}}, "2.6") != []


def test_a_spec_is_validated_by_itself() -> None:
    spec = helm_release(waitStrategy={"name": "poller"})["spec"]
    (found,) = spec_violations("helmrelease-v2", spec, "2.7")
    assert (found.path, found.code) == (("waitStrategy",), "flux-version")
    assert spec_violations("helmrelease-v2", spec, "2.8") == []
    (absent,) = spec_violations("externalartifact-v1", {}, "2.6")
    assert (absent.path, absent.code) == ((), "flux-version")


@pytest.mark.parametrize("name", schema_names("flux"))
def test_each_version_records_the_go_module_of_its_crd(name: str) -> None:
    file = schema(name)
    assert list(file["schemas"]) == list(file["origins"]) == list(FLUX_VERSIONS)[-len(file["schemas"]) :]
    for version, origin in file["origins"].items():
        module, number = origin.split()
        assert APIS[version][module] == number


def test_the_files_have_every_version_and_kind_of_the_generator() -> None:
    assert tuple(APIS) == FLUX_VERSIONS
    assert {f"flux/{kind.lower()}-{version}" for kind, version in KINDS} == set(schema_names("flux"))


def test_kinds_that_an_old_version_lacks_have_no_schema() -> None:
    assert spec_schema("artifactgenerator-v1beta1", "2.6") is None
    assert spec_schema("artifactgenerator-v1beta1", "2.7") is not None
