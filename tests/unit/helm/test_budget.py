"""The cost of templates: all helm processes of a run share one budget of time, memory and output."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.helm.chart import Chart
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.lexer import MOST_TOKENS
from kubocd_gen.helm.process import HelmPool, Run, find_helm
from kubocd_gen.helm.renderer import Renderer
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from tests.support.templates import LOOP, units


class CountedRenderer(Renderer):
    """Count the runs of helm."""

    runs = 0

    def _run(self, chart: Chart, timeout: float, *, whole: bool = False) -> Run:
        self.runs += 1
        return super()._run(chart, timeout, whole=whole)


class Counted(Helm):
    """Count the runs of helm."""

    def __init__(self, binary: Path, *, budget: Budget) -> None:
        super().__init__(binary, budget=budget)
        self._renderer = self._counted = CountedRenderer(self.pool, None)

    @property
    def runs(self) -> int:
        return self._counted.runs


def helm(**limits: int) -> Counted:
    return Counted(
        find_helm(), budget=Budget(moved(LIMITS, {name.replace("_", "-"): at for name, at in limits.items()}))
    )


@pytest.mark.usefixtures("impatient")
def test_endless_templates_share_the_time_of_the_run_and_one_is_named() -> None:
    texts = tuple(Template("", f"{LOOP}{{{{/* {number} */}}}}") for number in range(40))
    engine = helm(helm_time=3)
    found = engine.render([Unit({}, {}, texts)], Functions())[0]
    codes = [outcome.code for outcome in found if isinstance(outcome, TemplateFailure)]
    assert len(codes) == len(texts)
    assert codes[0] == "template-timeout"
    assert set(codes) <= {"template-timeout", "run-limit"}  # after a few, the others are not rendered
    assert engine.pool.budget.spent("helm-time") < 5  # CPU time
    assert engine.runs < len(texts)


def test_helm_is_not_started_once_the_time_is_used_up() -> None:
    engine = helm()
    engine.pool.budget.exhaust("helm-time")
    (found,) = engine.render(units(["{{ 1 }}"]), Functions())[0]
    assert isinstance(found, TemplateFailure)
    assert (found.code, found.message) == ("run-limit", "helm ran longer than this run's limit of 20 seconds")
    with pytest.raises(BudgetExceededError):
        engine.to_yaml([{"a": 1}])
    assert engine.pool.budget.spent("helm-time") == 0


def test_a_template_with_too_much_output_is_found_in_few_runs() -> None:
    engine = helm()
    found = engine.render(units(["{{ 1 }}"] * 200 + ["{{ repeat 5000000 `x` }}"] + ["{{ 2 }}"] * 200), Functions())
    codes = [outcome.code for (outcome,) in found if isinstance(outcome, TemplateFailure)]
    assert codes == ["template-too-large"]
    assert engine.runs <= 4  # the templates before it and those after it are rendered once more


def test_rendered_output_is_counted_over_the_whole_run() -> None:
    engine = helm(rendered=3_000_000)
    found = [outcome for (outcome,) in engine.render(units(["{{ repeat 1000000 `x` }}"] * 5), Functions())]
    assert {outcome.code for outcome in found if isinstance(outcome, TemplateFailure)} == {"run-limit"}


def test_a_template_with_too_many_tokens_is_not_rendered() -> None:
    engine = helm()
    depth = MOST_TOKENS // 2
    text = f"{{{{ {'(' * depth}1{')' * depth} }}}}"
    (found,) = engine.render(units([text]), Functions())[0]
    assert isinstance(found, TemplateFailure)
    assert (found.code, engine.runs) == ("template-too-large", 0)
    assert [error.code for error in engine.check([Template("", text)])[0]] == ["template-too-large"]


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Create a replacement for helm that prints when it begins and ends, and its memory limit."""
    script = tmp_path / "helm"
    script.write_text('#!/bin/sh\necho "begin $GOMEMLIMIT"\nsleep 0.2\necho end\n')
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("size", [0, 1 << 30])
def test_no_more_processes_run_at_once_than_fit_into_memory(slow: Path, tmp_path: Path, size: int) -> None:
    pool = HelmPool(slow, jobs=64)
    running, most, lock = 0, 0, threading.Lock()
    enter = pool._room

    def one(number: int) -> None:
        home = tmp_path / f"home{number}"
        home.mkdir()
        pool.run([], home, 10.0, size=size)

    @contextlib.contextmanager
    def counted(wanted: int) -> Iterator[None]:
        nonlocal running, most
        with enter(wanted):
            with lock:
                running += wanted
                most = max(most, running)
            try:
                yield
            finally:
                with lock:
                    running -= wanted

    with mock.patch.object(pool, "_room", counted), ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(8)))
    assert 0 < most <= pool.memory < LIMITS.memory
