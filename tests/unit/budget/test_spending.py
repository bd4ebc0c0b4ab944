from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kubocd_gen.budget.limits import LIMITS, moved, parse_limit
from kubocd_gen.budget.spending import RUN_LIMITS, Budget, BudgetExceededError
from kubocd_gen.diagnostics.problems import Position


def test_many_small_amounts_exhaust_a_budget_as_a_large_one_does() -> None:
    budget = Budget(moved(LIMITS, {"files": 10}))
    for _ in range(10):
        budget.spend("files", 1)
    assert budget.left("files") == 0
    with pytest.raises(BudgetExceededError):
        budget.spend("files", 1)
    with pytest.raises(BudgetExceededError):  # and stays exhausted
        budget.spend("files", 0)


@pytest.mark.parametrize("name", RUN_LIMITS)
def test_the_error_names_the_limit_and_how_to_raise_it(name: str) -> None:
    with pytest.raises(BudgetExceededError) as caught:
        Budget().spend(name, LIMITS.of(name) + 1, Position("a.yaml"))
    assert (caught.value.problem.code, caught.value.name, caught.value.problem.position) == (
        "run-limit",
        name,
        Position("a.yaml"),
    )
    flag, _, value = str(caught.value.problem.hint).rpartition(": --limit ")[2].partition("=")
    assert (flag, parse_limit(name, value)) == (name, 2 * LIMITS.of(name))


def test_threads_share_one_budget() -> None:
    budget = Budget(moved(LIMITS, {"files": 4000}))

    def spend(_: int) -> None:
        for _ in range(1000):
            budget.spend("files", 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(spend, range(4)))
    assert budget.left("files") == 0


def test_after_one_limit_is_exceeded_nothing_can_be_spent() -> None:
    budget = Budget(moved(LIMITS, {"files": 1}))
    with pytest.raises(BudgetExceededError):
        budget.spend("files", 2)
    with pytest.raises(BudgetExceededError) as caught:
        budget.spend("rendered", 1)
    assert (caught.value.name, budget.exhausted, budget.left("rendered")) == ("files", True, 0)


def test_a_returned_amount_can_be_spent_again() -> None:
    budget = Budget(moved(LIMITS, {"output": 10}))
    budget.spend("output", 8)
    budget.spend("output", -8)
    budget.spend("output", 10)
    assert budget.left("output") == 0


def test_a_meter_detects_the_limit_within_a_thousand_steps() -> None:
    budget = Budget(moved(LIMITS, {"yaml-values": 5000}))
    meter = budget.meter("yaml-values")
    taken = 0
    with pytest.raises(BudgetExceededError):
        for _ in range(10_000):
            meter()
            taken += 1
    assert 5000 <= taken < 6100


def test_a_meter_settles_fewer_than_a_thousand_steps() -> None:
    budget = Budget()
    meter = budget.meter("schema-steps")
    meter(7)
    meter.settle()
    assert budget.spent("schema-steps") == 7


def test_the_first_exhausted_limit_is_the_one_that_is_reported() -> None:
    budget = Budget()
    assert budget.exhaust("memory").name == "memory"
    assert budget.exhaust("cpu-time").name == "memory"
    assert budget.left("files") == 0
    with pytest.raises(BudgetExceededError) as caught:
        budget.spend("files", 1)
    assert caught.value.name == "memory"
