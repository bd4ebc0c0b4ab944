"""A function of a schema whose result is kept, because every value of a kind is checked by the same schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_MOST = 256


class PerSchema(Generic[T]):
    """A function of a schema that is computed once for each schema object, which must not change afterwards."""

    def __init__(self, make: Callable[[Mapping[str, Any]], T]) -> None:
        self._make = make
        self._made: dict[int, tuple[Mapping[str, Any], T]] = {}

    def __call__(self, schema: Mapping[str, Any]) -> T:
        """Return the result for the schema."""
        known = self._made.get(id(schema))
        if known is None or known[0] is not schema:
            if len(self._made) >= _MOST:
                self._made.clear()
            known = self._made[id(schema)] = schema, self._make(schema)  # the schema stays, so no other has its id
        return known[1]
