"""Contexts and Configs that are not admitted again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import pytest

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.model.resources import Resource
from kubocd_gen.sources import admission
from kubocd_gen.sources.known_admission import Admission
from kubocd_gen.state.store import State
from tests.support.source_resources import Load, config, context

PARENTS = "context: {b: 2, a: [1.5]}\nparents: [{name: top}]\n"


@pytest.fixture
def resource(load: Load) -> Callable[[str], Resource]:
    """Return a function that returns the resource of a document, with a digest as those that a state knows have."""
    return lambda text: replace(load({"a.yaml": text}).resources[0], digest=text)


def test_what_was_admitted_is_known(resource: Callable[[str], Resource]) -> None:
    state = State(None)
    one, two = resource(context("base", PARENTS)), resource(config("conf", "defaultHelmTimeout: 90s\n"))
    admitted = Admission(state).context(one, "ns"), Admission(state).config(two)
    assert admitted == (admission.admit_context(one, "ns"), admission.admit_config(two))
    with mock.patch.object(admission, "admit_context", None), mock.patch.object(admission, "admit_config", None):
        assert (Admission(state).context(one, "ns"), Admission(state).config(two)) == admitted
        with pytest.raises(TypeError):
            Admission(state).context(one, "other")  # its own namespace is the default one
        with pytest.raises(TypeError):
            Admission(state).context(replace(one, digest="other"), "ns")


def test_a_value_that_has_no_digest_is_known_by_its_text(resource: Callable[[str], Resource]) -> None:
    state = State(None)
    one = replace(resource(config()), digest="")
    admitted = Admission(state).config(one)
    with mock.patch.object(admission, "admit_config", None):
        assert Admission(state).config(one) == admitted


def test_what_is_refused_is_never_known(resource: Callable[[str], Resource]) -> None:
    state = State(None)
    one = resource(context("base", "contexts: {}\n"))
    for _ in range(2):
        with pytest.raises(ProblemsError):
            Admission(state).context(one, "ns")
    assert state.table("admitted") == {}


def test_a_damaged_content_is_admitted_again(resource: Callable[[str], Resource]) -> None:
    state = State(None)
    one, two = resource(context("base", PARENTS)), resource(config())
    admitted = Admission(state).context(one, "ns"), Admission(state).config(two)
    with mock.patch.object(State, "blob", lambda *_: None):
        assert (Admission(state).context(one, "ns"), Admission(state).config(two)) == admitted


def test_without_a_state_everything_is_admitted(resource: Callable[[str], Resource]) -> None:
    one, two = resource(context()), resource(config())
    assert Admission().context(one, "ns") == admission.admit_context(one, "ns")
    assert Admission().config(two) == admission.admit_config(two)
