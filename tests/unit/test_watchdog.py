from __future__ import annotations

import subprocess
import sys

import pytest

from kubocd_gen.budget import Budget, BudgetExhausted
from kubocd_gen.limits import LIMITS, moved
from kubocd_gen.watchdog import resident, watched

BEGIN = """
import kubocd_gen.watchdog as watchdog
from kubocd_gen.budget import Budget
from kubocd_gen.limits import LIMITS, moved
watchdog._GRACE = 0.2
"""


def ended(rest: str) -> tuple[int, str]:
    """The exit code and standard error of a Python that runs BEGIN and `rest`."""
    run = subprocess.run([sys.executable, "-c", BEGIN + rest], check=False, capture_output=True, text=True, timeout=120)
    return run.returncode, run.stderr


def test_one_that_computes_and_spends_hears_that_the_time_is_over() -> None:
    budget = Budget(moved(LIMITS, {"cpu-time": 1}))
    count = budget.meter("schema-steps")
    with watched(budget), pytest.raises(BudgetExhausted) as caught:
        while True:
            count(0)
            count.settle()
    assert caught.value.name == "cpu-time"


def test_one_that_computes_without_spending_is_ended() -> None:
    code, said = ended(
        """
with watchdog.watched(Budget(moved(LIMITS, {"cpu-time": 1}))):
    while True:
        pass
"""
    )
    assert code == 1
    assert said == (
        "error[run-limit]: the run takes more time of the processor than this run's limit of 1 seconds\n"
        "    if the input can be trusted, raise it: --limit cpu-time=2\n"
    )


def test_one_that_allocates_is_ended_at_once() -> None:
    code, said = ended(
        """
with watchdog.watched(Budget(moved(LIMITS, {"memory": 64 << 20}))):
    held = []
    while True:
        held.append(bytes(1 << 10))
"""
    )
    assert code == 1
    assert said.startswith("error[run-limit]: the run takes more memory than this run's limit of 64 MiB\n")
    assert "--limit memory=128MiB" in said


def test_the_memory_of_programs_and_of_what_they_start_is_counted() -> None:
    held = "held = b'x' * (60 << 20); print(1, flush=True); input()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {held!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert resident([process.pid]) > 60 << 20
        process.communicate("\n")
