"""How trees are laid over each other: the laws that contexts, parameters and specs rest on."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from kubocd_gen.compiler.values import merge, strip_empty

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


def test_a_null_replaces_what_is_below_it() -> None:
    assert merge({"a": {"b": 1}}, {"a": None}) == {"a": None}


def test_a_map_replaces_a_scalar_and_a_scalar_a_map() -> None:
    assert merge({"a": 1, "b": {"c": 1}}, {"a": {"c": 1}, "b": 1}) == {"a": {"c": 1}, "b": 1}


def test_an_empty_map_over_a_map_changes_nothing() -> None:
    assert merge({"a": {"b": 1}}, {"a": {}}) == {"a": {"b": 1}}


@given(TREES)
def test_nothing_over_a_tree_and_a_tree_over_nothing_are_the_tree(tree: dict[str, Any]) -> None:
    assert merge({}, tree) == tree == merge(tree, {})


@given(TREES)
def test_a_tree_over_itself_is_the_tree(tree: dict[str, Any]) -> None:
    assert merge(tree, tree) == tree


@given(TREES, TREES)
def test_merging_the_same_tree_twice_is_merging_it_once(below: dict[str, Any], above: dict[str, Any]) -> None:
    once = merge(below, above)
    assert merge(once, above) == once


@given(TREES, TREES)
def test_what_the_later_says_holds_unless_both_say_maps(below: dict[str, Any], above: dict[str, Any]) -> None:
    merged = merge(below, above)
    for key, value in above.items():
        if not (isinstance(value, dict) and isinstance(below.get(key), dict)):
            assert merged[key] == value
    assert merged.keys() == below.keys() | above.keys()


@given(TREES, TREES, TREES)
def test_maps_of_maps_merge_in_any_grouping_from_the_top(
    one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]
) -> None:
    """Where no map hides below a scalar, a chain of contexts may be merged in parts."""
    if _has_only_maps_in_common(one, two) and _has_only_maps_in_common(two, three):
        assert merge(merge(one, two), three) == merge(one, merge(two, three))


def _has_only_maps_in_common(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return all(isinstance(one[key], dict) == isinstance(two[key], dict) for key in one.keys() & two.keys()) and all(
        _has_only_maps_in_common(one[key], two[key]) for key in one.keys() & two.keys() if isinstance(one[key], dict)
    )


@given(TREES, TREES)
def test_merging_changes_neither_tree(below: dict[str, Any], above: dict[str, Any]) -> None:
    before = deepcopy((below, above))
    merge(below, above)
    assert (below, above) == before


def test_nulls_and_empty_maps_are_dropped_at_every_depth() -> None:
    assert strip_empty({"a": None, "b": {}, "c": {"d": {"e": None}}, "f": {"g": 1, "h": None}}) == {"f": {"g": 1}}


def test_a_list_loses_its_nulls_and_the_maps_that_become_empty() -> None:
    assert strip_empty({"a": [None, {}, {"b": None}, 1, [None]]}) == {"a": [1, []]}


def test_empty_lists_zeros_and_empty_texts_stay() -> None:
    tree = {"a": [], "b": 0, "c": False, "d": "", "e": 0.0}
    assert strip_empty(tree) == tree


@given(TREES)
def test_stripping_twice_is_stripping_once(tree: dict[str, Any]) -> None:
    stripped = strip_empty(tree)
    assert strip_empty(stripped) == stripped


@given(TREES)
def test_stripping_drops_no_scalar_and_changes_not_its_argument(tree: dict[str, Any]) -> None:
    before = deepcopy(tree)
    assert _scalars(strip_empty(tree)) == _scalars(tree)
    assert tree == before


def _scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [scalar for item in value.values() for scalar in _scalars(item)]
    if isinstance(value, list):
        return [scalar for item in value for scalar in _scalars(item)]
    return [] if value is None else [value]
