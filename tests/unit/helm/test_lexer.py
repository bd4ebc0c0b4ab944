"""Actions and tokens of templates, by the rules of Go."""

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
        (
            "{{ 1_0 0x_1p-2 0b1.1 0o7 1i 1+2i -1.e3i + }}",
            [["1_0", "0x_1p-2", "0b1.1", "0o7", "1i", "1+2i", "-1.e3i", "+"]],
        ),
        ("{{ 1..a 1.2.3 ..b }}", [["1.", ".a", "1.2", ".3", ".", ".b"]]),
        ('{{ "a"b(c)"d" }}', [['"a"', "b", "(", "c", ")", '"d"']]),
        ("{{ `a\r`, ]*~ }}", [["`a\r`", ",", "]", "*", "~"]]),
        ("{{ \r\n\ta}}", [["a"]]),
        ("{{-\ta\n-}}", [["a"]]),
        ("{{-a}}", [[]]),
        ("{{- -3 -}}", [["-3"]]),
        ("{{-\u00a0a}}", [[]]),
    ],
)
def test_actions_are_found_as_in_go(text: str, expected: list[list[str]]) -> None:
    assert words(text) == expected


REFUSED = [
    *('{{ "a }}', "{{ `a }}", '{{ "\\\n" }}', "{{ '\n' }}", "{{/* a }}", "{{/* a */ }}", "{{- /*a*/-}}", "{{/*/}}"),
    *("{{ (a }}", "{{ a) }}", "{{ (a -}}", "{{ a", "{{ .a", "{{ $"),
    *('{{ a"b" }}', "{{ .a`b` }}", "{{ $a'b' }}", "{{ .a-b }}", "{{ a} }}", "{{ $x=1 }}", "{{ : }}", "{{ a : = }}"),
    *("{{ 1x }}", "{{ 0xg }}", "{{ 0b2 }}", "{{ 0o8 }}", "{{ 1+2 }}", "{{ 1.2p3 }}", "{{ 0x1e+ }}", "{{ 1\u0661 }}"),
    *("{{ \0 }}", "{{ \v }}", "{{ a\f}}", "{{ \x7f }}", "{{ \x1f }}"),
]


@pytest.mark.parametrize("text", REFUSED)
def test_the_lexer_stops_where_go_reports_an_error(text: str) -> None:
    *_, last = found = list(actions("{{ ok }}" + text))
    assert [action.broken for action in found] == [False, True]
    assert last.start == len("{{ ok }}")
    assert not any(token.text == "hidden" for action in actions(text + "{{ hidden }}") for token in action.tokens)


def test_trim_markers_of_an_action_are_found() -> None:
    assert [action.trims for action in actions("{{ a }}{{ a -}}{{ a - }}{{a\n-}}")] == [False, True, False, True]


# Letters, digits and marks of all kinds, characters added after Unicode 14, unassigned characters, and spaces.
@pytest.mark.parametrize(
    "character",
    "é\u0661\u2167\u0301\u02c6\u20ac\x80\x85\xa0\u1680\u2028\u200b\u3000\ufeff\ufffd\uffff\U00011f04\U000323af\U0010ffff",
)
def test_every_character_beyond_ascii_is_a_letter(character: str) -> None:
    text = f"{{{{ {character} a{character} ${character}b .{character} }}}}"
    assert words(text) == [[character, f"a{character}", f"${character}b", f".{character}"]]


@given(st.text(alphabet="{}-/* \"`'\\\n()|.$:=ax1é", max_size=60))
def test_any_string_is_read_and_token_positions_are_correct(text: str) -> None:
    for action in actions(text):
        assert action.broken or text[: action.end].endswith("}}")
        for token in action.tokens:
            assert text[token.start : token.end] == token.text
            assert token.text
