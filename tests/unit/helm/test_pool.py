from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.helm import process
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import HelmPool, Run, find_helm
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit

LOOP = "{{ range until 50000 }}{{ range until 50000 }}{{ end }}{{ end }}"


class Runs:
    """In place of helm: what runs at once, and the memory that it was given."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now: list[int] = []
        self.most = self.most_memory = 0

    def __call__(self, binary: Path, arguments: Sequence[str], home: Path, timeout: float, **given: Any) -> Run:
        with self.lock:
            self.now.append(given["memory"])
            self.most, self.most_memory = max(self.most, len(self.now)), max(self.most_memory, sum(self.now))
        time.sleep(0.005)
        with self.lock:
            self.now.remove(given["memory"])
        return Run(0, b"", "", None)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    found = Runs()
    monkeypatch.setattr(process, "run_helm", found)
    return found


def in_threads(helm: HelmPool, **how: Any) -> None:
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda _: helm.run([], Path(), 1, **how), range(24)))


def test_all_who_share_a_pool_run_no_more_than_its_processes(runs: Runs, tmp_path: Path) -> None:
    in_threads(HelmPool(tmp_path, jobs=2))
    assert runs.most <= 2


@pytest.mark.parametrize("size", [0, 1 << 20, 100 << 20])
def test_no_more_run_at_once_than_fit_into_memory(runs: Runs, tmp_path: Path, size: int) -> None:
    helm = HelmPool(tmp_path, jobs=12)
    in_threads(helm, size=size)
    assert 0 < runs.most_memory <= helm.memory < LIMITS.memory


def test_one_that_gets_all_memory_runs_alone(runs: Runs, tmp_path: Path) -> None:
    in_threads(HelmPool(tmp_path, jobs=12), whole=True)
    assert runs.most == 1


def test_nothing_is_started_once_the_budget_is_used_up(runs: Runs, tmp_path: Path) -> None:
    budget = Budget()
    budget.exhaust("memory")
    with pytest.raises(BudgetExceededError):
        HelmPool(tmp_path, budget=budget).run([], tmp_path, 1)
    assert runs.most == 0


def test_the_time_of_all_runs_comes_from_one_budget() -> None:
    budget = Budget(moved(LIMITS, {"helm-time": 1}))
    texts = [f"{LOOP}{number}" for number in range(30)]
    units = [Unit({}, {}, (Template("", text),)) for text in texts]
    outcomes = [outcome for (outcome,) in Helm(find_helm(), budget=budget).render(units, Functions())]
    errors = [outcome for outcome in outcomes if isinstance(outcome, TemplateFailure)]
    assert len(errors) == 30
    assert {error.code for error in errors} == {"run-limit"}
    assert {error.hint for error in errors} == {"if you trust the input, raise the limit: --limit helm-time=2"}


def test_what_templates_print_is_counted_for_all_of_them() -> None:
    budget = Budget(moved(LIMITS, {"rendered": 1000}))
    units = [Unit({}, {}, (Template("", f"{{{{ repeat 90 `x` }}}}{number}"),)) for number in range(20)]
    outcomes = [outcome for (outcome,) in Helm(find_helm(), budget=budget).render(units, Functions())]
    assert {outcome.code for outcome in outcomes if isinstance(outcome, TemplateFailure)} == {"run-limit"}
