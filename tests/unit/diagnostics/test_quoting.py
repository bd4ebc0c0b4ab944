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
def test_text_is_quoted_and_what_a_terminal_would_obey_is_escaped(text: str, quoted: str) -> None:
    assert shown(text) == quoted
