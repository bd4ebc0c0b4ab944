"""Properties of any string: reading and locating succeed or fail with a reason, in limited time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.kube_yaml.locations import find_in_text, find_position
from kubocd_gen.kube_yaml.reader import read_document, read_documents
from kubocd_gen.kube_yaml.scalars import float64
from tests.support.processor import processor_limit

FRAGMENTS = [
    *("a", "b: ", "- ", "? ", ": ", "\n", "\n  ", "\n    ", " ", "\t", "#c", " #c", "---\n", "...\n", "\r\n", "\r"),
    *("[", "]", "{", "}", ", ", "'", '"', "|\n  ", ">-\n  ", "&a ", "*a", "<<: ", "*a : ", "!!str ", "! ", "!x ", "%"),
    *("1", "0x1f", "1e3", "1e400", ".inf", "~", "yes", "\\/", "\\", "\ufeff", "\x00", "\x85", "\u2028", "é", "😀", "@"),
    *("%YAML 1.2\n", "%TAG ! x:\n", "a: &a {b: 1}\n", "c: {<<: *a}\n", "<<: [*a, *a]\n", "- &a [*a]\n", "2001-01-01"),
]
yaml_like = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)
texts = st.one_of(yaml_like, st.text(max_size=60), st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
keys = st.lists(st.one_of(st.integers(-2, 3), st.sampled_from(["a", "A", "b", "true", "<<", ""])), max_size=4)


def normalized(value: Any) -> Any:
    """Return JSON values with numbers converted to float64."""
    if isinstance(value, dict):
        return {key: normalized(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normalized(item) for item in value]
    return float64(value) if type(value) in (int, float) else value


@given(texts, st.booleans())
def test_any_string_is_read_or_refused_in_limited_time(text: str, exact: bool) -> None:
    with processor_limit(10):
        try:
            for document in read_documents(text, "f.yaml", exact_integers=exact):
                json.dumps(document.value, allow_nan=False)
                for problem in (document.error, *(fault.error for fault in document.faults)):
                    assert problem is None or problem.problem.position is not None
        except ProblemsError as error:
            assert error.problem.position is not None
            assert error.problem.message


@given(texts, st.integers(0, 3), keys, st.none() | st.integers(1, 3))
def test_a_position_is_found_in_any_string(text: str, document: int, way: list[str | int], line: int | None) -> None:
    for position in (
        find_position(text, "f.yaml", document, way),
        find_in_text(text, "f.yaml", document, way, line, line),
    ):
        assert isinstance(position, Position)
        assert position.path == "f.yaml"


@given(json_values, st.sampled_from([None, 2]), st.booleans())
def test_json_is_read_with_float64_numbers(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    control = any(
        ord(char) in (*range(0x7F, 0xA0), 0xFFFE, 0xFFFF, 0xFEFF) for char in text
    )  # valid in JSON but not in YAML
    surrogates = ascii_only and "\\ud" in text  # \u escapes of YAML are not UTF-16
    if control or surrogates or may_have_a_long_key(text) or overflows(value):
        return
    (document,) = read_documents(text, "f.json")
    assert document.error is None
    assert document.value == normalized(value)


def may_have_a_long_key(text: str) -> bool:
    """Whether a key of the JSON document, with escapes, can exceed the 1024 characters of a YAML key."""
    return any(len(part) > 1000 for part in text.split(":")[:-1])


def overflows(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(overflows, value.values()))
    if isinstance(value, list):
        return any(map(overflows, value))
    return type(value) is int and abs(value) > 10**300


@given(json_values)
def test_every_value_of_a_json_document_is_located(value: Any) -> None:
    text = json.dumps(value, indent=1)
    if "\\ud" in text or may_have_a_long_key(text):
        return
    lines = text.split("\n")

    def check(one: Any, way: tuple[str | int, ...]) -> None:
        entries = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        for key, item in entries:
            position = find_position(text, "f.json", 0, (*way, key))
            assert position.line is not None
            assert position.column is not None
            written = json.dumps(key) if isinstance(key, str) else json.dumps(item, indent=1).split("\n")[0]
            assert lines[position.line - 1][position.column - 1 :].startswith(written)
            check(item, (*way, key))

    check(value, ())


@pytest.mark.parametrize("exact", [False, True])
def test_values_at_the_limits_of_go_do_not_crash(exact: bool) -> None:
    assert read_document("a: " + "9" * 10_000, "f.yaml", exact_integers=exact) == {"a": "9" * 10_000}
