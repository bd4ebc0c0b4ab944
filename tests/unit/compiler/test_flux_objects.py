"""The Flux resources of a Release, with specs as serialized by Go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kubocd_gen.compiler.flux_objects import helm_release, helm_repository, oci_repository, typed_spec
from kubocd_gen.compiler.settings import Settings, package_source
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.finishing import add_depends_on
from kubocd_gen.model.resources import Release
from kubocd_gen.schema.structural import Violation
from tests.support.records import release


def oci(one: Release, *redirects: dict[str, Any]) -> dict[str, Any]:
    source = package_source(one, Settings(package_redirects=redirects))
    return oci_repository(one, source, "5m0s", protected=False)


def test_the_oci_repository_selects_the_layer_of_the_package() -> None:
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


def test_fields_of_flux_are_passed_through() -> None:
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


def test_false_and_empty_fields_are_omitted_except_the_pointer_ignore() -> None:
    package = {"insecure": False, "ignore": "", "serviceAccountName": "", "suspend": False}
    assert oci(release(package=package))["spec"].keys() - oci(release())["spec"].keys() == {"ignore"}
    redirect = {"oldPrefix": "registry.example.com/", "newPrefix": "mirror/", "ignore": ""}
    assert oci(release(), redirect)["spec"]["ignore"] == ""


def test_a_redirect_replaces_all_fields_and_its_missing_interval_is_zero() -> None:
    given = release(package={"secretRef": {"name": "s"}, "interval": "1m"})
    redirect = {"oldPrefix": "registry.example.com/", "newPrefix": "mirror/"}
    assert oci(given, redirect)["spec"] | {"layerSelector": {}} == {
        "interval": "0s",
        "layerSelector": {},
        "ref": {"tag": "1.0.0"},
        "url": "oci://mirror/demo/web",
    }
    assert oci(given, {**redirect, "interval": "9m0s", "insecure": True})["spec"]["interval"] == "9m0s"


def test_a_value_that_flux_would_refuse_is_an_error_in_the_release() -> None:
    redirect = {"oldPrefix": "registry.example.com/", "newPrefix": "mirror/", "provider": "other"}
    with pytest.raises(ProblemsError) as found:
        oci(release(), redirect)
    (error,) = found.value.problems
    assert error.message.startswith("OCIRepository 'kcd-web': spec.provider must be")
    assert error.position is not None
    assert error.position.path == "web.yaml"


@pytest.mark.parametrize("base", ["http://charts.example.com", "http://charts.example.com/"])
def test_the_helm_repository_points_to_the_chart_server(base: str) -> None:
    document = helm_repository(release(namespace="apps"), base, "5m0s", "sha256:1", protected=False)
    assert document["spec"] == {"interval": "5m0s", "url": "http://charts.example.com/hr/apps/web"}


def test_a_changed_index_makes_flux_reconcile_the_helm_repository_at_once() -> None:
    document = helm_repository(release(), "http://x", "5m0s", "sha256:1", protected=False)
    assert document["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"] == "sha256:1"


def test_every_resource_is_labelled_with_its_release() -> None:
    document = helm_release(release(namespace="apps"), "web-main", {}, protected=False)
    assert document["metadata"] == {
        "name": "web-main",
        "namespace": "apps",
        "labels": {"app.kubernetes.io/managed-by": "kcd-gen"},
        "annotations": {"kcd-gen.kubocd.io/release": "apps/web"},
    }


def test_a_protected_release_has_pruning_disabled() -> None:
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


def test_added_dependencies_keep_the_field_order() -> None:
    document = helm_release(release(), "web-main", {"chart": {}, "values": {}}, protected=False)
    assert [*add_depends_on(document, [{"name": "x", "namespace": "y"}])["spec"]] == ["chart", "dependsOn", "values"]


def test_without_dependencies_the_document_is_unchanged() -> None:
    document = helm_release(release(), "web-main", {"values": {}}, protected=False)
    assert "dependsOn" not in add_depends_on(document, [])["spec"]
    add_depends_on(document, [{"name": "x", "namespace": "y"}])
    assert "dependsOn" not in document["spec"]


BASE: Mapping[str, Any] = {
    "chart": {"spec": {"chart": "web", "version": "1.0.0", "sourceRef": {"kind": "HelmRepository", "name": "kcd-web"}}},
    "interval": "30m0s",
}


def printed(**fields: Any) -> dict[str, Any]:
    """Return `fields` of an otherwise valid HelmRelease as they are printed."""
    spec, violations = typed_spec("helmrelease-v2", {**BASE, **fields})
    assert violations == []
    return {key: value for key, value in spec.items() if key not in BASE}


def violations(**fields: Any) -> list[Violation]:
    return typed_spec("helmrelease-v2", {**BASE, **fields})[1]


def test_field_names_match_whatever_their_case() -> None:
    assert printed(Install={"CREATENAMESPACE": True}) == {"install": {"createNamespace": True}}


def test_two_spellings_of_a_field_merge_as_go_reads_them() -> None:
    fields = {"Install": {"replace": True, "disableHooks": True}, "install": {"replace": False}}
    assert printed(**fields) == {"install": {"disableHooks": True}}


def test_keys_of_values_are_not_matched_as_field_names() -> None:
    assert printed(values={"Install": None, "a": {}}) == {"values": {"Install": None, "a": {}}}


def test_durations_are_printed_in_gos_normal_form_at_every_depth() -> None:
    fields = printed(
        timeout="90s", install={"timeout": "1.5m", "strategy": {"name": "RetryOnFailure", "retryInterval": "60s"}}
    )
    assert fields == {
        "timeout": "1m30s",
        "install": {"timeout": "1m30s", "strategy": {"name": "RetryOnFailure", "retryInterval": "1m0s"}},
    }


def test_zero_values_and_nulls_are_omitted() -> None:
    assert printed(suspend=False, storageNamespace="", dependsOn=[], timeout=None, install=None) == {}


def test_zero_values_of_pointer_fields_are_kept() -> None:
    fields: dict[str, Any] = {
        "maxHistory": 0,
        "persistentClient": False,
        "install": {"remediation": {"ignoreTestFailures": False, "remediateLastFailure": False}},
        "test": {"filters": []},
    }
    assert printed(**fields) == fields


def test_an_empty_enum_value_of_a_pointer_field_is_sent_and_refused() -> None:
    for fields in ({"uninstall": {"deletionPropagation": ""}}, {"upgrade": {"remediation": {"strategy": ""}}}):
        (one,) = violations(**fields)
        assert one.code == "invalid-value"


def test_nulls_of_pointer_fields_and_empty_lists_of_the_same_name_are_omitted() -> None:
    assert printed(maxHistory=None, test={"filters": None}) == {"test": {}}
    assert printed(driftDetection={"mode": "warn", "ignore": []}) == {"driftDetection": {"mode": "warn"}}


def test_an_empty_structure_is_kept() -> None:
    assert printed(install={}, upgrade={"remediation": {}}) == {"install": {}, "upgrade": {"remediation": {}}}


def test_an_unknown_field_is_a_violation_with_the_nearest_name() -> None:
    (one,) = violations(maxHistry=3)
    assert (one.path, one.code, one.hint) == (("maxHistry",), "unknown-field", "did you mean 'maxHistory'?")


def test_an_unknown_field_deep_inside_is_found() -> None:
    (one,) = violations(install={"remediation": {"retires": 3}})
    assert one.path == ("install", "remediation", "retires")


def test_a_value_of_another_type_is_a_violation() -> None:
    (one,) = violations(maxHistory="three")
    assert (one.path, one.code) == (("maxHistory",), "invalid-type")


def test_a_bad_duration_is_a_violation() -> None:
    (one,) = violations(timeout="soon")
    assert (one.path, one.code) == (("timeout",), "invalid-duration")


def test_a_duration_that_go_accepts_but_flux_rejects_is_a_violation() -> None:
    (one,) = violations(timeout="1us")
    assert one.code == "invalid-value"


def test_a_release_name_has_at_most_53_characters() -> None:
    assert printed(releaseName="x" * 53)
    (one,) = violations(releaseName="x" * 54)
    assert (one.path, one.message) == (("releaseName",), "must have at most 53 characters, not 54")


def test_a_target_namespace_has_at_most_63_characters() -> None:
    assert printed(targetNamespace="x" * 63)
    assert [one.path for one in violations(targetNamespace="x" * 64)] == [("targetNamespace",)]


@pytest.mark.parametrize("character", ["\x7f", "\x80", "\x9f", "\ufffe", "\uffff"])
def test_a_character_that_kubocd_cannot_send_is_a_violation(character: str) -> None:
    (one,) = violations(values={"a": [{"b": f"x{character}"}]})
    assert (one.path, one.code) == (("values", "a", 0, "b"), "invalid-value")
    (one,) = violations(values={"a": [{f"x{character}": 1}]})
    assert (one.path, one.code) == (("values", "a", 0, f"x{character}"), "invalid-value")


@pytest.mark.parametrize("text", ["\t\n", "é", "日本", "\u2028", "\ufeff", "\U0001f600"])
def test_other_characters_are_accepted(text: str) -> None:
    assert printed(values={"a": text}) == {"values": {"a": text}}


def test_values_change_as_the_printed_spec_is_read_again() -> None:
    values = {"<<": {"a": "one\x85two"}, "b": -0.0}
    assert printed(values=values) == {"values": {"a": "one two", "b": 0}}


def test_a_merge_that_defines_a_key_twice_is_a_violation() -> None:
    (one,) = violations(values={"a": {"<<": {"b": 1}, "b": 2}})
    assert (one.path, one.code) == (("values", "a", "<<"), "invalid-value")


def test_numbers_and_booleans_in_string_fields_are_converted_as_in_go() -> None:
    fields: dict[str, Any] = {
        "targetNamespace": 123,
        "storageNamespace": True,
        "releaseName": 1.10,
        "commonMetadata": {"labels": {"v": 1, "on": False, "large": 10**20, "small": 1.5e-7, "none": None}},
        "dependsOn": [{"name": 12345678.9}],
        "valuesFrom": [{"kind": "Secret", "name": 5}],
        "driftDetection": {"ignore": [{"paths": [1, True, None]}]},
    }
    assert printed(**fields) == {
        "targetNamespace": "123",
        "storageNamespace": "true",
        "releaseName": "1.1",
        "commonMetadata": {"labels": {"v": "1", "on": "false", "large": "1e+20", "small": "1.5e-07", "none": ""}},
        "dependsOn": [{"name": "1.2345679e+07"}],
        "valuesFrom": [{"kind": "Secret", "name": "5"}],
        "driftDetection": {"ignore": [{"paths": ["1", "true", ""]}]},
    }


def test_numbers_in_values_are_not_converted() -> None:
    assert printed(values={"version": 1.1, "on": True}) == {"values": {"version": 1.1, "on": True}}


def test_a_number_is_not_a_duration() -> None:
    (one,) = violations(timeout=5)
    assert (one.path, one.code) == (("timeout",), "invalid-type")


def test_a_converted_value_must_be_valid_for_flux() -> None:
    (one,) = violations(driftDetection={"mode": True})
    assert (one.path, one.code) == (("driftDetection", "mode"), "invalid-value")


@pytest.mark.parametrize("number", [10**20, 2**63, -(2**63) - 1, 1e21])
def test_an_integer_has_at_most_64_bits(number: float) -> None:
    (one,) = violations(maxHistory=number)
    assert (one.path, one.code) == (("maxHistory",), "invalid-value")


def test_a_required_field_that_is_not_set_has_the_zero_value_of_its_go_type() -> None:
    assert printed(dependsOn=[{}, None]) == {"dependsOn": [{"name": ""}, {"name": ""}]}
    assert printed(kubeConfig={"secretRef": {}}) == {"kubeConfig": {"secretRef": {"name": ""}}}


def test_a_required_field_whose_zero_value_flux_refuses_is_missing() -> None:
    assert {(one.path, one.code) for one in violations(valuesFrom=[{}])} == {
        (("valuesFrom", 0, "kind"), "missing-field"),
        (("valuesFrom", 0, "name"), "missing-field"),
    }


def test_a_default_of_the_crd_does_not_apply_to_a_field_that_go_prints_as_empty() -> None:
    chart = {"spec": {**BASE["chart"]["spec"], "verify": {}}}
    (one,) = violations(chart=chart)
    assert (one.path, one.code) == (("chart", "spec", "verify", "provider"), "missing-field")


def test_the_given_spec_is_not_modified() -> None:
    spec = {**BASE, "Install": {"timeout": "60s"}}
    typed_spec("helmrelease-v2", spec)
    assert spec == {**BASE, "Install": {"timeout": "60s"}}
