"""The schema of parameters for editors, compared with the validation of a build."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from kubocd_gen.compiler.values import merge
from kubocd_gen.editors.parameters import parameters_schema
from kubocd_gen.schema.package_schema import PackageSchema, PackageSchemaError, load_schema, validate

STANDARD = "http://json-schema.org/schema#"
DRAFT7 = "http://json-schema.org/draft-07/schema#"


def loaded(raw: dict[str, Any]) -> PackageSchema:
    schema = load_schema(raw, role="parameters")
    assert schema is not None
    return schema


def for_editors(package: PackageSchema) -> dict[str, Any]:
    """Return the part of the schema of a Release's spec that describes parameters."""
    found = parameters_schema(package, lambda name: f"#/definitions/{name}")
    schema: dict[str, Any] = {"properties": {"parameters": found.schema}, "definitions": dict(found.definitions)}
    schema |= {"required": ["parameters"]} if found.required else {}
    return schema


def accepts(raw: dict[str, Any], *values: Any) -> list[bool]:
    schema = for_editors(loaded(raw))
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    return [validator.is_valid({"parameters": value}) for value in values]


def test_templates_are_accepted_in_place_of_strings() -> None:
    raw = {
        "properties": {
            "host": {"type": "string", "pattern": "^[a-z.]+$"},
            "size": {"type": "string", "enum": ["S", "L"]},
            "name": {"type": "string", "minLength": 1, "maxLength": 5},
        }
    }
    good = [{"host": "a.b"}, {"size": "S"}, {"name": "abc"}]
    templates = [{field: "{{ .Context.something }}"} for field in ("host", "size", "name")]
    bad = [{"host": "A"}, {"size": "M"}, {"name": ""}, {"name": "abcdef"}, {"host": 1}]
    assert accepts(raw, *good, *templates) == [True] * 6
    assert accepts(raw, *bad) == [False] * 5


def test_a_template_in_a_map_is_a_string_and_not_a_number() -> None:
    raw = {"properties": {"replicas": {"type": "integer"}, "on": {"type": "boolean"}}}
    assert accepts(raw, {"replicas": 1, "on": True}) == [True]
    assert accepts(raw, {"replicas": "{{ 3 }}"}, {"on": "{{ true }}"}) == [False, False]


def test_a_string_is_a_template_of_the_whole_map() -> None:
    raw = {"properties": {"host": {"type": "string", "required": True}}}
    assert accepts(raw, "host: {{ .Context.host }}\n", {}, None, ["host"]) == [True, False, False, False]


def test_parameters_with_a_default_are_not_required() -> None:
    raw = {
        "properties": {
            "a": {"type": "string", "required": True, "default": "x"},
            "list": {"items": {"type": "string"}, "required": True},
            "deep": {"properties": {"b": {"type": "string", "required": True, "default": "y"}}, "required": True},
        }
    }
    schema = for_editors(loaded(raw))
    assert Draft7Validator(schema).is_valid({})
    assert accepts(raw, {}, None, {"deep": {}}) == [True] * 3


def test_parameters_required_because_of_defaults_are_required() -> None:
    raw = {
        "properties": {
            "deep": {
                "properties": {"a": {"type": "string", "default": "x"}, "b": {"type": "string", "required": True}}
            },
            "list": {"items": {"type": "string"}, "minItems": 1},
        }
    }
    assert for_editors(loaded(raw))["required"] == ["parameters"]
    assert accepts(raw, {"deep": {"b": "y"}, "list": ["z"]}) == [True]
    assert accepts(raw, {"deep": {}, "list": ["z"]}, {"list": ["z"]}, {"deep": {"b": "y"}}) == [False] * 3


def test_a_package_without_a_schema_accepts_no_parameter() -> None:
    assert accepts({}, None, {}, {"a": 1}) == [True, True, False]


def test_references_point_into_the_schema_for_editors() -> None:
    raw = {
        "$schema": DRAFT7,
        "$id": "https://example.com/parameters.json",
        "type": "object",
        "definitions": {"port/number": {"type": "integer", "maximum": 9}, "tree": {"$id": "#tree", "type": "object"}},
        "properties": {
            "port": {"$ref": "#/definitions/port~1number"},
            "tree": {"properties": {"below": {"$ref": "#tree"}}},
            "self": {"$ref": "#"},
        },
        "additionalProperties": False,
    }
    assert accepts(raw, {"port": 9, "tree": {"below": {}}, "self": {"self": {"port": 1}}}) == [True]
    assert accepts(raw, {"port": 10}, {"self": {"port": "x"}}, {"tree": {"below": 1}}, {"x": 1}) == [False] * 4


def test_keywords_that_editors_interpret_differently_are_left_to_the_build() -> None:
    raw = {
        "$schema": DRAFT7,
        "properties": {
            "mail": {"type": "string", "format": "email"},
            "flags": {"type": "string", "pattern": "(?i)^abc$"},
            "step": {"type": "number", "multipleOf": 0.1},
            "other": {"not": {"pattern": "^x"}},
            "either": {"oneOf": [{"pattern": "^x"}, {"pattern": "^y"}]},
            "names": {"type": "object", "patternProperties": {"(?i)^x": True}, "additionalProperties": False},
            "when": {"if": {"pattern": "^x"}, "then": {"type": "integer"}},
        },
    }
    value = {"mail": "A B <a@b>", "flags": "ABC", "step": 0.3, "other": "y", "names": {"X1": 1}}
    assert not validate(loaded(raw), value)
    assert accepts(raw, value, {"other": "{{ .x }}", "either": "{{ .x }}", "when": "{{ .x }}"}) == [True, True]


def test_a_key_can_be_a_template() -> None:
    raw = {"properties": {"labels": {"properties": {"tier": {"type": "string"}}}}}
    assert accepts(raw, {"labels": {"{{ .Context.label }}": "a"}}, {"labels": {"other": "a"}}) == [True, False]


def test_titles_descriptions_and_defaults_are_kept() -> None:
    raw = {"properties": {"a": {"type": "string", "title": "A", "description": "What a is.", "default": "x"}}}
    described = for_editors(loaded(raw))["properties"]["parameters"]["properties"]["a"]
    assert described == {"type": "string", "title": "A", "description": "What a is.", "default": "x"}


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "not", "if", "dependencies", "minProperties"])
def test_keywords_that_apply_to_merged_values_are_left_to_the_build(keyword: str) -> None:
    rules: dict[str, Any] = {
        "anyOf": [{"required": ["a"]}],
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "not": {"required": ["b"]},
        "if": {"required": ["a"]},
        "dependencies": {"c": ["a"]},
        "minProperties": 2,
    }
    raw = {"$schema": DRAFT7, "properties": {"a": {"default": 1}, "c": {}}, keyword: rules[keyword]}
    if keyword == "if":
        raw |= {"then": {}, "else": {"required": ["b"]}}
    assert not validate(loaded(raw), {"a": 1, "c": 2})
    assert accepts(raw, {"c": 2}) == [True]


TEXTS = st.sampled_from(["", "a", "ab", "b", "{{ x }}"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 2.5]) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
MAPS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)
SHORT_LEAVES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "enum": st.just(["a", "b"]),
            "default": st.sampled_from(["a", "c"]),
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(2, 3),
            "pattern": st.sampled_from(["^a", "b$"]),
            "required": st.booleans(),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number", "boolean"])},
        optional={"enum": st.just([1, 2]), "default": st.sampled_from([1, True, 5]), "required": st.booleans()},
    ),
)
SHORT = st.recursive(
    SHORT_LEAVES,
    lambda inner: (
        st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3)},
            optional={"required": st.booleans(), "additionalProperties": st.booleans()},
        )
        | st.fixed_dictionaries(
            {"items": inner},
            optional={"required": st.booleans(), "minItems": st.integers(0, 2), "uniqueItems": st.booleans()},
        )
    ),
    max_leaves=5,
)
LONG = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["string", "integer", "number", "boolean", "null", ["string", "integer"]]),
            "enum": st.just(["a", 1, True]),
            "const": st.just("b"),
            "default": SCALARS,
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(2, 3),
            "pattern": st.sampled_from(["^a", "b$", "(?i)A"]),
            "format": st.sampled_from(["email", "date"]),
            "minimum": st.sampled_from([0, 0.5]),
            "multipleOf": st.sampled_from([2, 0.5]),
            "$ref": st.sampled_from(["#/definitions/d", "#"]),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array"]),
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "required": st.just(["a"]),
            "additionalProperties": st.booleans() | inner,
            "patternProperties": st.dictionaries(st.sampled_from(["a", "^b", "(?i)C"]), inner, max_size=1),
            "propertyNames": inner,
            "items": inner | st.lists(inner, max_size=2),
            "additionalItems": st.booleans() | inner,
            "contains": inner,
            "minItems": st.integers(0, 2),
            "minProperties": st.integers(0, 2),
            "dependencies": st.fixed_dictionaries({"a": st.just(["b"]) | inner}),
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            **{keyword: st.lists(inner, min_size=1, max_size=2) for keyword in ("allOf", "anyOf", "oneOf")},
        },
    ),
    max_leaves=5,
)


def rendered(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {key: rendered(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [rendered(item, text) for item in value]
    return text if value == "{{ x }}" else value


@given(st.dictionaries(st.sampled_from("abc"), SHORT, max_size=3), MAPS)
def test_for_the_short_form_an_editor_and_a_build_agree(properties: dict[str, Any], value: dict[str, Any]) -> None:
    value = rendered(value, "a")  # no templates
    package = loaded({"properties": properties})
    built = not validate(package, merge(package.defaults, value))
    assert Draft7Validator(for_editors(package)).is_valid({"parameters": value}) == built
    left_out = not validate(package, package.defaults)
    assert Draft7Validator(for_editors(package)).is_valid({}) == left_out


@given(LONG, LONG, MAPS, TEXTS.filter(lambda text: "{{" not in text))
def test_an_editor_accepts_everything_a_build_accepts(
    node: dict[str, Any], definition: dict[str, Any], value: dict[str, Any], text: str
) -> None:
    raw = {**node, "$schema": DRAFT7, "definitions": {"d": definition}}
    try:
        package = loaded(raw)
    except PackageSchemaError:
        return
    schema = for_editors(package)
    if not validate(package, merge(package.defaults, rendered(value, text))):
        assert list(Draft7Validator(schema).iter_errors({"parameters": value})) == []
