"""How KuboCD lays one tree over another, and what it prunes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.kube_yaml.reader import NODE_TEXT


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: maps merge deeply; any other value, null included, replaces what is below it.

    Neither argument is changed; unmerged parts are shared with the result.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def spend_values(value: Any, budget: Budget) -> None:
    """Count the values in a tree that was put together from others. Raises BudgetExceededError.

    What is shared between trees is read once, and written out in each.
    """
    meter = budget.meter("yaml-values")
    waiting = [value]
    while waiting:
        one = waiting.pop()
        meter(1 + len(one) // NODE_TEXT if isinstance(one, str) else 1)
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    meter.settle()


def strip_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop nulls and maps that are or become empty, at every depth.

    KuboCD prunes what a module's `values` and `specPatch` render to, so that `{{ with }}` blocks that print nothing
    leave no trace. Empty lists stay; a list loses its nulls and the maps that become empty.
    """
    stripped = {key: _stripped(value) for key, value in values.items()}
    return {key: value for key, value in stripped.items() if value is not None and value != {}}


def _stripped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return strip_empty(value)
    if isinstance(value, list):
        return [item for item in map(_stripped, value) if item is not None and item != {}]
    return value
