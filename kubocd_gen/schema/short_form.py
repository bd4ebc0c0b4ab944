"""Translate KuboCD's short form of a schema to JSON Schema.

In the short form, `required` is a boolean of the property itself, `type` is optional next to `properties` or `items`,
and unknown keywords are errors. The rules are those of KuboCD's user guide (chapter "package schemas") and of its
packager.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.diagnostics.problems import nearest
from kubocd_gen.diagnostics.wording import KeyPath, described, known_names, quoted
from kubocd_gen.schema.structural import Violation

INVALID = "invalid-package-schema"
STANDARD = "http://json-schema.org/schema#"
DEEPEST = 100  # levels of nested schemas; Python's stack allows a few hundred

_COMMON = ("type", "title", "description", "required")
_SCALAR = (*_COMMON, "enum", "default")
_NUMERIC = (*_SCALAR, "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "string": (*_SCALAR, "minLength", "maxLength", "pattern"),
    "integer": _NUMERIC,
    "number": _NUMERIC,
    "boolean": _SCALAR,
    "object": (*_COMMON, "properties", "additionalProperties", "patternProperties", "minProperties", "maxProperties"),
    "array": (*_COMMON, "items", "prefixItems", "maxItems", "minItems", "uniqueItems"),
}
_STANDARD_HINT = f"add '$schema: {STANDARD}' to use all of JSON Schema"


def translate(raw: Mapping[str, Any], *, open_maps: bool, problems: list[Violation]) -> dict[str, Any]:
    """Return the JSON Schema of a schema in the short form, and append the errors in it to `problems`.

    `open_maps` is the default of `additionalProperties`; the value of a node is the default for all nodes below it.
    `patternProperties` and `prefixItems` are copied unchanged.
    """
    schema, _ = _node(raw, (), open_maps, problems)
    if not problems and schema.get("type") != "object":
        problems.append(Violation(("type",), f"must be 'object', not {quoted(schema['type'])}", INVALID))
    return schema


def _node(raw: Any, path: KeyPath, open_maps: bool, problems: list[Violation]) -> tuple[dict[str, Any], bool]:
    """Return the translated node, and whether its parent requires it."""
    kind = _kind(raw, path, problems)
    if kind is None:
        return {}, False
    for keyword in raw:
        if keyword not in _KEYWORDS[kind]:
            problems.append(_unknown_keyword(keyword, kind, path))
    required = raw.get("required", False)
    if not isinstance(required, bool):
        hint = "in the short form, set 'required: true' on each property" if isinstance(required, list) else None
        _wrong((*path, "required"), "true or false", required, problems, hint)
    schema = {keyword: value for keyword, value in raw.items() if keyword != "required"} | {"type": kind}
    if kind == "object":
        _object(raw, schema, path, open_maps, problems)
    elif kind == "array":
        if "items" in raw:
            schema["items"], _ = _node(raw["items"], (*path, "items"), open_maps, problems)
        else:
            problems.append(Violation(path, "is an array without 'items'", INVALID))
    return schema, required is True


def _object(
    raw: Mapping[str, Any], schema: dict[str, Any], path: KeyPath, open_maps: bool, problems: list[Violation]
) -> None:
    additional = raw.get("additionalProperties", open_maps)
    if not isinstance(additional, bool):
        _wrong((*path, "additionalProperties"), "true or false", additional, problems, _STANDARD_HINT)
    properties = raw.get("properties")
    if "properties" not in raw:
        problems.append(Violation(path, "is an object without 'properties'", INVALID, "add 'properties: {}'"))
    elif not isinstance(properties, dict):
        _wrong((*path, "properties"), "a map", properties, problems)
    translated = {}
    required = []
    for name, child in properties.items() if isinstance(properties, dict) else ():
        translated[name], wanted = _node(child, (*path, "properties", name), additional is True, problems)
        if wanted:
            required.append(name)
    schema.update(properties=translated, required=required, additionalProperties=additional)


def _kind(raw: Any, path: KeyPath, problems: list[Violation]) -> str | None:
    """Return the type of the node, or None, with a problem, if it has no valid type."""
    if not isinstance(raw, dict):
        _wrong(path, "a map", raw, problems)
    elif len(path) > 2 * DEEPEST:
        problems.append(Violation(path[:2], f"is nested more than {DEEPEST} levels deep", INVALID))
    elif "type" not in raw and ("properties" in raw or "items" in raw):
        return "object" if "properties" in raw else "array"
    elif raw.get("type") in (None, ""):
        problems.append(Violation(path, "has no 'type'", INVALID, known_names("valid types", _KEYWORDS)))
    elif not isinstance(raw["type"], str):
        _wrong((*path, "type"), "the name of one type", raw["type"], problems, _STANDARD_HINT)
    elif raw["type"] not in _KEYWORDS:
        hint = nearest("did you mean '{}'?", raw["type"], _KEYWORDS) or known_names("valid types", _KEYWORDS)
        problems.append(Violation((*path, "type"), f"is not a valid type: {quoted(raw['type'])}", INVALID, hint))
    else:
        return str(raw["type"])
    return None


def _unknown_keyword(keyword: str, kind: str, path: KeyPath) -> Violation:
    hint = nearest("did you mean '{}'?", keyword, _KEYWORDS[kind]) or _STANDARD_HINT
    article = "an" if kind[0] in "aio" else "a"
    return Violation((*path, keyword), f"is not a keyword of {article} {kind} in KuboCD's short form", INVALID, hint)


def _wrong(path: KeyPath, wanted: str, value: Any, problems: list[Violation], hint: str | None = None) -> None:
    problems.append(Violation(path, f"must be {wanted}, not {described(value)}", INVALID, hint))
