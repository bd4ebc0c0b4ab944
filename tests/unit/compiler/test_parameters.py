"""From what a Release gives as parameters to the text that is rendered, and back to a map."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.compiler.values import go_json, line_of_key, parameters_text, parse_map, rendered_hint, way_in_json
from kubocd_gen.diagnostics.problems import ProblemsError


def test_a_map_is_compact_json_with_sorted_keys() -> None:
    assert parameters_text({"b": 1, "a": {"d": [True, None], "c": "x"}}) == '{"a":{"c":"x","d":[true,null]},"b":1}'


def test_what_could_be_html_is_escaped_as_go_escapes_it() -> None:
    assert parameters_text({"a": "<&>\u2028"}) == '{"a":"\\u003c\\u0026\\u003e\\u2028"}'


def test_other_characters_stay_as_they_are() -> None:
    assert go_json({"é": "日本"}) == '{"é":"日本"}'


def test_a_quotation_mark_in_braces_becomes_one_that_no_template_takes() -> None:
    """That is how KuboCD has it: users write back quotes."""
    assert parameters_text({"a": '{{ default "x" .b }}'}) == r'{"a":"{{ default \"x\" .b }}"}'


def test_a_text_of_several_lines_is_the_template_itself() -> None:
    assert parameters_text("a: 1\nb: {{ .Context.b }}\n") == "a: 1\nb: {{ .Context.b }}\n"


@pytest.mark.parametrize(("text", "template"), [("", '""'), ("a: 1", '"a: 1"')])
def test_a_text_of_one_line_is_taken_for_its_quoted_json(text: str, template: str) -> None:
    assert parameters_text(text) == template


def test_without_parameters_there_is_no_template() -> None:
    assert parameters_text(None) is None
    assert parameters_text({}) == "{}"


@pytest.mark.parametrize("text", ["", "\n", "null", "# nothing\n", "---\n"])
def test_what_renders_to_nothing_is_an_empty_map(text: str) -> None:
    assert parse_map(text, "values") == {}


def test_of_a_rendered_text_only_the_first_document_counts() -> None:
    assert parse_map("a: 1\n---\nb: 2\n---\n[", "values") == {"a": 1}


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert parse_map("a: 1\na: 2\n", "values") == {"a": 2}


@pytest.mark.parametrize(
    ("text", "kind"), [("[1]", "a list"), ("hello", "a string"), ("8080", "a scalar"), ('"{}"', "a string")]
)
def test_anything_but_a_map_is_an_error_that_shows_the_line(text: str, kind: str) -> None:
    with pytest.raises(ProblemsError) as found:
        parse_map(text, "package web:1, values")
    assert found.value.problem.message == f"package web:1, values must render to a map, but renders to {kind}"
    assert (found.value.problem.hint or "").startswith("line 1 ")
    assert (found.value.problem.hint or "").endswith(f": {text}")


def test_bad_yaml_is_an_error_that_shows_the_rendered_line() -> None:
    with pytest.raises(ProblemsError) as found:
        parse_map("a: 1\nb: [1, 2\nc: 3\n", "values")
    assert found.value.problem.code == "bad-rendering"
    assert found.value.problem.message.startswith("values does not render to valid YAML: did not find expected")
    fix, line = (found.value.problem.hint or "").split("; ")
    assert "comma" in fix
    assert (line.startswith("line 3 "), line.endswith(": c: 3")) == (True, True)


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("", None, "the rendered template is empty"),
        ("\n \na: 1", None, "line 3 of the rendered template: a: 1"),
        ("a\nb", 2, "line 2 of the rendered template: b"),
        ("x" * 130, None, f"line 1 of the rendered template: {'x' * 120}…"),
    ],
)
def test_the_rendered_line_of_a_message_is_short(text: str, line: int | None, hint: str) -> None:
    assert rendered_hint(text, line) == hint


@pytest.mark.parametrize("value", [[1, 2], 5, True, "x"])
def test_parameters_of_another_type_render_to_no_map(value: Any) -> None:
    text = parameters_text(value)
    assert text is not None
    with pytest.raises(ProblemsError, match="must render to a map"):
        parse_map(text, "spec.parameters")


@pytest.mark.parametrize(
    ("mark", "way"),
    [("@1", ("a",)), ("@2", ("b", 1)), ("@3", ("b", 2, "é<")), ("@4", ("z", "y")), ("z", ("z",)), ("{", ())],
)
def test_a_place_in_the_json_of_a_map_leads_to_its_parameter(mark: str, way: tuple[str | int, ...]) -> None:
    parameters = {"z": {"y": "&@4"}, "b": [None, "@2", {"é<": "@3"}], "a": '"@1'}
    text = go_json(parameters)
    assert way_in_json(parameters, text.index(mark)) == way
    assert way_in_json(parameters, len(text)) == ()


@pytest.mark.parametrize(
    ("key", "line"), [("a", 1), ("b", 3), ("c-d", 4), ("e", 5), ("twice", None), ("none", None), ("f", None)]
)
def test_the_line_of_a_template_that_sets_a_key_is_found_where_there_is_one(key: str, line: int | None) -> None:
    template = """a: 1\n{{- if true }}\n  'b': 2\n - - "c-d":\n- e: b: f:x\n twice: 1\ntwice: 2\n# none: 1"""
    assert line_of_key(template, key) == line
