"""The tools of a command that compiles, without helm and packages."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kubocd_gen.cli import tools as module
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.model.project import Project
from kubocd_gen.pipeline import packages as pipeline

WARNING = Problem("unwritable-cache", "cannot write to the cache", severity="warning")


@pytest.mark.parametrize("fails", [False, True])
def test_registry_warnings_are_reported_even_with_an_error(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    closed: list[bool] = []
    packages = SimpleNamespace(warnings=lambda: (WARNING,), close=lambda: closed.append(True))
    monkeypatch.setattr(module, "helm_of", lambda options, budget: SimpleNamespace())
    monkeypatch.setattr(pipeline, "package_sources", lambda *arguments, **named: packages)
    monkeypatch.setattr(pipeline, "project_lock", lambda project: None)
    options: Any = SimpleNamespace(no_progress=True, job_count=1)
    problems = Problems()
    with suppress(ProblemsError), module.tools(options, Project(Path(), ()), problems):
        if fails:
            raise ProblemsError.of("registry-failed", "the push failed")
    assert list(problems) == [WARNING]
    assert closed == [True]
