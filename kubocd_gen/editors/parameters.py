"""The schema with which an editor checks a package's parameters, before defaults are merged and templates rendered.

A build validates `spec.parameters` after rendering its templates and merging in the schema's defaults. An editor only
sees the source. Its schema therefore accepts a template wherever the rendered string can be valid (a template in a map
always renders to a string, because KuboCD renders the map as JSON), requires only values without a default, and does
not check what depends on rendering. It accepts everything that a build accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.editors.patterns import portable
from kubocd_gen.schema.json_schema import NEVER, CompiledSchema
from kubocd_gen.schema.json_validation import TooMuchWorkError, errors_of
from kubocd_gen.schema.package_schema import PackageSchema

Schema = dict[str, Any]

TEMPLATE = r"\{\{"
"""A pattern that matches strings with a template."""

_ANNOTATIONS = ("title", "description", "default")
_COUNTS = ("minItems", "maxItems", "uniqueItems", "maxProperties")
_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_KEPT = (*_ANNOTATIONS, *_COUNTS, *_NUMERIC)
# These apply to the merged value as a whole, so they can't be checked where defaults are merged in.
_WHOLE = (
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependencies",
    "minProperties",
    "maxProperties",
    "enum",
    "const",
)
_OF_MAPS = {"properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties"}


@dataclass(frozen=True, slots=True)
class ParametersSchema:
    """The schema of `spec.parameters`, the definitions of its `$ref`s, and whether parameters are required."""

    schema: Schema
    definitions: Mapping[str, Schema]
    required: bool


def parameters_schema(package: PackageSchema, pointer: Callable[[str], str]) -> ParametersSchema:
    """Return the schema with which an editor checks a package's parameters.

    `pointer` returns the `$ref` to the definition of a name; the caller decides where the definitions are.
    """
    names = _names(package.compiled.references)
    writer = _Writer(package.compiled, {absolute: pointer(name) for absolute, name in names.items()})
    required = writer.is_missing(package.compiled.schema, package.defaults)
    schema = writer.merged(package.compiled.schema, package.defaults)
    absent = ["string"] if required else ["string", "null"]  # a string is a template of the whole map
    if set(schema) <= {*_ANNOTATIONS, "type", *_OF_MAPS}:
        schema = {**schema, "type": ["object", *absent]}
    else:
        schema = {"if": {"type": absent}, "else": schema}
    definitions = {name: writer.written(package.compiled.references[absolute]) for absolute, name in names.items()}
    return ParametersSchema(schema, definitions, required)


def _names(references: Iterable[str]) -> dict[str, str]:
    """Return a name for each reference, with characters that need no escaping in a `$ref`."""
    names: dict[str, str] = {}
    for absolute in references:
        plain = "".join(one if one.isascii() and (one.isalnum() or one in "-_.") else "-" for one in absolute)
        name = plain.strip("-").removeprefix("definitions-") or "root"
        while name in names.values():
            name += "-"
        names[absolute] = name
    return names


@dataclass(frozen=True, slots=True)
class _Writer:
    package: CompiledSchema
    pointers: Mapping[str, str]  # absolute `$ref` → the editor's

    def merged(self, node: Mapping[str, Any], defaults: Any) -> Any:
        """Return the schema of a value into which `defaults` are merged; None means that there are none."""
        if not isinstance(defaults, dict) or not defaults:
            return self.written(node)
        kept = {keyword: value for keyword, value in node.items() if keyword not in ("$ref", "allOf", *_WHOLE)}
        properties: Mapping[str, Mapping[str, Any]] = kept.pop("properties", {})
        schema = self.written(kept)
        if isinstance(schema, bool):
            return schema
        if properties:
            schema["properties"] = {name: self.merged(child, defaults.get(name)) for name, child in properties.items()}
        given = [name for name in properties if name in defaults and self.is_missing(properties[name], defaults[name])]
        required = [*(name for name in node.get("required", ()) if name not in defaults), *given]
        schema.pop("required", None)
        if required:
            schema["required"] = required
        parts = [self.merged(part, defaults) for part in node.get("allOf", ()) if "$ref" not in part]
        return schema | ({"allOf": parts} if parts else {})

    def is_missing(self, node: Mapping[str, Any], defaults: Any) -> bool:
        """Return whether the defaults alone are not valid."""
        try:
            spend = Budget().meter("schema-steps")
            return bool(errors_of(CompiledSchema(dict(node), self.package.references), defaults, spend))
        except (RecursionError, TooMuchWorkError, BudgetExceededError):
            return False

    def written(self, node: Mapping[str, Any]) -> Any:
        """Return the schema of a value as it is in the source, or a boolean that accepts everything or nothing."""
        if NEVER in node:
            return False
        if "$ref" in node:
            return {"$ref": self.pointers[node["$ref"]]}
        schema: Schema = {}
        types = node.get("type", [])
        if types:
            schema["type"] = types[0] if len(types) == 1 else list(types)
        schema |= {keyword: node[keyword] for keyword in _KEPT if keyword in node}
        if isinstance(node.get("multipleOf"), int):  # editors divide fractions in binary
            schema["multipleOf"] = node["multipleOf"]
        self.of_maps(node, schema)
        self.of_lists(node, schema)
        rules = [*_text_rules(node), *self.alternatives(node)]
        if len(rules) == 1 and isinstance(rules[0], dict) and not rules[0].keys() & schema.keys():
            return schema | rules[0]  # more readable than a list with one item
        return schema | ({"allOf": rules} if rules else {})

    def of_maps(self, node: Mapping[str, Any], schema: Schema) -> None:
        for keyword in ("minProperties", "required"):
            if node.get(keyword):
                schema[keyword] = node[keyword]
        if "properties" in node:
            schema["properties"] = {name: self.written(child) for name, child in node["properties"].items()}
        others = node.get("additionalProperties", True)
        patterns = {}
        for pattern, child in node.get("patternProperties", {}).items():
            if (translated := portable(pattern)) is None:
                others = True  # a name that this pattern would accept must not be rejected
            else:
                patterns[translated] = self.written(child)
        if others is not True:
            patterns.setdefault(TEMPLATE, True)
            schema["additionalProperties"] = others if isinstance(others, bool) else self.written(others)
        if patterns:
            schema["patternProperties"] = patterns
        if "propertyNames" in node:
            schema["propertyNames"] = self.written(node["propertyNames"])

    def of_lists(self, node: Mapping[str, Any], schema: Schema) -> None:
        if "items" in node:
            items = node["items"]
            schema["items"] = list(map(self.written, items)) if isinstance(items, list) else self.written(items)
        for keyword in ("additionalItems", "contains"):
            if keyword in node:
                value = node[keyword]
                schema[keyword] = value if isinstance(value, bool) else self.written(value)

    def alternatives(self, node: Mapping[str, Any]) -> Iterable[Any]:
        """Yield the keywords that combine schemas.

        A part that accepts templates in addition must not make the whole accept less, as under `not` or `oneOf`.
        """
        for part in node.get("allOf", ()):
            yield self.written(part)
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                parts = [self.written(part) for part in node[keyword]]
                exact = keyword == "oneOf" and all(map(self.is_exact, node[keyword]))
                yield {"oneOf" if exact else "anyOf": parts}
        if "not" in node and self.is_exact(node["not"]):
            yield {"not": self.written(node["not"])}
        if "if" in node and self.is_exact(node["if"]):
            yield {word: self.written(node[word]) for word in ("if", "then", "else") if word in node}
        if "dependencies" in node:
            yield {
                "dependencies": {
                    name: other if isinstance(other, list) else self.written(other)
                    for name, other in node["dependencies"].items()
                }
            }

    def is_exact(self, node: Mapping[str, Any]) -> bool:
        """Return whether the editor's schema accepts exactly what the package's does, and no templates in addition."""
        stack: list[Any] = [node]
        seen: set[str] = set()
        while stack:
            one = stack.pop()
            if isinstance(one, list):
                stack.extend(one)
            elif isinstance(one, Mapping):
                if not _EXACT.issuperset(one) or one.get("additionalProperties", True) is not True:
                    return False
                if any("anyOf" in rule for rule in _text_rules(one)):
                    return False
                if (reference := one.get("$ref")) and reference not in seen:
                    seen.add(reference)
                    stack.append(self.package.references[reference])
                stack.extend(one.get("properties", {}).values())
                stack.extend(one[word] for word in ("items", "contains", "allOf", "anyOf") if word in one)
        return True


_EXACT = frozenset(
    (*_KEPT, "$ref", "type", "properties", "required", "additionalProperties", "minProperties", "items", "contains")
) | {"allOf", "anyOf", "enum", "const", NEVER}


_LONGEST = 1000  # characters; regular expression engines limit the count of a repetition


def _text_rules(node: Mapping[str, Any]) -> Iterable[Schema]:
    """Yield the rules for strings, each with an alternative for templates.

    `format` is omitted, because Go's formats differ from those of editors.
    """
    if "pattern" in node and (pattern := portable(node["pattern"])) is not None:
        yield {"pattern": f"{pattern}|{TEMPLATE}", "patternErrorMessage": f"must match {node['pattern']}"}
    if "minLength" in node or "maxLength" in node:
        least, most = node.get("minLength", 0), node.get("maxLength", "")
        length = f"{least} to {most}" if most != "" else f"{least} or more"
        if max(least, most or 0) <= _LONGEST:
            pattern = f"^[\\s\\S]{{{least},{most}}}$|{TEMPLATE}"
            yield {"pattern": pattern, "patternErrorMessage": f"must have {length} characters"}
    for keyword in ("enum", "const"):
        values = node.get("enum", []) if keyword == "enum" else [node.get("const")]
        if keyword in node and any(isinstance(value, str) for value in values):
            yield {"anyOf": [{keyword: node[keyword]}, {"type": "string", "pattern": TEMPLATE}]}
        elif keyword in node:
            yield {keyword: node[keyword]}
