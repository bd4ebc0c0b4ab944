"""Accept the values that are certainly valid by a compiled JSON Schema of simple keywords, which most are.

A schema is made into a function once, because all Releases of its package are validated by it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any
from weakref import WeakKeyDictionary

from kubocd_gen.budget.spending import Meter
from kubocd_gen.diagnostics.wording import has_type
from kubocd_gen.schema.go_formats import compile_pattern, search_cost
from kubocd_gen.schema.json_schema import CompiledSchema
from kubocd_gen.schema.references import Schema

PlainCheck = Callable[[Any, Meter], bool]

_made = WeakKeyDictionary[CompiledSchema, PlainCheck]()


def plainly_valid(compiled: CompiledSchema, value: Any, spend: Meter) -> bool:
    """Return True if the value is certainly valid; False means unknown.

    Supports only the keywords of KuboCD's short form. Raises BudgetExceededError.
    """
    check = _made.get(compiled)
    if check is None:
        check = _made[compiled] = _check(compiled.schema)
    return check(value, spend)


def _check(schema: Schema) -> PlainCheck:
    cost = 1 + len(schema)
    checks = [_KEYWORDS.get(keyword, _unknown)(limit, schema) for keyword, limit in schema.items()]
    needed = [check for check in checks if check is not None]

    def is_valid(value: Any, spend: Meter) -> bool:
        spend(cost)
        for check in needed:  # noqa: SIM110 - a generator takes twice as long
            if not check(value, spend):
                return False
        return True

    return is_valid


def is_multiple(value: float, step: float) -> bool:
    """Return whether a number is a multiple of another one, in exact decimals: 0.3 is a multiple of 0.1."""
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    exact, exact_step = (Fraction(number if isinstance(number, int) else repr(number)) for number in (value, step))
    return (exact / exact_step).denominator == 1


def _refuse(value: Any, spend: Meter) -> bool:
    return False


# Returns the check of a keyword from its value and the schema that contains it; None if it accepts every value.
Keyword = Callable[[Any, Mapping[str, Any]], PlainCheck | None]


def _unknown(limit: Any, schema: Mapping[str, Any]) -> PlainCheck:
    return _refuse


def _remark(limit: Any, schema: Mapping[str, Any]) -> None:
    return None


def _type(types: list[str], schema: Mapping[str, Any]) -> PlainCheck:
    exact = {"string": str, "boolean": bool, "object": dict, "array": list}.get(types[0])
    return lambda value, spend: type(value) is exact or any(has_type(value, name) for name in types)


def _properties(properties: Mapping[str, Schema], schema: Mapping[str, Any]) -> PlainCheck:
    checks = {name: _check(child) for name, child in properties.items()}

    def are_plain(value: Any, spend: Meter) -> bool:
        if not isinstance(value, dict):
            return True
        spend(len(value))
        for name, item in value.items():
            check = checks.get(name)
            if check is not None and not check(item, spend):
                return False
        return True

    return are_plain


def _additional(allowed: Any, schema: Mapping[str, Any]) -> PlainCheck | None:
    if allowed is True:
        return None
    names: Mapping[str, Any] = schema.get("properties", {})

    def are_known(value: Any, spend: Meter) -> bool:
        if not isinstance(value, dict):
            return False
        spend(len(value))
        return allowed is False and all(name in names for name in value)

    return are_known


def _required(names: list[str], schema: Mapping[str, Any]) -> PlainCheck:
    def are_set(value: Any, spend: Meter) -> bool:
        spend(len(names))
        return not isinstance(value, dict) or all(name in value for name in names)

    return are_set


def _items(items: Any, schema: Mapping[str, Any]) -> PlainCheck:
    check = _check(items) if isinstance(items, dict) else _refuse
    return lambda value, spend: (
        not isinstance(value, list) or (check is not _refuse and all(check(item, spend) for item in value))
    )


def _enum(allowed: list[Any], schema: Mapping[str, Any]) -> PlainCheck:
    def is_allowed(value: Any, spend: Meter) -> bool:
        spend(len(allowed))
        return isinstance(value, str) and value in allowed

    return is_allowed


def _pattern(pattern: str, schema: Mapping[str, Any]) -> PlainCheck:
    def matches(value: Any, spend: Meter) -> bool:
        if not isinstance(value, str):
            return False
        compiled = compile_pattern(pattern)  # from a cache that is limited; the function would keep it
        spend(search_cost(compiled, value))
        return compiled.search(value) is not None

    return matches


def _sized(kind: type[str | list[Any]], holds: Callable[[int, int], bool]) -> Keyword:
    """Return the keyword of a string's or list's length. Like the next one, it costs no more for a larger value."""
    return lambda limit, schema: lambda value, spend: isinstance(value, kind) and holds(len(value), limit)


def _number(holds: Callable[[float, float], bool]) -> Keyword:
    """Return the keyword of a number."""
    return lambda limit, schema: lambda value, spend: has_type(value, "number") and holds(value, limit)


_KEYWORDS: Mapping[str, Keyword] = {
    **dict.fromkeys(("title", "description", "default"), _remark),
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "items": _items,
    "enum": _enum,
    "minLength": _sized(str, operator.ge),
    "maxLength": _sized(str, operator.le),
    "minItems": _sized(list, operator.ge),
    "maxItems": _sized(list, operator.le),
    "minimum": _number(operator.ge),
    "maximum": _number(operator.le),
    "exclusiveMinimum": _number(operator.gt),
    "exclusiveMaximum": _number(operator.lt),
    "multipleOf": _number(is_multiple),
    "pattern": _pattern,
}
