from __future__ import annotations

import pytest

from kubocd_gen.diagnostics.problems import shown


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("podinfo", "'podinfo'"),
        ("", "''"),
        ("Zoë 🙂", "'Zoë 🙂'"),
        ("a\tb\r\n\0", r"'a\tb\r\n\x00'"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("\u202eevil\u2066", r"'\u202eevil\u2066'"),
        ("\udcff", r"'\udcff'"),
        ("\U000e0001", r"'\U000e0001'"),
        ("a" * 201, "'" + "a" * 200 + "…'"),
    ],
)
def test_strings_are_quoted_and_control_characters_are_escaped(text: str, quoted: str) -> None:
    assert shown(text) == quoted
