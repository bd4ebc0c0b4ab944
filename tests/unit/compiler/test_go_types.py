"""Specs as Go prints them, for schemas of all forms; `test_flux_objects.py` has those of Flux."""

from __future__ import annotations

from typing import Any

from kubocd_gen.compiler.go_types import printed

STRING = {"type": "string"}


def shown(value: Any, **properties: Any) -> Any:
    found, violations = printed(value, {"type": "object", "properties": properties})
    assert violations == []
    return found


def test_values_without_a_type_are_not_changed() -> None:
    spec: dict[str, Any] = {"values": {"a": None, "b": [0, {"c": ""}]}, "list": [None, {}]}
    assert shown(spec, values={}, list={"type": "array", "items": {}}) == spec


def test_the_entries_of_a_map_are_read_as_their_type() -> None:
    labels = {"type": "object", "additionalProperties": STRING}
    assert shown({"labels": {"a": 1, "b": None, "c": True}}, labels=labels) == {
        "labels": {"a": "1", "b": "", "c": "true"}
    }
    assert shown({"labels": {}}, labels=labels) == {}


def test_a_value_of_another_type_stays_for_admission() -> None:
    spec = {"labels": "x", "struct": [1], "list": "x", "text": {"a": 1}, "number": {"a": 1}, "duration": 5}
    assert (
        shown(
            spec,
            labels={"type": "object", "additionalProperties": STRING},
            struct={"type": "object", "properties": {"a": STRING}},
            list={"type": "array", "items": STRING},
            text=STRING,
            number={"type": "integer"},
            duration={"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"},
        )
        == spec
    )


def test_only_zero_values_of_the_field_s_own_type_are_omitted() -> None:
    spec = {"text": "", "count": 0, "flag": False, "list": [], "struct": {}, "any": {}}
    kinds = {"count": "integer", "flag": "boolean", "list": "array", "text": "string"}
    fields: dict[str, Any] = {name: {"type": kind} for name, kind in kinds.items()}
    fields["struct"] = {"type": "object", "properties": {"a": STRING}}
    fields["any"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert shown(spec, **fields) == {"struct": {}, "any": {}}
    other = {"text": [], "count": "", "flag": 0, "list": ""}
    assert shown(other, **fields) == other
