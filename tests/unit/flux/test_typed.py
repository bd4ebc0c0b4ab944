"""A spec as Go's type of it prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kubocd_gen.compiler.flux_objects import typed_spec
from kubocd_gen.schema.structural import Violation

BASE: Mapping[str, Any] = {
    "chart": {"spec": {"chart": "web", "version": "1.0.0", "sourceRef": {"kind": "HelmRepository", "name": "kcd-web"}}},
    "interval": "30m0s",
}


def printed(**fields: Any) -> dict[str, Any]:
    """What becomes of `fields` in an otherwise valid HelmRelease."""
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


def test_values_are_nobodys_field_names() -> None:
    assert printed(values={"Install": None, "a": {}}) == {"values": {"Install": None, "a": {}}}


def test_durations_are_printed_in_gos_normal_form_at_every_depth() -> None:
    fields = printed(
        timeout="90s", install={"timeout": "1.5m", "strategy": {"name": "RetryOnFailure", "retryInterval": "60s"}}
    )
    assert fields == {
        "timeout": "1m30s",
        "install": {"timeout": "1m30s", "strategy": {"name": "RetryOnFailure", "retryInterval": "1m0s"}},
    }


def test_false_zero_empty_texts_lists_and_nulls_are_left_out() -> None:
    assert printed(suspend=False, storageNamespace="", dependsOn=[], timeout=None, install=None) == {}


def test_what_gos_type_holds_by_pointer_is_kept_where_it_is_zero() -> None:
    fields: dict[str, Any] = {
        "maxHistory": 0,
        "persistentClient": False,
        "install": {"remediation": {"ignoreTestFailures": False, "remediateLastFailure": False}},
        "test": {"filters": []},
    }
    assert printed(**fields) == fields


def test_an_empty_choice_that_gos_type_holds_by_pointer_is_sent_and_refused() -> None:
    for fields in ({"uninstall": {"deletionPropagation": ""}}, {"upgrade": {"remediation": {"strategy": ""}}}):
        (one,) = violations(**fields)
        assert one.code == "invalid-value"


def test_a_null_is_left_out_though_it_is_a_pointer_and_a_list_of_the_same_name_when_empty() -> None:
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


def test_a_duration_that_flux_does_not_take_is_a_violation_though_go_reads_it() -> None:
    (one,) = violations(timeout="1us")
    assert one.code == "invalid-value"


def test_a_release_name_of_53_characters_is_the_longest() -> None:
    assert printed(releaseName="x" * 53)
    (one,) = violations(releaseName="x" * 54)
    assert (one.path, one.message) == (("releaseName",), "must have at most 53 characters, not 54")


def test_a_target_namespace_of_63_characters_is_the_longest() -> None:
    assert printed(targetNamespace="x" * 63)
    assert [one.path for one in violations(targetNamespace="x" * 64)] == [("targetNamespace",)]


@pytest.mark.parametrize("character", ["\x7f", "\x80", "\x9f", "\ufffe"])
def test_a_character_that_kubocd_can_not_send_is_a_violation(character: str) -> None:
    (one,) = violations(values={"a": [{"b": f"x{character}"}]})
    assert one.path == ("values", "a", 0, "b")


@pytest.mark.parametrize("text", ["\x85", "\t\n", "é", "日本", "\u2028", "\U0001f600"])
def test_other_characters_pass(text: str) -> None:
    assert printed(values={"a": text}) == {"values": {"a": text}}


def test_the_spec_that_is_given_is_not_changed() -> None:
    spec = {**BASE, "Install": {"timeout": "60s"}}
    typed_spec("helmrelease-v2", spec)
    assert spec == {**BASE, "Install": {"timeout": "60s"}}
