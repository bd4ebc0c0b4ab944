"""What one run can spend on untrusted input: a single object that every room draws from.

Limits for one package, file or template don't add up: sixty inputs below each of them still take the machine. So what
costs time or memory is counted for the whole run as well, across clusters, revisions and threads.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from kubocd_gen.diagnostics import KcdError, Position
from kubocd_gen.limits import LIMITS, Limits, setting, worded

_WHAT = {
    "helm-time": "helm ran for longer",
    "rendered": "the templates print more",
    "yaml-values": "the YAML holds more values, with its aliases expanded,",
    "schema-steps": "validating values against their schemas takes more steps",
    "files": "the sources have more files and directories",
    "source-bytes": "the sources hold more text",
    "fetched": "registries sent more",
    "network-time": "transfers took longer",
}


class BudgetExhausted(KcdError):
    """A run has used up one of its limits; `name` is that of the limit."""

    def __init__(self, name: str, limit: int, position: Position | None = None) -> None:
        super().__init__(
            f"{_WHAT[name]} than this run's limit of {worded(name, limit)}",
            code="run-limit",
            position=position,
            hint=f"if the input can be trusted, raise it: --limit {setting(name, limit)}",
        )
        self.name = name


class Budget:
    """The counters of one run. Threads share it.

    A resource is named as its limit is on the command line: `helm-time` (seconds), `rendered`, `source-bytes` and
    `fetched` (bytes), `yaml-values`, `schema-steps` and `files` (counts).
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._spent: defaultdict[str, float] = defaultdict(float)

    def spend(self, resource: str, amount: float, position: Position | None = None) -> None:
        """Count `amount`. Raises BudgetExhausted when there was less left, and from then on at every call."""
        with self._lock:
            self._spent[resource] += amount
            exhausted = self._spent[resource] > self.limits.of(resource)
        if exhausted:
            raise BudgetExhausted(resource, self.limits.of(resource), position)

    def left(self, resource: str) -> float:
        """How much can still be spent; 0 when it is used up."""
        with self._lock:
            return max(0, self.limits.of(resource) - self._spent[resource])
