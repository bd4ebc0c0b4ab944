"""What one run can spend on untrusted input: a single object that every room draws from.

Limits for one package, file or template don't add up: sixty inputs below each of them still take the machine. So what
costs time or memory is counted for the whole run as well, across clusters, revisions and threads.

Counts of values and steps give the clearest errors, and can't be complete. `cpu-time` and `memory` are what they stand
for: `watchdog` measures both, and exhausts the budget with them.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from kubocd_gen.budget.limits import LIMITS, Limits, setting, worded
from kubocd_gen.diagnostics.problems import RUN_LIMIT, Position, Problem, ProblemsError

_WHAT = {
    "cpu-time": "the run used more CPU time",
    "memory": "the run used more memory",
    "helm-time": "helm ran longer",
    "rendered": "the templates rendered more",
    "yaml-values": "the YAML has more values, with aliases expanded and Contexts merged,",
    "schema-steps": "validating values against their schemas took more steps",
    "output": "the Flux resources and charts of all Releases are larger",
    "files": "the sources have more files and directories",
    "source-bytes": "the sources contain more",
    "fetched": "registries sent more",
    "network-time": "transfers took longer",
    "unpacked-total": "packages and charts unpack to more",
    "package-memory": "the files of the packages are larger",
}


class BudgetExceededError(ProblemsError):
    """A run has used up one of its limits; `name` is that of the limit."""

    def __init__(self, name: str, limit: int, position: Position | None = None) -> None:
        message = f"{_WHAT[name]} than this run's limit of {worded(name, limit)}"
        hint = f"if you trust the input, raise the limit: --limit {setting(name, limit)}"
        super().__init__(Problem(RUN_LIMIT, message, position, hint))
        self.name, self.limit = name, limit

    def at(self, position: Position | None) -> BudgetExceededError:
        """Return the error with `position`, unless it has one: the place at which the run has used up its budget."""
        return BudgetExceededError(self.name, self.limit, self.problem.position or position)


class Budget:
    """The counters of one run. Threads share it.

    A resource is named as its limit is on the command line: `helm-time` (seconds), `rendered`, `source-bytes` and
    `fetched` (bytes), `yaml-values`, `schema-steps` and `files` (counts). Once one is used up, every call that spends
    anything raises: the run ends.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._exhausted: str | None = None

    def spend(self, resource: str, amount: float, position: Position | None = None) -> None:
        """Count `amount`. Raises BudgetExceededError where there was less left, and from then on at every call."""
        with self._lock:
            self._spent[resource] += amount
            if self._exhausted is None and self._spent[resource] > self.limits.of(resource):
                self._exhausted = resource
        self.check(position)

    def check(self, position: Position | None = None) -> None:
        """Raises BudgetExceededError where a resource is used up."""
        if self._exhausted is not None:
            raise BudgetExceededError(self._exhausted, self.limits.of(self._exhausted), position)

    def exhaust(self, resource: str) -> BudgetExceededError:
        """Take `resource` for used up, as the one who measures it found; the error for it, or for what was before."""
        with self._lock:
            self._exhausted = self._exhausted or resource
        return BudgetExceededError(self._exhausted, self.limits.of(self._exhausted))

    @property
    def exhausted(self) -> bool:
        return self._exhausted is not None

    def spent(self, resource: str) -> float:
        with self._lock:
            return self._spent[resource]

    def left(self, resource: str) -> float:
        """How much can still be spent; 0 where it, or anything else, is used up."""
        if self._exhausted is not None:
            return 0
        with self._lock:
            return max(0, self.limits.of(resource) - self._spent[resource])

    def meter(self, resource: str) -> Meter:
        """What counts `resource` in a loop."""
        return Meter(self, resource)


class Meter:
    """Counts one resource in a loop of one thread: a lock for each step would take longer than the step."""

    __slots__ = ("_budget", "_count", "_resource")

    _OFTEN = 1024

    def __init__(self, budget: Budget, resource: str) -> None:
        self._budget = budget
        self._resource = resource
        self._count = 0

    def __call__(self, amount: int = 1) -> None:
        """Count `amount`. Raises BudgetExceededError, if not at once then within a thousand steps."""
        self._count += amount
        if self._count >= self._OFTEN:
            self.settle()

    def settle(self, position: Position | None = None) -> None:
        """Spend what was counted so far. Raises BudgetExceededError."""
        count, self._count = self._count, 0
        self._budget.spend(self._resource, count, position)
