"""Expect problems."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubocd_gen.diagnostics.problems import Problem, ProblemsError


def refusal(ask: Callable[[], object], code: str) -> Problem:
    """Return the problem that `ask` raises: one with this code, a printable message and no position."""
    with pytest.raises(ProblemsError) as caught:
        ask()
    assert caught.value.problem.code == code, caught.value.problem.message
    assert caught.value.problem.message.isprintable()
    assert caught.value.problem.position is None
    return caught.value.problem
