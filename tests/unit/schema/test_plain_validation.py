"""The quick check that accepts most valid values; `test_package_schema.py` compares it with the full validation."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.budget.spending import Budget
from kubocd_gen.schema.package_schema import load_schema, validate
from kubocd_gen.schema.plain_validation import is_multiple, plainly_valid


def accepts(node: dict[str, Any], value: Any) -> bool:
    schema = load_schema({"properties": {"v": node}}, role="parameters")
    assert schema is not None
    return plainly_valid(schema.compiled, {"v": value}, Budget().meter("schema-steps"))


@pytest.mark.parametrize(
    ("node", "valid", "invalid"),
    [
        ({"type": "string", "description": "x", "default": "y"}, "a", 1),
        ({"type": "integer"}, 1.0, 1.5),
        ({"type": "boolean"}, True, 1),
        ({"type": "string", "enum": ["a", "b"]}, "b", "c"),
        ({"type": "string", "pattern": "^a"}, "ab", "b"),
        ({"type": "string", "minLength": 2, "maxLength": 3}, "ab", "abcd"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, ["a"], ["a", 1]),
        ({"type": "integer", "minimum": 1, "maximum": 3, "multipleOf": 3}, 3, 2),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "x"}, {"a": 1}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {}, {"b": 1}),
        ({"type": "object", "properties": {"a": {"type": "string", "required": True}}}, {"a": "x"}, {}),
    ],
)
def test_simple_keywords_are_decided(node: dict[str, Any], valid: Any, invalid: Any) -> None:
    assert accepts(node, valid)
    assert not accepts(node, invalid)


@pytest.mark.parametrize(
    ("node", "unknown"),
    [
        ({"not": {"type": "string"}}, 1),
        ({"pattern": "^a"}, 1),
        ({"enum": [1]}, 1),
        ({"maximum": 3}, "x"),
        ({"additionalProperties": False}, "x"),
        ({"items": [{"type": "string"}]}, ["x"]),
    ],
)
def test_other_keywords_and_types_are_left_to_the_full_validation(node: dict[str, Any], unknown: Any) -> None:
    standard = "http://json-schema.org/draft-07/schema#"
    raw = {"$schema": standard, "additionalProperties": True, "properties": {"v": node}}
    schema = load_schema(raw, role="parameters")
    assert schema is not None
    assert not plainly_valid(schema.compiled, {"v": unknown}, Budget().meter("schema-steps"))
    assert validate(schema, {"v": unknown}) == []
    assert plainly_valid(schema.compiled, {"w": unknown}, Budget().meter("schema-steps"))


@pytest.mark.parametrize(
    ("value", "step", "multiple"), [(6, 3, True), (7, 3, False), (0.3, 0.1, True), (2**70, 2, True), (1, 0.3, False)]
)
def test_multiples_are_exact(value: float, step: float, multiple: bool) -> None:
    assert is_multiple(value, step) is multiple
