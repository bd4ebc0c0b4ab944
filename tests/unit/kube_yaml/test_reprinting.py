"""What Go's YAML library changes in trees; `tests/unit/helm/test_reprinting.py` compares the rules with helm."""

from __future__ import annotations

from typing import Any

import pytest

from kubocd_gen.kube_yaml.reprinting import LONGEST_KEY, UnreadableError, reprinted, reread


def error_of(value: Any) -> UnreadableError:
    with pytest.raises(UnreadableError) as found:
        reread(value)
    assert found.value.hint
    return found.value


@pytest.mark.parametrize("value", [None, 1, -1.5, 1e21, "x", "\u2028", "\xa0\ufeff", [], {"a": [{"b": "<"}]}])
def test_most_trees_do_not_change(value: Any) -> None:
    assert reread(value) is value
    assert reprinted(value, strict=True) is value


@pytest.mark.parametrize("character", ["\x7f", "\x80", "\x84", "\x86", "\x9f", "\ufffe", "\uffff"])
def test_a_character_that_yaml_does_not_allow_is_an_error_at_its_path(character: str) -> None:
    assert error_of({"a": ["x", {"b": f"It{character}s"}]}).path == ("a", 1, "b")
    assert error_of({"a": [{f"It{character}s": 1}]}).path == ("a", 0, f"It{character}s")
    assert error_of(character).path == ()


def test_a_control_character_is_named() -> None:
    assert "contains the control character U+0092" in str(error_of({"a": "It\x92s"}))
    assert "contains the character U+FFFE" in str(error_of({"a": "\ufffe"}))
    assert "has a key with the control character U+007F" in str(error_of({"\x7f": 1}))


@pytest.mark.parametrize("key", ["k" * LONGEST_KEY, "é" * LONGEST_KEY, '"' * (LONGEST_KEY // 2), "<" * 170])
def test_the_longest_key_has_1022_characters_in_json(key: str) -> None:
    tree = {"a": [{key: 1}]}
    assert reread(tree) == tree
    longer = error_of({"a": [{f"{key}{key[0] * 2}": 1}]})
    assert longer.path == ("a", 0, f"{key}{key[0] * 2}")


def test_a_string_can_be_longer_than_a_key() -> None:
    tree = {"a": "x" * 5000, "b": ["y" * 5000], "c": "<<"}
    assert reread(tree) == tree
    assert reprinted(tree, strict=True) == tree


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("one\x85two", "one two"),
        ("one\x85\x85two", "one\ntwo"),
        ("one \x85 \x85 \x85  two", "one\n\ntwo"),
        ("\x85one\x85", " one "),
        ("one\t\x85two", "one\t two"),
        ("x\x85---", "x ---"),
        ("x\x85 --- y", "x --- y"),
    ],
)
def test_the_line_break_u0085_is_folded(text: str, read: str) -> None:
    assert reread({"a": text}) == {"a": read}
    assert reprinted([text], strict=True) == [read]


@pytest.mark.parametrize("text", ["x\x85--- y", "x\x85...\x85"])
def test_a_marker_of_a_document_after_u0085_is_an_error(text: str) -> None:
    assert error_of({"a": text}).path == ("a",)


def test_u0085_in_a_key_is_an_error() -> None:
    assert error_of({"a": {"b\x85": 1}}).path == ("a", "b\x85")


def test_minus_zero_loses_its_sign() -> None:
    assert repr(reread([-0.0, 0.0, -0.01])) == "[0, 0.0, -0.01]"


def test_a_quoted_merge_key_stays_in_json_and_is_merged_in_yaml() -> None:
    tree = {"a": [{"<<": {"x": 1, "<<": {"z": 3}}, "y": 2}]}
    assert reread(tree) == tree
    assert reprinted(tree, strict=True) == {"a": [{"x": 1, "y": 2, "z": 3}]}
    assert reprinted({"<<": [{"x": 1}, {"y": 2}]}, strict=True) == {"x": 1, "y": 2}
    assert reprinted({"a": 1, "<<": []}, strict=True) == {"a": 1}


def test_a_later_key_and_the_first_map_of_a_list_win_in_a_merge_that_is_not_strict() -> None:
    assert reprinted({"<<": {"x": 1}, "x": 2}, strict=False) == {"x": 2}
    assert reprinted({"<<": [{"x": 1}, {"x": 2}]}, strict=False) == {"x": 1}
    # Go prints '!' before '<<', and '0' after it.
    assert reprinted({"<<": {"!": 1}, "!": 2}, strict=False) == {"!": 1}
    assert reprinted({"<<": {"0": 1}, "0": 2}, strict=False) == {"0": 2}
    assert reprinted({"<<": {"<": 1, "<<<": 1}, "<": 2, "<<<": 2}, strict=False) == {"<": 1, "<<<": 2}


@pytest.mark.parametrize("tree", [{"<<": {"x": 1}, "x": 2}, {"<<": [{"x": 1}, {"x": 2}]}, {"<<": {"!": 1}, "!": 2}])
def test_a_strict_merge_must_not_define_a_key_twice(tree: Any) -> None:
    with pytest.raises(UnreadableError) as found:
        reprinted({"a": tree}, strict=True)
    assert found.value.path == ("a", "<<")
    assert "twice" in str(found.value)


@pytest.mark.parametrize("value", [5, None, "x", [1], [{"x": 1}, None]])
def test_only_maps_can_be_merged(value: Any) -> None:
    with pytest.raises(UnreadableError) as found:
        reprinted({"a": {"<<": value}}, strict=False)
    assert found.value.path == ("a", "<<")
