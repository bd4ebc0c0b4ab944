"""A package's schema as KuboCD reads it: the short form, defaults, and validation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.budget.spending import Budget
from kubocd_gen.schema.json_validation import errors_of
from kubocd_gen.schema.package_schema import PackageSchema, PackageSchemaError, Role, load_schema, sentence, validate
from kubocd_gen.schema.plain_validation import plainly_valid

STANDARD = "http://json-schema.org/schema#"


def loaded(raw: Any, role: Role = "parameters") -> PackageSchema:
    schema = load_schema(raw, role=role)
    assert schema is not None
    return schema


def properties(**nodes: Any) -> dict[str, Any]:
    return {"properties": nodes}


def messages(raw: Any, value: dict[str, Any], role: Role = "parameters") -> list[str]:
    return [violation.message for violation in validate(loaded(raw, role), value)]


def problems(raw: Any) -> list[str]:
    with pytest.raises(PackageSchemaError) as caught:
        load_schema(raw, role="parameters")
    return [sentence(one) for one in caught.value.violations]


@pytest.mark.parametrize("raw", [None, {}])
def test_parameters_without_a_schema_accept_no_parameter(raw: Any) -> None:
    schema = loaded(raw)
    assert schema.defaults == {}
    assert validate(schema, {}) == []
    assert messages(raw, {"a": 1}) == ["parameter 'a' is not in the schema"]


@pytest.mark.parametrize("raw", [None, {}])
def test_a_context_without_a_schema_is_not_validated(raw: Any) -> None:
    assert load_schema(raw, role="context") is None


def test_the_short_form_is_translated_to_json_schema() -> None:
    raw = properties(
        host={"type": "string", "required": True},
        ports={"items": {"type": "integer"}},
        tls={"required": True, "properties": {"secret": {"type": "string"}}},
    )
    assert loaded(raw).schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["host", "tls"],
        "properties": {
            "host": {"type": "string"},
            "ports": {"type": "array", "items": {"type": "integer"}},
            "tls": {
                "type": "object",
                "additionalProperties": False,
                "required": [],
                "properties": {"secret": {"type": "string"}},
            },
        },
    }


def test_pattern_properties_and_prefix_items_are_not_translated() -> None:
    node = {"properties": {"a": {"type": "string", "default": "x"}}}
    raw = properties(
        labels={"properties": {}, "patternProperties": {"^x-": node}},
        ports={"items": {"type": "integer"}, "prefixItems": [node]},
    )
    found = loaded(raw).schema["properties"]
    assert (found["labels"]["patternProperties"], found["ports"]["prefixItems"]) == ({"^x-": node}, [node])
    assert problems(properties(labels={"properties": {}, "patternProperties": {"^x-": {"required": True}}})) == [
        'properties.labels.patternProperties["^x-"].required must be a list of names, not a boolean (true)'
    ]


def test_a_reference_is_not_followed_for_defaults() -> None:
    raw = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"port": {"type": "integer", "default": 80}},
        "properties": {"port": {"$ref": "#/definitions/port"}, "host": {"type": "string", "default": "a"}},
    }
    assert loaded(raw).defaults == {"host": "a"}


def test_other_properties_are_refused_in_parameters_and_accepted_in_a_context() -> None:
    raw = properties(o={"properties": {}})
    assert messages(raw, {"o": {"x": 1}}) == ["parameter 'o.x' is not in the schema"]
    assert messages(raw, {"o": {"x": 1}, "y": 2}, "context") == []


def test_additional_properties_are_inherited_by_descendants() -> None:
    raw = properties(
        o={
            "additionalProperties": True,
            "properties": {"p": {"properties": {}}, "q": {"additionalProperties": False, "properties": {}}},
        }
    )
    assert messages(raw, {"o": {"x": 1, "p": {"x": 1}}}) == []
    assert messages(raw, {"o": {"q": {"x": 1}}}) == ["parameter 'o.q.x' is not in the schema"]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ([], "the schema must be a map, not a list"),
        (properties(a={"default": "x"}), "properties.a has no 'type'"),
        (properties(a={"type": None, "properties": {}}), "properties.a has no 'type'"),
        (properties(a={"type": "foo"}), "properties.a.type is not a valid type: 'foo'"),
        (properties(a={"type": ["string"]}), "properties.a.type must be the name of one type, not a list"),
        (properties(a=None), "properties.a must be a map, not null"),
        (properties(a={"type": "array"}), "properties.a is an array without 'items'"),
        (properties(a={"items": []}), "properties.a.items must be a map, not a list"),
        (properties(a={"type": "object"}), "properties.a is an object without 'properties'"),
        ({"properties": None}, "properties must be a map, not null"),
        (properties(a={"type": "string", "format": "email"}),
         "properties.a.format is not a keyword of a string in KuboCD's short form"),
        (properties(a={"items": {"type": "string"}, "default": []}),
         "properties.a.default is not a keyword of an array in KuboCD's short form"),
        ({"properties": {}, "required": ["a"]}, "required must be true or false, not a list"),
        ({"properties": {}, "additionalProperties": {}}, "additionalProperties must be true or false, not a map"),
        ({"type": "string"}, "type must be 'object', not 'string'"),
    ],
)  # fmt: skip
def test_the_short_form_is_checked(raw: Any, problem: str) -> None:
    assert problems(raw) == [problem]


def test_all_problems_of_a_schema_are_reported_with_their_paths() -> None:
    raw = properties(a={"type": "string", "maxlength": 3}, b={"type": "int"}, c={"items": {"type": "string", "x": 1}})
    with pytest.raises(PackageSchemaError) as caught:
        load_schema(raw, role="parameters")
    assert [(error.path, error.hint) for error in caught.value.violations] == [
        (("properties", "a", "maxlength"), "did you mean 'maxLength'?"),
        (("properties", "b", "type"), "did you mean 'integer'?"),
        (("properties", "c", "items", "x"), f"add '$schema: {STANDARD}' to use all of JSON Schema"),
    ]


def test_an_object_has_the_defaults_of_its_properties_and_is_omitted_without_any() -> None:
    raw = properties(
        s={"type": "string", "default": "x"},
        zero={"type": "integer", "default": 0},
        null={"type": "string", "default": None},
        o=properties(
            x={"type": "string", "default": "in"}, y={"type": "string"}, deep=properties(z={"type": "string"})
        ),
        empty=properties(x={"type": "string"}),
    )
    assert loaded(raw).defaults == {"s": "x", "zero": 0, "o": {"x": "in"}}


def test_the_default_of_an_array_is_the_empty_list() -> None:
    raw = properties(a={"items": {"type": "string"}, "required": True, "minItems": 1})
    schema = loaded(raw)
    assert schema.defaults == {"a": []}
    assert messages(raw, schema.defaults) == ["parameter 'a' must have at least 1 item, not 0"]


def test_in_json_schema_an_object_default_applies_only_without_properties() -> None:
    raw = {
        "$schema": STANDARD,
        "definitions": {"d": {"default": 3}},
        "properties": {
            "b": {"default": {"x": 1}, "properties": {"x": {"default": 5}}},
            "c": {"type": "object", "default": {"x": 1}},
            "d": {"type": "array", "default": [1]},
            "e": {"default": 7},
            "r": {"$ref": "#/definitions/d"},
        },
    }
    assert loaded(raw).defaults == {"b": {"x": 5}, "c": {"x": 1}, "d": [], "e": 7}
    assert loaded({"$schema": STANDARD, "default": {"a": 1}}).defaults == {"a": 1}


@pytest.mark.parametrize(
    ("node", "value", "message"),
    [
        ({"type": "integer"}, "1", "must be an integer, not a string ('1')"),
        ({"type": "integer"}, 1.5, "must be an integer, not a number (1.5)"),
        ({"type": "integer"}, True, "must be an integer, not a boolean (true)"),
        ({"type": "string"}, None, "must be a string, not null"),
        ({"type": "string", "enum": ["ab", "b"]}, "c", "must be 'ab' or 'b', not 'c'"),
        ({"type": "integer", "enum": [1, 2]}, 3, "must be 1 or 2, not 3"),
        ({"type": "boolean", "enum": [True]}, False, "must be true, not false"),
        ({"type": "string", "minLength": 2}, "é", "must have at least 2 characters, not 1"),
        ({"type": "string", "maxLength": 2}, "abc", "must have at most 2 characters, not 3"),
        ({"type": "string", "pattern": r"b\d"}, "abc", r"must match 'b\d', but 'abc' does not"),
        ({"type": "integer", "minimum": 2}, 1, "must be at least 2, not 1"),
        ({"type": "integer", "maximum": 2}, 3, "must be at most 2, not 3"),
        ({"type": "integer", "exclusiveMinimum": 2}, 2, "must be greater than 2, not 2"),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": True}, 1, "must be less than 1, not 1"),
        ({"type": "number", "multipleOf": 0.25}, 0.8, "must be a multiple of 0.25, not 0.8"),
        ({"items": {"type": "string"}, "maxItems": 1}, ["a", "b"], "must have at most 1 item, not 2"),
        ({"properties": {}, "minProperties": 1}, {}, "must have at least 1 field, not 0"),
    ],
)
def test_an_invalid_value_is_reported_with_the_expected_one(node: Any, value: Any, message: str) -> None:
    assert messages(properties(a=node), {"a": value}) == [f"parameter 'a' {message}"]


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"type": "integer"}, 1.0),
        ({"type": "integer", "enum": [1]}, 1.0),
        ({"type": "number", "multipleOf": 0.1}, 0.3),
        ({"type": "number", "multipleOf": 1e-300}, 1e308),
        ({"type": "string", "pattern": r"b\d"}, "ab1c"),
        ({"items": {"type": "string"}, "prefixItems": [{"type": "integer"}]}, ["a"]),
        ({"properties": {}, "patternProperties": {"^x-": {"type": "string"}}}, {"x-a": "b"}),
    ],
)
def test_values_that_kubocd_accepts_are_accepted(node: Any, value: Any) -> None:
    assert messages(properties(a=node), {"a": value}) == []


def test_each_problem_is_reported_once_and_a_wrong_type_hides_other_problems() -> None:
    raw = properties(
        a={"type": "string", "enum": ["x"], "minLength": 2},
        b={"items": {"type": "integer"}, "uniqueItems": True},
        c={"type": "string", "required": True},
    )
    violations = validate(loaded(raw), {"a": 5, "b": [1, "x", 1.0], "d": 1})
    assert [(violation.path, violation.code) for violation in violations] == [
        (("a",), "invalid-parameter"),
        (("b", 1), "invalid-parameter"),
        (("b", 2), "invalid-parameter"),
        (("c",), "missing-parameter"),
        (("d",), "unknown-parameter"),
    ]


def test_a_context_has_its_own_codes_and_messages() -> None:
    raw = properties(ingress=properties(domain={"type": "string", "required": True}, port={"type": "integer"}))
    violations = validate(loaded(raw, "context"), {"ingress": {"port": "x"}})
    assert [(violation.code, violation.message) for violation in violations] == [
        ("invalid-context", "context value 'ingress.port' must be an integer, not a string ('x')"),
        ("missing-context-value", "context value 'ingress.domain' is required"),
    ]


@pytest.mark.parametrize(
    ("node", "value", "hint"),
    [
        ({"type": "integer"}, {"replicaz": 1}, "did you mean 'replicas'?"),
        ({"type": "integer"}, {"x": 1}, "known parameters: replicas"),
        ({"type": "integer"}, {"replicas": "3"}, "remove the quotes"),
        ({"type": "integer", "maximum": 9, "default": 1}, {"replicas": 10}, "the default is 1"),
        (
            {"type": "integer", "default": [1]},
            {"replicas": [1]},
            "set another value; this is the default of the package",
        ),
        (
            {"type": "integer", "required": True, "description": "How many.\nMore."},
            {},
            "description in the schema: 'How many.'",
        ),
        ({"type": "string", "enum": ["small", "large"]}, {"replicas": "smal"}, "did you mean 'small'?"),
    ],
)
def test_a_hint_shows_how_to_fix_the_value(node: Any, value: dict[str, Any], hint: str) -> None:
    assert [violation.hint for violation in validate(loaded(properties(replicas=node)), value)] == [hint]


def test_the_problems_of_each_alternative_are_reported() -> None:
    raw = {"$schema": STANDARD, "properties": {"x": {"oneOf": [{"type": "string"}, {"required": ["a"]}]}}}
    (none,) = messages(raw, {"x": {}})
    assert none.startswith("parameter 'x' must match one of the 2 alternatives")
    assert none.endswith(": it must be a string, not a map; or 'a' is required")
    (both,) = messages(raw, {"x": "s"})
    assert both.startswith("parameter 'x' must match only one ")


def nested(depth: int, leaf: Any, name: str) -> Any:
    for _ in range(depth):
        leaf = {name: leaf} if name != "not" else {"not": leaf}
    return leaf


def test_a_schema_nested_too_deeply_is_an_error() -> None:
    short: Any = {"type": "string"}
    for _ in range(3000):
        short = {"properties": {"a": short}}
    assert problems(short) == ["properties.a is nested more than 100 levels deep"]
    assert problems({"$schema": STANDARD} | nested(3000, {}, "not")) == ["not.not is nested more than 100 levels deep"]


def test_a_default_of_all_parameters_must_be_a_map() -> None:
    assert problems({"$schema": STANDARD, "type": "object", "default": 5}) == [
        "the schema must have a map as its default, not a number (5)"
    ]


def test_a_property_schema_must_be_a_map_not_a_boolean() -> None:
    raw = {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": True}}
    assert problems(raw) == ["properties.a must be a schema (a map), not a boolean (true)"]


def test_a_value_nested_too_deeply_is_an_error() -> None:
    raw = {"$schema": STANDARD, "properties": {"c": {"$ref": "#"}}}
    assert messages(raw, nested(3000, {}, "c")) == ["the parameters are nested too deeply for their schema"]


def test_a_schema_of_exponential_cost_is_an_error() -> None:
    definitions: dict[str, Any] = {f"d{i}": {"allOf": [{"$ref": f"#/definitions/d{i + 1}"}] * 2} for i in range(60)}
    raw = {
        "$schema": STANDARD,
        "definitions": definitions | {"d60": {}},
        "properties": {"x": {"$ref": "#/definitions/d0"}},
    }
    (message,) = messages(raw, {"x": 1})
    assert "too many references" in message


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.0, 2.5])
    | st.sampled_from(["", "a", "ab", "b"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
NODES = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["string", "integer", "number", "boolean", "null", ["string", "integer"]]),
            "enum": st.just(["a", 1, True]),
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(2, 3),
            "pattern": st.sampled_from(["^a", "b$"]),
            "minimum": st.sampled_from([0, 0.5]),
            "maximum": st.sampled_from([1, 2.5]),
            "multipleOf": st.sampled_from([2, 0.5]),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array"]),
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "required": st.just(["a"]),
            "additionalProperties": st.booleans() | inner,
            "patternProperties": st.dictionaries(st.sampled_from(["a", "^b"]), inner, max_size=1),
            "items": inner | st.lists(inner, max_size=2),
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(1, 3),
            "not": inner,
        },
    ),
    max_leaves=6,
)


@given(NODES, VALUES)
def test_a_value_that_passes_the_quick_check_has_no_error(node: dict[str, Any], value: Any) -> None:
    schema = loaded({"$schema": STANDARD, "properties": {"v": node}})
    spend = Budget().meter("schema-steps")
    if plainly_valid(schema.compiled, {"v": value}, spend):
        assert errors_of(schema.compiled, {"v": value}, spend) == []
