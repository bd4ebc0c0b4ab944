"""These tests run the real helm: rewritten templates must behave like the originals in Go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from kubocd_gen.budget.limits import LIMITS, moved
from kubocd_gen.budget.spending import Budget
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import find_helm
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from tests.support.hostile_templates import FUNCTIONS

Outcome = str | TemplateFailure


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(find_helm(), budget=Budget(moved(LIMITS, {"helm-time": 3600})))  # for the whole session


@pytest.fixture(scope="session")
def render_all(helm: Helm) -> Callable[..., list[Outcome]]:
    """Render templates in one batch, each for a separate Release."""

    def render(
        *texts: str,
        header: str = "",
        parameters: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        functions: Functions = FUNCTIONS,
    ) -> list[Outcome]:
        shared = context or {}
        model = {"Parameters": parameters or {}, "Release": {"metadata": {"name": "demo"}}}
        units = [Unit(shared, model, (Template(header, text),)) for text in texts]
        return [outcome for (outcome,) in helm.render(units, functions)]

    return render


@pytest.fixture(scope="session")
def render(render_all: Callable[..., list[Outcome]]) -> Callable[..., Outcome]:
    """Render one template."""

    def one(text: str, **options: Any) -> Outcome:
        return render_all(text, **options)[0]

    return one


@pytest.fixture(scope="session")
def render_release(helm: Helm) -> Callable[..., list[Outcome]]:
    """Render the templates of one Release, in order, with its model."""

    def render(texts: Sequence[str], context: Mapping[str, Any] | None = None) -> list[Outcome]:
        unit = Unit(context or {}, {"Parameters": {}}, tuple(Template("", text) for text in texts))
        return helm.render([unit], FUNCTIONS)[0]

    return render
