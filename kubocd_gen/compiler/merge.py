"""Merge and prune values like KuboCD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.kube_yaml.reader import NODE_TEXT


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `over` merged onto `base`: maps merge deeply; any other value, null included, replaces the one below.

    Neither argument changes; parts that need no merge are shared with the result.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def spend_values(value: Any, budget: Budget) -> None:
    """Count the values of a merged tree. Raises BudgetExceededError.

    A part that several trees share was counted once when it was read, but is emitted once for each tree.
    """
    meter = budget.meter("yaml-values")
    pending = [value]
    while pending:
        item = pending.pop()
        meter(1 + len(item) // NODE_TEXT if isinstance(item, str) else 1)
        if isinstance(item, Mapping):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    meter.settle()


def strip_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop nulls and maps that are or become empty, at every depth.

    KuboCD prunes the rendered `values` and `specPatch` of a module, because a `{{ with }}` block that prints nothing
    must leave no key. Empty lists stay; a list loses its nulls and the maps that become empty.
    """
    stripped = {key: _stripped(value) for key, value in values.items()}
    return {key: value for key, value in stripped.items() if value is not None and value != {}}


def _stripped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return strip_empty(value)
    if isinstance(value, list):
        return [item for item in map(_stripped, value) if item is not None and item != {}]
    return value
