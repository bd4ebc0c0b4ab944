"""The chart file that a text becomes, and the way back for positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.helm.functions import library
from kubocd_gen.helm.lexer import Kind, actions
from kubocd_gen.helm.names import Names
from kubocd_gen.helm.rewrite import Rewritten
from kubocd_gen.helm.rewrite import rewrite as rewrite_as
from kubocd_gen.helm.template import Functions

NAMES = Names("0" * 24)


def rewrite(text: str) -> Rewritten:
    return rewrite_as(text, NAMES)


def test_a_text_that_needs_nothing_is_left_alone() -> None:
    text = '{{- range $i, $x := .l -}} {{ $x.imageRedirect | upper }} {{ .resolveDNS "x" }} {{ "tpl" }}{{/* fail */}}'
    assert rewrite(text).text == text


def test_names_begin_with_the_path_of_their_text() -> None:
    rewritten = rewrite('{{ define "a" }}{{ end }}{{ template `a` . }}{{ block "b" $ }}{{ end }}{{ template "" }}')
    assert rewritten.text == (
        f'{{{{ define "{rewritten.path}a" }}}}{{{{ end }}}}{{{{ template `{rewritten.path}a` . }}}}'
        f'{{{{ block "{rewritten.path}b" $ }}}}{{{{ end }}}}{{{{ template "{rewritten.path}" }}}}'
    )


def test_an_inserted_action_trims_where_the_one_before_it_does() -> None:
    texts = {
        trim: rewrite(f'{{{{ define "a" {trim}}}}}  {{{{ imageRedirect "x" $ }}}}{{{{ end }}}}').text
        for trim in ("", "-")
    }
    assert f"}}}}{{{{ {NAMES.holder} := dict }}}}  {{{{ list" in texts[""]
    assert f"-}}}}{{{{ {NAMES.holder} := dict -}}}}  {{{{ list" in texts["-"]


def test_only_the_body_that_needs_a_holder_gets_one() -> None:
    text = '{{ define "a" }}{{ end }}{{ if 1 }}{{ imageRedirect "x" $ }}{{ end }}{{ define "b" }}{{ end }}'
    rewritten = rewrite(text).text
    assert rewritten.startswith(f"{{{{ {NAMES.holder} := dict }}}}")
    assert rewritten.count(":= dict") == 1


def test_functions_that_only_helm_has_are_made_undefined() -> None:
    assert f"{NAMES.undefined}toYamlPretty" in rewrite("{{ toYamlPretty .x }}").text
    assert NAMES.undefined not in rewrite("{{ toYaml .toYamlPretty | $x.mustToYaml }}").text


def test_what_changes_maps_is_known_by_its_calls() -> None:
    assert rewrite('{{ $_ := set .Context "a" 1 }}').mutates
    assert rewrite("{{ (merge .a .b) | toYaml }}").mutates
    assert not rewrite("{{ .set }} {{ $set }} {{ .preset.set_ }} {{ upset }}").mutates


def test_positions_lead_back_to_the_text() -> None:
    text = 'a {{ imageRedirect "x" $ | upper }} {{ resolveDNS .y }} {{ required "m" .z }}'
    rewritten = rewrite(text)
    for word in ("upper", ".y", ".z", '"x"', '"m"'):
        assert rewritten.source_offset(rewritten.text.index(word)) == text.index(word)
    for inserted, source in (("include", "imageRedirect"), ("list .y", "resolveDNS")):
        assert rewritten.source_offset(rewritten.text.index(inserted)) == text.index(source)


PIECES = [
    "{{ ",
    " }}",
    "{{- ",
    " -}}",
    '"a"',
    "`b`",
    "imageRedirect ",
    "fail ",
    "(",
    ")",
    " | ",
    "$ ",
    ".x ",
    "define ",
    "end ",
    "é",
    "\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_every_character_that_stays_is_found_again(text: str) -> None:
    rewritten = rewrite(text)
    offsets = [rewritten.source_offset(offset) for offset in range(len(rewritten.text))]
    assert all(0 <= offset <= len(text) for offset in offsets)
    assert rewritten.text.count("\n") == text.count("\n")
    if not rewritten.edits:
        assert offsets == list(range(len(text)))


@pytest.mark.parametrize(
    "text",
    [
        "{{ $\U00011f04 := 1 }}{{ set .Context `a` 1 }}",
        "{{ `\n`|unset}}",
        "{{(mustMerge)}}",
        "{{ é.merge | mergeOverwrite }}",
        "{{ x\u00a0}}{{ set",
        "{{/* a }} {{ set }}",
    ],
)
def test_no_word_that_can_change_maps_is_hidden_by_what_is_around_it(text: str) -> None:
    assert rewrite(text).mutates


def test_names_of_what_is_put_in_are_new_with_each_run_and_as_long_as_ever() -> None:
    one, other = Names(), Names()
    text = '{{ define "a" }}{{ (imageRedirect "x" $).tag | required "m" }}{{ env }}{{ tpl "" . }}{{ end }}'
    here, there = rewrite_as(text, one), rewrite_as(text, other)
    assert here.text != there.text
    assert [edit.start for edit in here.edits] == [edit.start for edit in there.edits]
    assert [len(edit.text) for edit in here.edits] == [len(edit.text) for edit in there.edits]
    assert one.nonce not in repr(here.names)
    fixed = set(library(Functions(), one).splitlines()) & set(library(Functions(), other).splitlines())
    assert not [line for line in fixed if '"kcd' in line]


def test_what_is_read_again_names_nothing_but_what_is_allowed() -> None:
    text = (
        '{{ define "a" }}{{ env `x` | tpl }}{{ end }}{{ block `b` . }}{{ end }}{{ template "a" }}{{ include "b" . }}'
        "{{ fail `x` }}{{ toYamlPretty (readFile `x`) }}{{ getHostByName `a` }}{{ lookup }}{{ $env.tpl }}"
    )
    again = [token for action in actions(rewrite(text).text) for token in action.tokens]
    named = [token.text for token in again if token.kind is Kind.IDENTIFIER]
    assert {name for name in named if not name.startswith(NAMES.undefined)} == {
        *("call", "fail", "include", "list", "lookup", "regexReplaceAllLiteral")
    }
    strings = [token.text[1:-1] for token in again if token.kind in (Kind.STRING, Kind.RAW_STRING)]
    assert [string for string in strings if string.startswith(rewrite(text).path)] == [
        f"{rewrite(text).path}{name}" for name in "aba"
    ]
    called = [again[at + 2].text for at, token in enumerate(again) if token.text == "include"]
    assert called == [f'"{NAMES.partial("getHostByName")}"']
