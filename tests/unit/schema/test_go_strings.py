"""String functions of Go."""

from __future__ import annotations

import sys

import pytest

from kubocd_gen.schema.go_strings import has_invalid_utf8, trim_space, valid_utf8


def test_only_the_separators_of_ascii_are_white_space_for_python_but_not_for_go() -> None:
    differing = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).strip() != trim_space(chr(code))]
    assert differing == ["\x1c", "\x1d", "\x1e", "\x1f"]


def test_white_space_inside_of_a_string_stays() -> None:
    assert trim_space("\n a b\t") == "a b"


@pytest.mark.parametrize("data", [b"\xc3", b"\xf0\x9f", b"\xed\xa0\x80", b"\xff\xc0\x80"])
def test_each_byte_that_is_not_utf8_becomes_one_replacement_character(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert has_invalid_utf8(text)
    assert valid_utf8(f"é{text}") == "é" + "\ufffd" * len(data)
    assert not has_invalid_utf8("é\ufffd")
