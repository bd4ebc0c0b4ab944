"""Rewriting a template into a chart file, and mapping positions back."""

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


def test_a_template_without_special_functions_is_unchanged() -> None:
    text = '{{- range $i, $x := .l -}} {{ $x.imageRedirect | upper }} {{ .resolveDNS "x" }} {{ "tpl" }}{{/* fail */}}'
    assert rewrite(text).text == text


def test_template_names_are_prefixed_with_the_path_of_the_template() -> None:
    rewritten = rewrite('{{ define "a" }}{{ end }}{{ template `a` . }}{{ block "b" $ }}{{ end }}{{ template "" }}')
    assert rewritten.text == (
        f'{{{{ define "{rewritten.path}a" }}}}{{{{ end }}}}{{{{ template `{rewritten.path}a` . }}}}'
        f'{{{{ block "{rewritten.path}b" $ }}}}{{{{ end }}}}{{{{ template "{rewritten.path}" }}}}'
    )


def test_an_inserted_action_has_the_trim_marker_of_the_previous_action() -> None:
    texts = {
        trim: rewrite(f'{{{{ define "a" {trim}}}}}  {{{{ imageRedirect "x" $ }}}}{{{{ end }}}}').text
        for trim in ("", "-")
    }
    assert f"}}}}{{{{ {NAMES.holder} := dict }}}}  {{{{ list" in texts[""]
    assert f"-}}}}{{{{ {NAMES.holder} := dict -}}}}  {{{{ list" in texts["-"]


def test_only_a_body_that_needs_a_holder_variable_gets_one() -> None:
    text = '{{ define "a" }}{{ end }}{{ if 1 }}{{ imageRedirect "x" $ }}{{ end }}{{ define "b" }}{{ end }}'
    rewritten = rewrite(text).text
    assert rewritten.startswith(f"{{{{ {NAMES.holder} := dict }}}}")
    assert rewritten.count(":= dict") == 1


def test_functions_that_only_helm_has_become_undefined() -> None:
    assert f"{NAMES.undefined}toYamlPretty" in rewrite("{{ toYamlPretty .x }}").text
    assert NAMES.undefined not in rewrite("{{ toYaml .toYamlPretty | $x.mustToYaml }}").text


def test_templates_that_modify_maps_are_recognized_by_their_calls() -> None:
    assert rewrite('{{ $_ := set .Context "a" 1 }}').mutates
    assert rewrite("{{ (merge .a .b) | toYaml }}").mutates
    assert not rewrite("{{ .set }} {{ $set }} {{ .preset.set_ }} {{ upset }}").mutates


def test_positions_are_mapped_back_to_the_template() -> None:
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
def test_every_unchanged_character_is_mapped_back_to_its_position(text: str) -> None:
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
def test_a_function_that_modifies_maps_is_found_in_any_surroundings(text: str) -> None:
    assert rewrite(text).mutates


def test_inserted_names_differ_between_runs_but_not_in_length() -> None:
    one, other = Names(), Names()
    text = '{{ define "a" }}{{ (imageRedirect "x" $).tag | required "m" }}{{ env }}{{ tpl "" . }}{{ end }}'
    here, there = rewrite_as(text, one), rewrite_as(text, other)
    assert here.text != there.text
    assert [edit.start for edit in here.edits] == [edit.start for edit in there.edits]
    assert [len(edit.text) for edit in here.edits] == [len(edit.text) for edit in there.edits]
    assert one.nonce not in repr(here.names)
    fixed = set(library(Functions(), one).splitlines()) & set(library(Functions(), other).splitlines())
    assert not [line for line in fixed if '"kcd' in line]


def test_a_rewritten_template_calls_only_allowed_functions() -> None:
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
