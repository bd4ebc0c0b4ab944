"""The documents that are written for a Release."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.compiler.flux_objects import add_depends_on, helm_release, helm_repository, oci_repository
from kubocd_gen.compiler.settings import Settings, package_source
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.releases import Release
from tests.support.records import release


def oci(one: Release, *redirects: dict[str, Any]) -> dict[str, Any]:
    source = package_source(one, Settings(package_redirects=redirects))
    return oci_repository(one, source, "5m0s", protected=False)


def test_the_oci_repository_pulls_the_packages_one_layer() -> None:
    document = oci(release())
    assert document["apiVersion"] == "source.toolkit.fluxcd.io/v1"
    assert document["metadata"]["name"] == "kcd-web"
    assert document["spec"] == {
        "interval": "5m0s",
        "layerSelector": {
            "mediaType": "application/vnd.kubotal.kubocd.package.content.v1.tar+gzip",
            "operation": "extract",
        },
        "ref": {"tag": "1.0.0"},
        "timeout": "1m0s",
        "url": "oci://registry.example.com/demo/web",
    }


def test_flux_own_fields_are_passed_on() -> None:
    fields = {
        "provider": "aws",
        "secretRef": {"name": "s"},
        "verify": {"provider": "cosign", "secretRef": {"name": "k"}},
        "serviceAccountName": "sa",
        "certSecretRef": {"name": "c"},
        "proxySecretRef": {"name": "p"},
        "ignore": "x",
        "insecure": True,
        "suspend": True,
        "timeout": "7s",
    }
    document = oci(release(package=fields))
    assert {key: document["spec"][key] for key in fields} == fields


def test_fields_that_are_false_or_empty_are_left_out_but_for_the_pointer_ignore() -> None:
    package = {"insecure": False, "ignore": "", "serviceAccountName": "", "suspend": False}
    assert oci(release(package=package))["spec"].keys() - oci(release())["spec"].keys() == {"ignore"}
    redirect = {"oldPrefix": "registry.example.com/", "newPrefix": "mirror/", "ignore": ""}
    assert oci(release(), redirect)["spec"]["ignore"] == ""


def test_after_a_redirect_all_fields_are_its_own_and_the_interval_zero_without_one() -> None:
    given = release(package={"secretRef": {"name": "s"}, "interval": "1m"})
    redirect = {"oldPrefix": "registry.example.com/", "newPrefix": "mirror/"}
    assert oci(given, redirect)["spec"] | {"layerSelector": {}} == {
        "interval": "0s",
        "layerSelector": {},
        "ref": {"tag": "1.0.0"},
        "url": "oci://mirror/demo/web",
    }
    assert oci(given, {**redirect, "interval": "9m0s", "insecure": True})["spec"]["interval"] == "9m0s"


def test_what_flux_would_refuse_is_an_error_in_the_release() -> None:
    with pytest.raises(ProblemsError) as found:
        oci(release(package={"secretRef": {"name": "s\x7f"}}))
    (error,) = found.value.problems
    assert error.message.startswith("OCIRepository 'kcd-web': spec.secretRef.name contains the character U+007F")
    assert error.position is not None
    assert error.position.path == "web.yaml"


@pytest.mark.parametrize("base", ["http://charts.example.com", "http://charts.example.com/"])
def test_the_helm_repository_is_where_the_charts_are_served(base: str) -> None:
    document = helm_repository(release(namespace="apps"), base, "5m0s", "sha256:1", protected=False)
    assert document["spec"] == {"interval": "5m0s", "url": "http://charts.example.com/hr/apps/web"}


def test_a_new_index_makes_flux_read_it_at_once() -> None:
    document = helm_repository(release(), "http://x", "5m0s", "sha256:1", protected=False)
    assert document["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"] == "sha256:1"


def test_every_resource_says_whose_it_is() -> None:
    document = helm_release(release(namespace="apps"), "web-main", {}, protected=False)
    assert document["metadata"] == {
        "name": "web-main",
        "namespace": "apps",
        "labels": {"app.kubernetes.io/managed-by": "kcd-gen"},
        "annotations": {"kcd-gen.kubocd.io/release": "apps/web"},
    }


def test_a_protected_release_is_not_pruned() -> None:
    document = helm_release(release(), "web-main", {}, protected=True)
    assert document["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"] == "disabled"


def test_keys_are_sorted_at_every_depth_and_lists_keep_their_order() -> None:
    document = helm_release(release(), "web-main", {"b": [{"d": 1, "c": 2}, 0], "a": {"f": 1, "e": 1}}, protected=False)
    assert [*document["spec"]] == ["a", "b"]
    assert [*document["spec"]["a"]] == ["e", "f"]
    assert [*document["spec"]["b"][0]] == ["c", "d"]
    assert document["spec"]["b"][1] == 0


def test_providers_are_appended_to_the_dependencies_without_repeats() -> None:
    own = [{"name": "web-side", "namespace": "default"}, {"name": "db-main"}]
    document = helm_release(release(), "web-main", {"dependsOn": own}, protected=False)
    others = [{"name": "log-main", "namespace": "ops"}, {"name": "db-main", "namespace": "default"}]
    assert add_depends_on(document, others)["spec"]["dependsOn"] == [*own, {"name": "log-main", "namespace": "ops"}]


def test_added_dependencies_stand_where_they_would_have_stood() -> None:
    document = helm_release(release(), "web-main", {"chart": {}, "values": {}}, protected=False)
    assert [*add_depends_on(document, [{"name": "x", "namespace": "y"}])["spec"]] == ["chart", "dependsOn", "values"]


def test_without_dependencies_there_is_no_such_field_and_the_document_is_not_changed() -> None:
    document = helm_release(release(), "web-main", {"values": {}}, protected=False)
    assert "dependsOn" not in add_depends_on(document, [])["spec"]
    add_depends_on(document, [{"name": "x", "namespace": "y"}])
    assert "dependsOn" not in document["spec"]
