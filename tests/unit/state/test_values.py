from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.state.values import is_plain, value_text

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(values)
def test_a_value_is_read_back_with_the_same_types_and_order(value: Any) -> None:
    text = value_text(value)
    assert text is not None
    assert repr(json.loads(text)) == repr(value)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], {1: 2}, {"a": (1,)}, Text("a"), {Text("a"): 1}, [b""], [{"a": {1}}]]
)
def test_a_value_that_json_does_not_keep_has_no_text(value: Any) -> None:
    assert value_text(value) is None


def test_an_integer_that_python_does_not_print_has_no_text() -> None:
    assert is_plain(10**5000)
    assert value_text(10**5000) is None
