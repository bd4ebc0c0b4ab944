"""The two limits that are measured rather than counted. They hold even if the code spends nothing from the budget."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.budget.watchdog import resident, watched
from kubocd_gen.processes.children import running
from tests.support.processes import gone

# A program that computes or allocates memory endlessly and never spends from the budget.
_UNCOUNTED = """
from kubocd_gen.budget import watchdog
from kubocd_gen.budget.spending import Budget
from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.processes.children import running, scratch
watchdog._GRACE = 0.2
with scratch("watchdog-test-") as directory, running(["sleep", "600"]) as child:
    print(directory, child.pid, flush=True)
    with watchdog.watched(Budget(moved(LIMITS, {LIMITS_GIVEN}))):
        held = []
        while True:
            STEP
"""


@pytest.mark.parametrize(
    ("limits", "step", "name"),
    [
        ('"cpu-time": 1', "sum(range(1000))", "used more CPU time than this run's limit of 1 seconds"),
        (
            '"memory": 200 << 20',
            "held.append(bytearray(1 << 20))",
            "used more memory than this run's limit of 200 MiB",
        ),
    ],
)
def test_a_run_that_spends_nothing_is_ended_with_its_processes_and_scratch_directories(
    limits: str, step: str, name: str
) -> None:
    program = _UNCOUNTED.replace("LIMITS_GIVEN", limits).replace("STEP", step)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    directory, child = done.stdout.split()
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"error[run-limit]: the run {name}"
    assert "--limit " in done.stderr
    assert not Path(directory).exists()
    assert gone([int(child)])


def test_spending_fails_once_the_cpu_time_is_used_up() -> None:
    budget = Budget(moved(LIMITS, {"cpu-time": 1}))
    meter = budget.meter("schema-steps")
    with watched(budget), pytest.raises(BudgetExceededError) as caught:
        while True:
            meter(0)
            meter.settle()
    assert caught.value.name == "cpu-time"


def test_the_cpu_time_of_helm_counts_toward_the_run() -> None:
    budget = Budget(moved(LIMITS, {"cpu-time": 5}))
    budget.spend("helm-time", 6)
    with watched(budget):
        while not budget.exhausted:
            time.sleep(0.01)


def test_memory_includes_all_descendant_processes() -> None:
    hungry = "x = 'x' * 100_000_000; import time; print(1, flush=True); time.sleep(600)"
    with running(["sh", "-c", f'"{sys.executable}" -c "{hungry}" & wait'], talk=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert resident([process.pid]) > 90_000_000


def test_a_run_within_its_limits_is_not_ended() -> None:
    budget = Budget()
    with watched(budget):
        time.sleep(0.3)
    assert not budget.exhausted
