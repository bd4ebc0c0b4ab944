"""The budget of a run for untrusted input: one object that all parts of the run share.

Limits for single packages, files or templates are not enough: sixty inputs just below a limit can still exhaust the
machine. So operations that cost time or memory are also counted for the whole run, across clusters, revisions and
threads.

Counts of values and steps give the clearest errors, but can't cover everything. So `watchdog` also measures `cpu-time`
and `memory`, and exhausts the budget if one of them is exceeded.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from kubocd_gen.budget.limits import LIMITS, Limits, setting, worded
from kubocd_gen.diagnostics.problems import RUN_LIMIT, Position, Problem, ProblemsError

# The limits of a run, and the start of the message for each. Only the user can change them, with --limit: the project
# file is part of the checkout that they protect against.
RUN_LIMITS = {
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


# The limits of what is counted, not measured: whether one is exceeded does not depend on the machine.
COUNTED_LIMITS = frozenset(RUN_LIMITS) - {"cpu-time", "memory", "helm-time", "network-time", "fetched"}


class BudgetExceededError(ProblemsError):
    """A run has exceeded one of its limits; `name` is the limit's name."""

    def __init__(self, name: str, limit: int, position: Position | None = None) -> None:
        message = f"{RUN_LIMITS[name]} than this run's limit of {worded(name, limit)}"
        hint = f"if you trust the input, raise the limit: --limit {setting(name, limit)}"
        super().__init__(Problem(RUN_LIMIT, message, position, hint))
        self.name, self.limit = name, limit

    def at(self, position: Position | None) -> BudgetExceededError:
        """Return the error with `position`, unless it has one: where the run has exceeded its limit."""
        return BudgetExceededError(self.name, self.limit, self.problem.position or position)


class Budget:
    """The counters of a run, shared by its threads.

    A resource has the name of its limit on the command line: `helm-time` (seconds), `rendered`, `source-bytes` and
    `fetched` (bytes), `yaml-values`, `schema-steps` and `files` (counts). Once a resource is exhausted, every call that
    spends any resource raises, which ends the run.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._exhausted: str | None = None

    def copy(self) -> Budget:
        """Return a budget of which as much is spent, with a lock of its own."""
        copied = Budget(self.limits)
        copied._spent.update(self._spent)
        copied._exhausted = self._exhausted
        return copied

    def spend(self, resource: str, amount: float, position: Position | None = None) -> None:
        """Count `amount`. Raises BudgetExceededError if less is left, and at every call from then on."""
        with self._lock:
            self._spent[resource] += amount
            if self._exhausted is None and self._spent[resource] > self.limits.of(resource):
                self._exhausted = resource
        self.check(position)

    def check(self, position: Position | None = None) -> None:
        """Raise BudgetExceededError if a resource is exhausted."""
        if self._exhausted is not None:
            raise BudgetExceededError(self._exhausted, self.limits.of(self._exhausted), position)

    def exhaust(self, resource: str) -> BudgetExceededError:
        """Mark a measured resource as exhausted; return the error, which names the resource exhausted first."""
        with self._lock:
            self._exhausted = self._exhausted or resource
        return BudgetExceededError(self._exhausted, self.limits.of(self._exhausted))

    @property
    def exhausted(self) -> bool:
        return self._exhausted is not None

    @property
    def exhausted_resource(self) -> str | None:
        """The resource that was exhausted first."""
        return self._exhausted

    def spent(self, resource: str) -> float:
        with self._lock:
            return self._spent[resource]

    def left(self, resource: str) -> float:
        """Return how much can still be spent; 0 if any resource is exhausted."""
        if self._exhausted is not None:
            return 0
        with self._lock:
            return max(0, self.limits.of(resource) - self._spent[resource])

    def meter(self, resource: str) -> Meter:
        """Return a counter of `resource` for a loop."""
        return Meter(self, resource)


class Tally(Budget):
    """A budget that passes on what is spent to another one, and has the amounts. For one thread."""

    def __init__(self, budget: Budget) -> None:
        self.limits = budget.limits
        self.amounts: dict[str, float] = {}
        self._budget = budget

    def spend(self, resource: str, amount: float, position: Position | None = None) -> None:
        self.amounts[resource] = self.amounts.get(resource, 0) + amount
        self._budget.spend(resource, amount, position)

    def check(self, position: Position | None = None) -> None:
        self._budget.check(position)

    def exhaust(self, resource: str) -> BudgetExceededError:
        return self._budget.exhaust(resource)

    @property
    def exhausted(self) -> bool:
        return self._budget.exhausted

    def spent(self, resource: str) -> float:
        return self._budget.spent(resource)

    def left(self, resource: str) -> float:
        return self._budget.left(resource)


class Tallies:
    """The tallies of several Releases, by their keys."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._tallies: dict[str, Tally] = {}

    def of(self, key: str) -> Tally:
        """Return the budget of a Release."""
        if key not in self._tallies:
            self._tallies[key] = Tally(self.budget)
        return self._tallies[key]


class Meter:
    """A counter of one resource for a loop in one thread, where a lock for each step would be too slow."""

    __slots__ = ("_budget", "_count", "_resource")

    _OFTEN = 1024

    def __init__(self, budget: Budget, resource: str) -> None:
        self._budget = budget
        self._resource = resource
        self._count = 0

    def __call__(self, amount: int = 1) -> None:
        """Count `amount`. Raises BudgetExceededError at the latest a thousand steps after the budget is exhausted."""
        self._count += amount
        if self._count >= self._OFTEN:
            self.settle()

    def settle(self, position: Position | None = None) -> None:
        """Spend the amount counted so far. Raises BudgetExceededError."""
        count, self._count = self._count, 0
        self._budget.spend(self._resource, count, position)
