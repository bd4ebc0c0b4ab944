"""Validate a value against a compiled JSON Schema like gojsonschema v1.2, and find all errors.

The traversal and the simple keywords are those of the `jsonschema` library. The keywords that gojsonschema interprets
differently are here: RE2 patterns, Go's formats, exact `multipleOf`, references that are never fetched. Importing the
library takes longer than compiling a cluster, so `plain_validation` first accepts the values that are certainly valid,
which most are.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from kubocd_gen.budget.spending import Meter
from kubocd_gen.diagnostics.problems import MOST
from kubocd_gen.diagnostics.wording import (
    at_least,
    at_most,
    comparable,
    dotted,
    has_type,
    not_among,
    quoted,
    type_mismatch,
)
from kubocd_gen.schema.go_formats import FORMATS, compile_pattern, search_cost
from kubocd_gen.schema.json_schema import NEVER, CompiledSchema
from kubocd_gen.schema.plain_validation import is_multiple

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MOST_REFERENCES = 20_000  # that are followed for one value; a schema can require exponentially many
_ERROR = 100  # steps that an error costs, because it takes memory


class TooMuchWorkError(Exception):
    """The validation of a value that follows more than MOST_REFERENCES references."""


def errors_of(compiled: CompiledSchema, value: Any, spend: Meter) -> list[ValidationError]:
    """Return at most MOST errors of the value, in the order of the schema.

    `predicate` returns the message of an error. A value with the wrong type has only that error. Raises
    TooMuchWorkError and BudgetExceededError.
    """
    from jsonschema import Draft7Validator
    from jsonschema.validators import create

    followed = 0

    def reference(validator: Any, target: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        nonlocal followed
        followed += 1
        if followed > MOST_REFERENCES:
            raise TooMuchWorkError
        yield from validator.descend(instance, compiled.references[target])

    checker = Draft7Validator.TYPE_CHECKER
    keywords = {name: _counted(name, check, spend) for name, check in {**_keywords(), "$ref": reference}.items()}
    validator = create({}, keywords, type_checker=checker, id_of=lambda schema: "")
    found = list(islice(validator(compiled.schema).iter_errors(value), MOST))
    mistyped = {(tuple(error.absolute_path), id(error.schema)) for error in found if error.validator == "type"}
    return [
        error
        for error in found
        if error.validator == "type" or (tuple(error.absolute_path), id(error.schema)) not in mistyped
    ]


Keyword = Callable[[Any, Any, Any, Any], Any]


def _counted(name: str, check: Keyword, spend: Meter) -> Keyword:
    """Wrap the check of a keyword: count its cost before it runs, and then the errors that it finds."""
    cost = _COSTS.get(name, lambda wanted, value, schema: 1)

    def counted(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        spend(cost(wanted, value, schema))
        for error in check(validator, wanted, value, schema) or ():
            spend(_ERROR)
            yield error

    return counted


Cost = Callable[[Any, Any, Any], int]


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (dict, list)) else 0


def _pattern_cost(pattern: str, value: Any, schema: Any) -> int:
    return search_cost(compile_pattern(pattern), value) if isinstance(value, str) else 1


def _patterns_cost(patterns: Any, value: Any, schema: Any) -> int:
    """Return the cost of a search for each pattern in each name."""
    if not isinstance(value, dict):
        return 1
    names = "".join(value)
    return sum(len(value) + search_cost(compile_pattern(one), names) for one in patterns)


def _additional_cost(wanted: Any, value: Any, schema: Any) -> int:
    return 1 + _length(value) + _patterns_cost(schema.get("patternProperties", ()), value, schema)


def _size(value: Any) -> int:
    """Return the number of values in a value, itself included."""
    size, pending = 0, [value]
    while pending:
        item = pending.pop()
        size += 1
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return size


# The cost of a keyword without the schemas that it applies, which are counted separately. Other keywords cost one step.
_COSTS: Mapping[str, Cost] = {
    **dict.fromkeys(
        ("properties", "required", "dependencies", "enum", "allOf", "anyOf", "oneOf", "type"),
        lambda wanted, value, schema: 1 + _length(wanted),
    ),
    **dict.fromkeys(
        ("items", "additionalItems", "contains", "propertyNames"), lambda wanted, value, schema: 1 + _length(value)
    ),
    "uniqueItems": lambda wanted, value, schema: 2 * _size(value),
    "pattern": _pattern_cost,
    "patternProperties": _patterns_cost,
    "additionalProperties": _additional_cost,
    "format": lambda wanted, value, schema: 1 + (len(value) // 100 if isinstance(value, str) else 0),
}


def predicate(error: ValidationError) -> tuple[str, str | None]:
    """Return the message of an error, as a predicate that follows the path of the value, and a hint or None."""
    words = _WORDS.get(str(error.validator))
    return words(error.validator_value, error.instance, error) if words else (error.message, None)


def _alternatives(wanted: list[Any], value: Any, error: ValidationError) -> tuple[str, str | None]:
    branches: dict[int, str] = {}
    for child in error.context or ():
        path = dotted(tuple(child.path))
        words = f"{quoted(path)} {predicate(child)[0]}" if path else f"it {predicate(child)[0]}"
        branches.setdefault(int(child.relative_schema_path[0]), words)
    if not branches:
        return "must match only one of the alternatives in its schema (oneOf)", None
    reasons = "; or ".join(list(branches.values())[:4])
    return f"must match one of the {len(wanted)} alternatives in its schema: {reasons}", None


Words = Callable[[Any, Any, "ValidationError"], tuple[str, str | None]]

# Messages for the errors of the library's own keywords. The keywords below have their own messages.
_WORDS: Mapping[str, Words] = {
    "type": lambda types, value, error: type_mismatch(types, value),
    "enum": lambda allowed, value, error: not_among(allowed, value),
    "const": lambda wanted, value, error: (f"must be {quoted(wanted)}, not {quoted(value)}", None),
    "minimum": lambda limit, value, error: (at_least(limit, value), None),
    "maximum": lambda limit, value, error: (at_most(limit, value), None),
    "minLength": lambda limit, value, error: (at_least(limit, len(value), "character"), None),
    "maxLength": lambda limit, value, error: (at_most(limit, len(value), "character"), None),
    "minItems": lambda limit, value, error: (at_least(limit, len(value), "item"), None),
    "maxItems": lambda limit, value, error: (at_most(limit, len(value), "item"), None),
    "minProperties": lambda limit, value, error: (at_least(limit, len(value), "field"), None),
    "maxProperties": lambda limit, value, error: (at_most(limit, len(value), "field"), None),
    "contains": lambda wanted, value, error: ("must have an item that matches 'contains' in its schema", None),
    "not": lambda unwanted, value, error: ("must not match 'not' in its schema", None),
    "anyOf": _alternatives,
    "oneOf": _alternatives,
}


_LIBRARY_KEYWORDS = (
    *("type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "maxProperties", "properties", "items", "contains", "allOf", "anyOf", "oneOf", "not", "if"),
)


@functools.cache
def _keywords() -> dict[str, Any]:
    """Return the library's keywords of draft 7 with those of gojsonschema. Imports the library, so call it late."""
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import ValidationError

    def never(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[ValidationError]:
        yield ValidationError("is not allowed")

    def required(validator: Any, names: list[str], value: Any, schema: Any) -> Iterator[ValidationError]:
        for name in names if isinstance(value, dict) else ():
            if name not in value:
                yield ValidationError("is required", path=[name])

    def pattern(validator: Any, wanted: str, value: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(value, str) and not compile_pattern(wanted).search(value):
            yield ValidationError(f"must match '{wanted}', but {quoted(value)} does not")

    def pattern_properties(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        for expression, child in wanted.items() if isinstance(value, dict) else ():
            search = compile_pattern(expression).search
            for name, item in value.items():
                if search(name):
                    yield from validator.descend(item, child, path=name, schema_path=expression)

    def additional_properties(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        if not isinstance(value, dict) or wanted is True:
            return
        known = schema.get("properties", {})
        expressions = [compile_pattern(expression) for expression in schema.get("patternProperties", ())]
        for name, item in value.items():
            if name in known or any(expression.search(name) for expression in expressions):
                continue
            if wanted is False:
                yield ValidationError("is not in the schema", path=[name])
            else:
                yield from validator.descend(item, wanted, path=name)

    def additional_items(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        leading = schema.get("items")
        if not isinstance(value, list) or not isinstance(leading, list):
            return
        if wanted is False and len(value) > len(leading):
            yield ValidationError(at_most(len(leading), len(value), "item"))
        for index in range(len(leading), len(value)) if wanted is not False else ():
            yield from validator.descend(value[index], wanted, path=index)

    def property_names(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        for name in value if isinstance(value, dict) else ():
            for error in validator.descend(name, wanted):
                yield ValidationError(f"has a name that is not allowed: it {predicate(error)[0]}", path=[name])

    def dependencies(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        for name, dependency in wanted.items() if isinstance(value, dict) else ():
            if name in value and isinstance(dependency, list):
                for other in dependency:
                    if other not in value:
                        yield ValidationError(f"is required because {quoted(name)} is set", path=[other])
            elif name in value:
                yield from validator.descend(value, dependency, schema_path=name)

    def unique_items(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[ValidationError]:
        first: dict[Any, int] = {}
        for index, item in enumerate(value if isinstance(value, list) else ()):
            before = first.setdefault(comparable(item), index)
            if before != index:
                yield ValidationError(f"must be unique, but repeats item {before}: {quoted(item)}", path=[index])

    def number(holds: Callable[[Any, Any], bool], words: str) -> Keyword:
        def check(validator: Any, limit: float, value: Any, schema: Any) -> Iterator[ValidationError]:
            if has_type(value, "number") and not holds(value, limit):
                yield ValidationError(f"must be {words} {quoted(limit)}, not {quoted(value)}")

        return check

    def format_(validator: Any, name: str, value: Any, schema: Any) -> Iterator[ValidationError]:
        # gojsonschema also applies formats to numbers, and no number has a format.
        if has_type(value, "number") or (isinstance(value, str) and not FORMATS[name](value)):
            yield ValidationError(f"must have the format '{name}', but {quoted(value)} does not")

    own = {
        NEVER: never,
        "required": required,
        "pattern": pattern,
        "patternProperties": pattern_properties,
        "additionalProperties": additional_properties,
        "additionalItems": additional_items,
        "propertyNames": property_names,
        "dependencies": dependencies,
        "uniqueItems": unique_items,
        "multipleOf": number(is_multiple, "a multiple of"),
        "exclusiveMinimum": number(operator.gt, "greater than"),
        "exclusiveMaximum": number(operator.lt, "less than"),
        "format": format_,
    }
    return {keyword: Draft7Validator.VALIDATORS[keyword] for keyword in _LIBRARY_KEYWORDS} | own
