"""Schemas that cause excessive work: each kind of multiplication is counted before it is done."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import MOST
from kubocd_gen.schema.package_schema import PackageSchemaError, load_schema, validate

STANDARD = "http://json-schema.org/draft-07/schema#"
STEPS = 20_000
STRINGS = ["x"] * 300


def doubling(keyword: str, levels: int = 14, last: Any = None) -> dict[str, Any]:
    """Return a chain of definitions, each of which applies the next one twice."""
    chain = {f"d{level}": {keyword: [{"$ref": f"#/definitions/d{level + 1}"}] * 2} for level in range(levels)}
    return {**chain, f"d{levels}": last or {"type": "integer"}}


# Small schemas and values whose product is large.
PRODUCTS: dict[str, tuple[dict[str, Any], Any]] = {
    "allOf of items": ({"items": {"allOf": [{"type": "string"}] * 300}}, STRINGS),
    "allOf of nothing": ({"items": {"allOf": [{}] * 300}}, STRINGS),
    "anyOf": ({"items": {"anyOf": [{"type": "integer"}] * 300}}, STRINGS),
    "oneOf": ({"items": {"oneOf": [{"maxLength": 0}] * 300}}, STRINGS),
    "enum": ({"items": {"enum": [f"y{number}" for number in range(300)]}}, STRINGS),
    "enum of numbers": ({"items": {"enum": list(range(300))}}, [1000] * 300),
    "required": ({"items": {"required": [f"p{number}" for number in range(300)]}}, [{}] * 300),
    "properties": (
        {"items": {"properties": {f"p{number}": {} for number in range(300)}, "not": {"minProperties": 9}}},
        [{"z": 1}] * 300,
    ),
    "patternProperties": (
        {"patternProperties": {f"^z{number}": {} for number in range(200)}},
        {f"k{number}": 1 for number in range(200)},
    ),
    "additionalProperties": (
        {"patternProperties": {f"^z{number}": {} for number in range(200)}, "additionalProperties": False},
        {f"k{number}": 1 for number in range(200)},
    ),
    "propertyNames": ({"propertyNames": {"allOf": [{}] * 300}}, {f"k{number}": 1 for number in range(300)}),
    "dependencies": ({"items": {"dependencies": {f"p{number}": ["q"] for number in range(300)}}}, [{}] * 300),
    "uniqueItems": ({"items": {"uniqueItems": True}}, [[[number] * 60] for number in range(400)]),
    "contains": ({"allOf": [{"contains": {"type": "integer"}}] * 100}, STRINGS),
    "pattern": ({"allOf": [{"pattern": "(a|b)*c[ab]{50}"}] * 50}, "ab" * 20_000),
    "references": ({"$ref": "#/definitions/d0", "definitions": doubling("allOf", last={"type": "string"})}, "x"),
    "references that fail": ({"$ref": "#/definitions/d0", "definitions": doubling("oneOf")}, "x"),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_steps_of_a_costly_schema_and_value_are_counted(name: str) -> None:
    node, value = PRODUCTS[name]
    definitions = node.pop("definitions", {}) if "$ref" in node else {}
    raw = {"$schema": STANDARD, "properties": {"v": node}, "definitions": definitions}
    schema = load_schema(raw, role="parameters")
    assert schema is not None
    with pytest.raises(BudgetExceededError) as caught:
        validate(schema, {"v": value}, Budget(moved(LIMITS, {"schema-steps": STEPS})))
    assert caught.value.name == "schema-steps"


def test_a_schema_in_the_short_form_is_counted_too() -> None:
    schema = load_schema(
        {"properties": {"v": {"type": "array", "items": {"type": "string", "enum": [str(n) for n in range(300)]}}}},
        role="parameters",
    )
    assert schema is not None
    with pytest.raises(BudgetExceededError):
        validate(schema, {"v": ["299"] * 300}, Budget(moved(LIMITS, {"schema-steps": STEPS})))


def test_steps_add_up_over_all_values_of_a_run() -> None:
    schema = load_schema({"properties": {"v": {"type": "array", "items": {"type": "string"}}}}, role="parameters")
    assert schema is not None
    budget = Budget(moved(LIMITS, {"schema-steps": STEPS}))
    with pytest.raises(BudgetExceededError):
        for _ in range(1000):
            assert validate(schema, {"v": STRINGS}, budget) == []


LONG = "a/" * 20_000


def spelled(number: int) -> str:
    """Return `abcdefgh` with the letters percent-encoded for which `number` has a bit."""
    return "".join(f"%{ord(letter):x}" if number >> index & 1 else letter for index, letter in enumerate("abcdefgh"))


COSTLY: dict[str, dict[str, Any]] = {
    "references relative to a long name": {
        "$id": f"http://x/{LONG}",
        "properties": {f"p{number}": {"$ref": f"#/{number}"} for number in range(2000)},
    },
    "patterns of many instructions": {
        "properties": {f"p{number}": {"pattern": rf"\pL{{200}}{number}"} for number in range(8)}
    },
    "references to one large schema with many names": {
        "definitions": {"abcdefgh": {"allOf": [{}] * 2000}},
        "properties": {f"p{number}": {"$ref": f"#/definitions/{spelled(number)}"} for number in range(100)},
    },
}


@pytest.mark.parametrize("name", COSTLY)
def test_the_steps_of_loading_a_schema_are_counted(name: str) -> None:
    with pytest.raises(BudgetExceededError):
        load_schema(
            {"$schema": STANDARD, **COSTLY[name]},
            role="parameters",
            budget=Budget(moved(LIMITS, {"schema-steps": 50_000})),
        )


def test_the_number_of_problems_is_limited() -> None:
    schema = load_schema(
        {"$schema": STANDARD, "required": [f"p{number}" for number in range(10 * MOST)]}, role="parameters"
    )
    assert schema is not None
    assert len(validate(schema, {})) == MOST
    with pytest.raises(PackageSchemaError) as caught:
        load_schema({"properties": {f"p{number}": {} for number in range(10 * MOST)}}, role="parameters")
    assert len(caught.value.violations) == MOST
