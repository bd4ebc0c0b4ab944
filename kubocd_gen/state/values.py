"""Values of YAML and JSON as text for a state, exactly: what is read back has the same types and the same order."""

from __future__ import annotations

import json
from typing import Any

_SCALARS = (str, int, float, bool, type(None))


def value_text(value: Any) -> str | None:
    """Return `value` as JSON; None if `json.loads` would not return exactly the same, as for NaN or a subclass."""
    if not is_plain(value):
        return None
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return None


def is_plain(value: Any) -> bool:
    """Return whether a value consists of dicts with string keys, lists and scalars, and of no subclass of these."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    if kind is list:
        return all(map(is_plain, value))
    return kind in _SCALARS
