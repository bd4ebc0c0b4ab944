"""Values as KuboCD handles them: merged, pruned, printed as JSON, and read from rendered templates."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kubocd_gen.compiler.values import (
    go_json,
    line_of_key,
    merge,
    parameters_text,
    parse_map,
    rendered_hint,
    strip_empty,
    way_in_json,
)
from kubocd_gen.diagnostics.problems import ProblemsError

_SCALARS = (
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.sampled_from(["", "a", "é"])
)
_KEYS = some.sampled_from(["a", "b", "c"])
VALUES: some.SearchStrategy[Any] = some.recursive(
    _SCALARS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)
TREES = some.dictionaries(_KEYS, VALUES, max_size=3)


def test_maps_merge_deeply() -> None:
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3, "d": 4}}) == {"a": {"b": 1, "c": 3, "d": 4}}


def test_a_list_replaces_a_list() -> None:
    assert merge({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}


def test_a_null_replaces_the_overridden_value() -> None:
    assert merge({"a": {"b": 1}}, {"a": None}) == {"a": None}


def test_a_map_replaces_a_scalar_and_a_scalar_a_map() -> None:
    assert merge({"a": 1, "b": {"c": 1}}, {"a": {"c": 1}, "b": 1}) == {"a": {"c": 1}, "b": 1}


def test_merging_a_nested_empty_map_changes_nothing() -> None:
    assert merge({"a": {"b": 1}}, {"a": {}}) == {"a": {"b": 1}}


@given(TREES)
def test_merging_with_an_empty_map_changes_nothing(tree: dict[str, Any]) -> None:
    assert merge({}, tree) == tree == merge(tree, {})


@given(TREES)
def test_merging_a_map_with_itself_changes_nothing(tree: dict[str, Any]) -> None:
    assert merge(tree, tree) == tree


@given(TREES, TREES)
def test_merging_the_same_map_twice_is_merging_it_once(below: dict[str, Any], above: dict[str, Any]) -> None:
    once = merge(below, above)
    assert merge(once, above) == once


@given(TREES, TREES)
def test_the_later_value_wins_unless_both_are_maps(below: dict[str, Any], above: dict[str, Any]) -> None:
    merged = merge(below, above)
    for key, value in above.items():
        if not (isinstance(value, dict) and isinstance(below.get(key), dict)):
            assert merged[key] == value
    assert merged.keys() == below.keys() | above.keys()


@given(TREES, TREES, TREES)
def test_merging_maps_is_associative(one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]) -> None:
    """Contexts can be merged in parts unless a scalar replaces a map."""
    if _has_only_maps_in_common(one, two) and _has_only_maps_in_common(two, three):
        assert merge(merge(one, two), three) == merge(one, merge(two, three))


def _has_only_maps_in_common(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return all(isinstance(one[key], dict) == isinstance(two[key], dict) for key in one.keys() & two.keys()) and all(
        _has_only_maps_in_common(one[key], two[key]) for key in one.keys() & two.keys() if isinstance(one[key], dict)
    )


@given(TREES, TREES)
def test_merging_modifies_neither_map(below: dict[str, Any], above: dict[str, Any]) -> None:
    before = deepcopy((below, above))
    merge(below, above)
    assert (below, above) == before


def test_nulls_and_empty_maps_are_dropped_at_every_depth() -> None:
    assert strip_empty({"a": None, "b": {}, "c": {"d": {"e": None}}, "f": {"g": 1, "h": None}}) == {"f": {"g": 1}}


def test_nulls_and_maps_that_become_empty_are_dropped_from_lists() -> None:
    assert strip_empty({"a": [None, {}, {"b": None}, 1, [None]]}) == {"a": [1, []]}


def test_empty_lists_zeros_and_empty_strings_are_kept() -> None:
    tree = {"a": [], "b": 0, "c": False, "d": "", "e": 0.0}
    assert strip_empty(tree) == tree


@given(TREES)
def test_pruning_twice_is_pruning_once(tree: dict[str, Any]) -> None:
    stripped = strip_empty(tree)
    assert strip_empty(stripped) == stripped


@given(TREES)
def test_pruning_keeps_scalars_and_does_not_modify_its_argument(tree: dict[str, Any]) -> None:
    before = deepcopy(tree)
    assert _scalars(strip_empty(tree)) == _scalars(tree)
    assert tree == before


def _scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [scalar for item in value.values() for scalar in _scalars(item)]
    if isinstance(value, list):
        return [scalar for item in value for scalar in _scalars(item)]
    return [] if value is None else [value]


def test_a_map_is_written_as_compact_json_with_sorted_keys() -> None:
    assert parameters_text({"b": 1, "a": {"d": [True, None], "c": "x"}}) == '{"a":{"c":"x","d":[true,null]},"b":1}'


def test_html_characters_are_escaped_as_in_go() -> None:
    assert parameters_text({"a": "<&>\u2028"}) == '{"a":"\\u003c\\u0026\\u003e\\u2028"}'


def test_other_characters_are_not_escaped() -> None:
    assert go_json({"é": "日本"}) == '{"é":"日本"}'


def test_a_double_quote_in_a_template_action_is_escaped_and_invalid() -> None:
    """KuboCD behaves the same; users write backquotes."""
    assert parameters_text({"a": '{{ default "x" .b }}'}) == r'{"a":"{{ default \"x\" .b }}"}'


def test_a_multiline_string_is_the_template_itself() -> None:
    assert parameters_text("a: 1\nb: {{ .Context.b }}\n") == "a: 1\nb: {{ .Context.b }}\n"


@pytest.mark.parametrize(("text", "template"), [("", '""'), ("a: 1", '"a: 1"')])
def test_a_single_line_string_becomes_quoted_json(text: str, template: str) -> None:
    assert parameters_text(text) == template


def test_without_parameters_there_is_no_template() -> None:
    assert parameters_text(None) is None
    assert parameters_text({}) == "{}"


@pytest.mark.parametrize("text", ["", "\n", "null", "# nothing\n", "---\n"])
def test_an_empty_rendering_is_an_empty_map(text: str) -> None:
    assert parse_map(text, "values") == {}


def test_only_the_first_rendered_document_counts() -> None:
    assert parse_map("a: 1\n---\nb: 2\n---\n[", "values") == {"a": 1}


def test_the_last_of_duplicate_keys_wins() -> None:
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
def test_a_rendered_line_in_a_hint_is_truncated(text: str, line: int | None, hint: str) -> None:
    assert rendered_hint(text, line) == hint


@pytest.mark.parametrize("value", [[1, 2], 5, True, "x"])
def test_parameters_of_another_type_do_not_render_to_a_map(value: Any) -> None:
    text = parameters_text(value)
    assert text is not None
    with pytest.raises(ProblemsError, match="must render to a map"):
        parse_map(text, "spec.parameters")


@pytest.mark.parametrize(
    ("mark", "way"),
    [("@1", ("a",)), ("@2", ("b", 1)), ("@3", ("b", 2, "é<")), ("@4", ("z", "y")), ("z", ("z",)), ("{", ())],
)
def test_an_offset_in_the_json_of_a_map_is_resolved_to_its_parameter(mark: str, way: tuple[str | int, ...]) -> None:
    parameters = {"z": {"y": "&@4"}, "b": [None, "@2", {"é<": "@3"}], "a": '"@1'}
    text = go_json(parameters)
    assert way_in_json(parameters, text.index(mark)) == way
    assert way_in_json(parameters, len(text)) == ()


@pytest.mark.parametrize(
    ("key", "line"), [("a", 1), ("b", 3), ("c-d", 4), ("e", 5), ("twice", None), ("none", None), ("f", None)]
)
def test_the_template_line_that_sets_a_key_is_found_if_it_is_unique(key: str, line: int | None) -> None:
    template = """a: 1\n{{- if true }}\n  'b': 2\n - - "c-d":\n- e: b: f:x\n twice: 1\ntwice: 2\n# none: 1"""
    assert line_of_key(template, key) == line


def test_a_byte_order_mark_in_a_rendered_text_is_part_of_its_line() -> None:
    assert parse_map("a: 1\n\ufeffb: 2", "values") == {"a": 1, "\ufeffb": 2}
