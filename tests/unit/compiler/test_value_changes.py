"""Comparing values: the differences, their paths, and which of them are shown."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.compiler.secret_shapes import MASK
from kubocd_gen.compiler.value_changes import ABSENT, Change, Named, changes, leaves, path_text, same

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "value", "password", "a", "b.c"]) | st.text(max_size=4), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert list(changes(value, copy.deepcopy(value))) == []


@given(JSON, JSON)
def test_there_are_changes_if_and_only_if_the_values_differ(old: Any, new: Any) -> None:
    found = list(changes(old, new))
    reordered = isinstance(old, list) or isinstance(new, list) or "[" in repr((old, new))
    assert not found if same(old, new) else (found or reordered)  # named items can be reordered
    assert len({path_text(one.path) for one in found}) <= len(found)


@given(JSON, JSON)
def test_hidden_values_are_never_shown(old: Any, new: Any) -> None:
    for change in changes({"password": old}, {"password": new}):
        for value in (change.old, change.new):
            if value is not ABSENT:
                assert all(leaf in (MASK, None, True, False, "", {}, []) for _, leaf in leaves(value, ()))


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [("a", 1, True)]),
        ({"a": 1}, {"a": "1"}, [("a", 1, "1")]),
        ({"a": None}, {}, [("a", None, ABSENT)]),
        ({}, {"a": {"b": 1}}, [("a", ABSENT, {"b": 1})]),
        ([1, 2, 3], [1, 3], [("[1]", 2, ABSENT)]),
        ([1, 3], [1, 2, 3], [("[1]", ABSENT, 2)]),
        ([{"host": "a"}], [{"host": "b"}], [("[0].host", "a", "b")]),
        (
            [{"name": "a", "v": 1}, {"name": "b", "v": 1}],
            [{"name": "b", "v": 2}, {"name": "a", "v": 1}],
            [("[name=b].v", 1, 2)],
        ),
        ([{"name": "x.old", "v": 1}], [{"name": "x.new", "v": 1}], [("[0].name", "x.old", "x.new")]),
        (
            [{"name": "a", "v": 1}],
            [{"name": "b", "v": 2}],
            [("[name=a]", {"name": "a", "v": 1}, ABSENT), ("[name=b]", ABSENT, {"name": "b", "v": 2})],
        ),
        ({"adminPassword": "a"}, {"adminPassword": "b"}, [("adminPassword", MASK, MASK)]),
        ({"jwtSecret": "a"}, {"jwtSecret": "b"}, [("jwtSecret", MASK, MASK)]),
        ({"existingSecret": "a"}, {"existingSecret": "b"}, [("existingSecret", "a", "b")]),
        ({"tokens": {"x": 1}}, {"tokens": {"x": 2}}, [("tokens.x", 1, 2)]),
        ({"credentials": {"x": [1]}}, {"credentials": {"x": [2]}}, [("credentials.x[0]", MASK, MASK)]),
        (
            [{"name": "DB_PASSWORD", "value": "a"}],
            [{"name": "DB_PASSWORD", "value": "b"}],
            [("[name=DB_PASSWORD].value", MASK, MASK)],
        ),
        (
            {"a": {}},
            {"a": {"env": [{"name": "API_KEY", "value": "s"}]}},
            [("a.env", ABSENT, [{"name": "API_KEY", "value": MASK}])],
        ),
        (
            {"url": "postgres://me:a@db"},
            {"url": "postgres://me:b@db"},
            [("url", f"postgres://me:{MASK}@db", f"postgres://me:{MASK}@db")],
        ),
        (
            {"f": "x: 1\npassword: a\n"},
            {"f": "x: 2\npassword: b\n"},
            [("f", f"x: 1\npassword: {MASK}\n", f"x: 2\npassword: {MASK}\n")],
        ),
    ],
)
def test_each_difference_is_listed_with_its_path(old: Any, new: Any, found: list[tuple[str, Any, Any]]) -> None:
    assert [(path_text(one.path), one.old, one.new) for one in changes(old, new)] == found


def test_a_path_is_printed_readably() -> None:
    path = ("spec", "values", Named("name", "HOST"), "a.b", 3, "")
    assert path_text(path) == 'spec.values[name=HOST]["a.b"][3][""]'
    assert Change(path, 1, 2).path == path


def test_long_lists_are_not_matched_item_by_item() -> None:
    (change,) = changes(list(range(3000)), list(range(1, 3001)))
    assert change.path == ()


@pytest.mark.parametrize("other", [1, "true", ["boolean", 1], ["boolean", True], [True], {"boolean": True}])
def test_true_is_the_same_only_as_true(other: Any) -> None:
    assert same(True, True)
    assert not same(True, other)
    assert not same({"a": other}, {"a": True})
