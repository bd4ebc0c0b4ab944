"""JSON Schema as gojsonschema v1.2 reads it: drafts, references, and what it refuses to load."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.schema.package_schema import PackageSchemaError, load_schema, sentence, validate

HYBRID = "http://json-schema.org/schema#"
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_6 = "http://json-schema.org/draft-06/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


def messages(schema: dict[str, Any], value: dict[str, Any], draft: str = HYBRID) -> list[str]:
    loaded = load_schema({"$schema": draft} | schema, role="parameters")
    assert loaded is not None
    return [violation.message for violation in validate(loaded, value)]


def problems(schema: dict[str, Any], draft: str = HYBRID) -> list[str]:
    with pytest.raises(PackageSchemaError) as caught:
        load_schema({"$schema": draft} | schema, role="parameters")
    return [sentence(one) for one in caught.value.violations]


def of(**nodes: Any) -> dict[str, Any]:
    return {"properties": nodes}


@pytest.mark.parametrize(
    ("draft", "schema", "value", "message"),
    [
        (DRAFT_4, {"minimum": 1, "exclusiveMinimum": True}, 1, "must be greater than 1, not 1"),
        (DRAFT_4, {"const": 1}, 2, None),
        (DRAFT_6, {"exclusiveMinimum": 1}, 1, "must be greater than 1, not 1"),
        (DRAFT_6, {"const": 1}, 2, "must be 1, not 2"),
        (DRAFT_6, {"const": None}, 2, "must be null, not 2"),
        (DRAFT_6, {"if": {}, "then": {"const": 1}}, 2, None),
        (DRAFT_7, {"if": {"type": "integer"}, "then": {"const": 1}}, 2, "must be 1, not 2"),
        (DRAFT_7, {"if": {"type": "string"}, "else": {"const": 1}}, 2, "must be 1, not 2"),
        (HYBRID, {"minimum": 1, "exclusiveMinimum": True}, 1, "must be greater than 1, not 1"),
        (HYBRID, {"exclusiveMaximum": 1}, 1, "must be less than 1, not 1"),
        (HYBRID, {"contains": {"const": "x"}}, [], "must have an item that matches 'contains' in its schema"),
        (HYBRID, {"not": {"type": "integer"}}, 1, "must not match 'not' in its schema"),
        (HYBRID, {"items": [{}], "additionalItems": False}, [1, 2], "must have at most 1 item, not 2"),
        (HYBRID, {"items": [], "additionalItems": False}, [1, 2], None),
        (HYBRID, {"enum": []}, 1, None),
        (HYBRID, {"enum": [1]}, True, "must be 1, not true"),
        (HYBRID, {"enum": [False]}, 0, "must be false, not 0"),
        (HYBRID, {"enum": [1]}, 1.0, None),
        (HYBRID, {"type": []}, 1, None),
        (HYBRID, {"format": "unknown"}, "x", None),
        (HYBRID, {"format": "email"}, "x", "must have the format 'email', but 'x' does not"),
        (HYBRID, {"format": "date"}, 5, "must have the format 'date', but 5 does not"),
        (HYBRID, {"format": "date"}, True, None),
        (DRAFT_2020, {"prefixItems": [{"type": "integer"}]}, ["x"], None),
        (DRAFT_2020, {"dependentRequired": {"a": ["b"]}}, {"a": 1}, None),
        ("foo", {"const": 1}, 2, "must be 1, not 2"),
    ],
)
def test_the_keywords_of_each_draft_are_checked(
    draft: str, schema: dict[str, Any], value: Any, message: str | None
) -> None:
    assert messages(of(a=schema), {"a": value}, draft) == ([f"parameter 'a' {message}"] if message else [])


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"propertyNames": {"pattern": "^a"}}, {"c": 1},
         ["parameter 'c' has a name that is not allowed: it must match '^a', but 'c' does not"]),
        ({"dependencies": {"a": ["b"]}}, {"a": 1}, ["parameter 'b' is required because 'a' is set"]),
        ({"dependencies": {"a": {"required": ["b"]}}}, {"a": 1}, ["parameter 'b' is required"]),
        ({"additionalProperties": {"type": "string"}}, {"x": 1},
         ["parameter 'x' must be a string, not a number (1)"]),
        ({"patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": False}, {"x-a": 1, "y": 1},
         ["parameter 'x-a' must be a string, not a number (1)", "parameter 'y' is not in the schema"]),
        ({"properties": {"l": {"items": False}}}, {"l": [1]}, ["parameter 'l[0]' is not allowed"]),
        ({"allOf": [{"required": ["a"]}, {"required": ["a"]}]}, {}, ["parameter 'a' is required"]),
        ({"properties": {"l": {"uniqueItems": True}}}, {"l": [{"a": 1, "b": 2}, {"b": 2, "a": 1.0}]},
         ["parameter 'l[1]' must be unique, but repeats item 0: {\"b\": 2, \"a\": 1.0}"]),
        ({"properties": {"l": {"uniqueItems": True}}}, {"l": [1, True, "1", [1], [True]]}, []),
    ],
)  # fmt: skip
def test_maps_and_lists_are_checked(schema: dict[str, Any], value: dict[str, Any], expected: list[str]) -> None:
    assert messages(schema, value) == expected


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "foo"}, "type is not a valid type: 'foo'"),
        ({"type": ["string", "string"]}, "type[1] lists 'string' twice"),
        ({"type": 5}, "type must be the name of a type, not a number (5)"),
        ({"title": 5}, "title must be a string, not a number (5)"),
        ({"enum": "x"}, "enum must be a list of values, not a string ('x')"),
        ({"enum": [1, 1.0]}, "enum[1] repeats the value 1.0"),
        ({"required": True}, "required must be a list of names, not a boolean (true)"),
        ({"required": ["a", "a"]}, "required[1] lists 'a' twice"),
        ({"minLength": -1}, "minLength must be 0 or more, not -1"),
        ({"minLength": 1.5}, "minLength must be an integer, not a number (1.5)"),
        ({"minLength": 3, "maxLength": 2}, "minLength is greater than 'maxLength'"),
        ({"minProperties": 3, "maxProperties": 2}, "minProperties is greater than 'maxProperties'"),
        ({"multipleOf": 0}, "multipleOf must be greater than 0, not 0"),
        ({"minimum": "1"}, "minimum must be a number, not a string ('1')"),
        ({"exclusiveMinimum": True}, "exclusiveMinimum cannot be used without 'minimum'"),
        ({"uniqueItems": 1}, "uniqueItems must be true or false, not a number (1)"),
        ({"properties": []}, "properties must be a map of schemas, not a list"),
        ({"definitions": {"a": 5}}, "definitions.a must be a schema (a map), not a number (5)"),
        ({"items": 5}, "items must be a schema (a map), not a number (5)"),
        ({"anyOf": {}}, "anyOf must be a list of schemas, not a map"),
        ({"dependencies": {"a": 5}}, "dependencies.a must be a schema (a map), not a number (5)"),
        ({"$ref": 5}, "$ref must be a string, not a number (5)"),
        ({"format": 5}, "format must be a string, not a number (5)"),
        ({"pattern": "("}, "pattern is not a valid pattern (missing ): (): '('"),
        ({"pattern": "(?=x)"}, "pattern is not a valid pattern (invalid perl operator: (?=): '(?=x)'"),
        ({"patternProperties": {"(": {}}}, "patternProperties[\"(\"] is not a valid pattern (missing ): (): '('"),
    ],
)
def test_a_schema_that_gojsonschema_refuses_to_load_is_refused(schema: dict[str, Any], problem: str) -> None:
    assert problems({"definitions": {"x": schema}} if "properties" in schema else {"not": schema}) == [
        f"{'definitions.x' if 'properties' in schema else 'not'}.{problem}"
    ]


def test_draft_4_has_no_boolean_schemas_and_only_boolean_exclusive_bounds() -> None:
    assert problems({"not": {"items": True, "minimum": 1, "exclusiveMinimum": 5}}, DRAFT_4) == [
        "not.items must be a schema (a map), not a boolean (true)",
        "not.exclusiveMinimum must be true or false, not a number (5)",
    ]


@pytest.mark.parametrize(
    ("root", "reference"),
    [
        ({"definitions": {"p": {"type": "integer"}}}, "#/definitions/p"),
        ({"definitions": {"a/b~c d": {"type": "integer"}}}, "#/definitions/a~1b~0c%20d"),
        ({"definitions": {"l": {"items": [{}, {"type": "integer"}]}}}, "#/definitions/l/items/1"),
        ({"$id": "http://example.com/s.json", "definitions": {"p": {"type": "integer"}}}, "#/definitions/p"),
        ({"$id": "http://example.com/s.json", "definitions": {"p": {"$id": "#p", "type": "integer"}}}, "s.json#p"),
        ({"definitions": {"p": {"$ref": "#/definitions/q"}, "q": {"type": "integer"}}}, "#/definitions/p"),
    ],
)
def test_a_reference_is_resolved_within_the_schema(root: dict[str, Any], reference: str) -> None:
    schema = root | {"properties": {"a": {"$ref": reference, "minLength": "ignored, like all siblings"}}}
    assert messages(schema, {"a": "x"}) == ["parameter 'a' must be an integer, not a string ('x')"]
    assert messages(schema, {"a": 1}) == []


def test_a_recursive_reference_is_valid_if_it_descends_into_the_value() -> None:
    tree = {"additionalProperties": False, "properties": {"child": {"$ref": "#"}}}
    assert messages(tree, {"child": {"child": {}}}) == []
    assert messages(tree, {"child": {"childe": {}}}) == ["parameter 'child.childe' is not in the schema"]


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        (of(a={"$ref": "http://nosuch.invalid/s.json"}), "properties.a.$ref",
         "outside the package: 'http://nosuch.invalid/s.json'"),
        (of(a={"$ref": "other.json#/x"}), "properties.a.$ref", "outside the package: 'other.json#/x'"),
        (of(a={"$ref": "#/definitions/x"}), "properties.a.$ref", "missing schema: '#/definitions/x'"),
        ({"$ref": "#"}, "$ref", "loop: '#'"),
        ({"definitions": {"a": {"anyOf": [{"$ref": "#/definitions/b"}]}, "b": {"not": {"$ref": "#/definitions/a"}}}},
         "definitions.a.anyOf[0].$ref", "loop: '#/definitions/b'"),
    ],
)  # fmt: skip
def test_a_reference_that_cannot_be_resolved_is_an_error(schema: dict[str, Any], path: str, words: str) -> None:
    (problem,) = problems(schema)
    assert problem.startswith(f"{path} ")
    assert words in problem


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (of(a={"format": {}}), "properties.a.format must be a string, not a map"),
        (of(a={"format": []}), "properties.a.format must be a string, not a list"),
        (of(a={"$id": 5}), "properties.a.$id must be a string, not a number (5)"),
        (of(a={"id": {}}), "properties.a.id must be a string, not a map"),
        (
            {"$ref": "#/definitions/b", "definitions": {"a": {"type": "x"}, "b": {}}},
            "definitions.a.type is not a valid type: 'x'",
        ),
        (of(a={"$ref": "#", "title": 1}), "properties.a.title must be a string, not a number (1)"),
    ],
)
def test_an_invalid_schema_is_an_error_with_its_path(schema: dict[str, Any], problem: str) -> None:
    assert problems(schema) == [problem]


@pytest.mark.parametrize(("draft", "keyword"), [(DRAFT_4, "$id"), (DRAFT_6, "id"), (DRAFT_7, "id")])
def test_the_identifier_keyword_of_another_draft_is_ignored(draft: str, keyword: str) -> None:
    assert messages(of(a={keyword: 5}), {"a": 1}, draft) == []


def test_siblings_of_a_reference_are_ignored() -> None:
    assert messages(of(a={"$ref": "#/definitions/x", "type": "string"}) | {"definitions": {"x": {}}}, {"a": 1}) == []


def test_a_reference_to_an_unknown_name_is_the_whole_schema() -> None:
    schema = of(a={"$ref": "#unknown"}, b={"type": "integer"})
    assert messages(schema, {"a": {"a": {"b": 1}}}) == []
    assert messages(schema, {"a": {"b": "x"}}) != []
    (problem,) = problems({"$ref": "#unknown"})
    assert "loop: '#unknown'" in problem
