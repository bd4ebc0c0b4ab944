"""What counts as an action, and as a token in it: Go's own rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.helm.lexer import Kind, actions


def words(text: str) -> list[list[str]]:
    return [[token.text for token in action.tokens if token.kind is not Kind.SPACE] for action in actions(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain }} text", []),
        ("{{ a }}{{b}}", [["a"], ["b"]]),
        ('{{ printf "}}" }}x', [["printf", '"}}"']]),
        ('{{ "a\\"}}" }}', [['"a\\"}}"']]),
        ("{{ `}}\n{{` }}", [["`}}\n{{`"]]),
        ("{{ '\\'' }}{{ '\"' }}", [["'\\''"], ["'\"'"]]),
        ('{{/* a "quote }} */}}{{ x }}', [["x"]]),
        ("{{- /* ` */ -}}{{ x }}", [["x"]]),
        ("{{- x -}}", [["x"]]),
        ("{{-3}}{{ -3 }}", [["-3"], ["-3"]]),
        ("{{ .a.b $x.set $ . }}", [[".a", ".b", "$x", ".set", "$", "."]]),
        ("{{ 1.5e-3 0x1F .5 +1 }}", [["1.5e-3", "0x1F", ".5", "+1"]]),
        ("{{ $x := y | z }}", [["$x", ":=", "y", "|", "z"]]),
        ("{{ a\n\tb }}", [["a", "b"]]),
        ("{{{ a }}", [["{", "a"]]),
    ],
)
def test_actions_are_what_go_reads_between_delimiters(text: str, expected: list[list[str]]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    "text",
    ['{{ "a }}', "{{ `a }}", "{{/* a }}", "{{/* a */ }}", "{{ (a }}", "{{ a) }}", "{{ '\n' }}", "{{ \u20ac }}"],
)
def test_the_lexer_stops_where_go_refuses_the_text(text: str) -> None:
    found = list(actions("{{ ok }}" + text + "{{ hidden }}"))
    assert [action.broken for action in found] in ([False], [False, True])  # a comment has no action
    assert not any(token.text == "hidden" for action in found for token in action.tokens)


def test_an_action_that_trims_says_so() -> None:
    assert [action.trims for action in actions("{{ a }}{{ a -}}{{ a - }}{{a\n-}}")] == [False, True, False, True]


@given(st.text(alphabet="{}-/* \"`'\\\n()|.$:=ax1é", max_size=60))
def test_any_text_is_read_and_tokens_are_where_they_say(text: str) -> None:
    for action in actions(text):
        assert action.broken or text[: action.end].endswith("}}")
        for token in action.tokens:
            assert text[token.start : token.end] == token.text
            assert token.text
