"""Functions that are made once for each schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.schema import per_schema
from kubocd_gen.schema.per_schema import PerSchema


def test_the_function_is_computed_once_for_each_object_even_if_several_are_equal() -> None:
    seen: list[Mapping[str, Any]] = []
    first, second = {"type": "string"}, {"type": "string"}

    def count(schema: Mapping[str, Any]) -> int:
        seen.append(schema)
        return len(seen)

    known = PerSchema(count)
    assert [known(first), known(second), known(first)] == [1, 2, 1]


def test_schemas_that_are_made_for_one_value_are_not_kept_for_ever() -> None:
    kept = PerSchema(dict)
    results = [kept({"maxLength": number}) for number in range(3 * per_schema._MOST)]
    assert results == [{"maxLength": number} for number in range(3 * per_schema._MOST)]
    assert len(kept._made) <= per_schema._MOST
