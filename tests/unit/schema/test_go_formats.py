"""Formats as accepted by gojsonschema v1.2 and the Go functions that it calls."""

from __future__ import annotations

import pytest

from kubocd_gen.schema.go_formats import FORMATS, PatternError, compile_pattern
from tests.support.processor import processor_limit

ACCEPTED = {
    "date": ["2024-02-29", "0000-02-29"],
    "time": ["12:30:45", "5:00:00", "12:30:45Z", "12:30:45.123+02:00", "12:30:45,5-24:60"],
    "date-time": ["2024-01-31T12:30:45Z", "2024-01-31T12:30:45.5+02:00", "2024-01-31", "12:30:45"],
    "email": [
        "a@b",
        "a@b.c",
        "Ann Bee <ann@example.com>",
        '"a b"@c',
        "ü@example.com",
        "a.b+c@d",
        "a@b (c (d))",
        "a@b(\\()",
        "A (x) <a@b>",
        "<a@b> (c)",
        "a@[1.2.3.4]",
        "a@[::1]",
        '"x"<a@b>',
    ],
    "hostname": ["a", "a.b", "A-1.example.com", f"{'a' * 63}.b"],
    "ipv4": ["1.2.3.4", "::ffff:1.2.3.4"],
    "ipv6": ["::1", "2001:db8::1", "::ffff:1.2.3.4"],
    "uri": [
        "http://a",
        "mailto:a@b",
        "a:",
        "http://[::1]:80/x?y#z",
        "http://u:p@h/a b",
        "urn:x:%zz",
        "http://a#\n",
        "http://[fe80::1%25en0]/",
        "http://[::ffff:1.2.3.4]/",
    ],
    "uri-reference": ["", "/a", "a/b:c", "//host/x", "?q", "#f", "a b"],
    "uri-template": ["/a/{b}", "http://h/{x}{y}", "}"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000"],
    "regex": ["", "a+", r"\pL", r"\\C", r"\Q\C\E", r"\Q\C", r"\pL{1000}"],
    "json-pointer": ["", "/a/~0/~1", "/"],
    "relative-json-pointer": ["0", "1/a", "0#"],
}
REFUSED = {
    "date": ["2023-02-29", "2024-13-01", "2024-1-01", "2024-01-01 ", "2024-01-01\n"],
    "time": ["24:00:00", "12:60:00", "12:30", "12:30:60", "12:30:45+25:00"],
    "date-time": ["2024-01-31 12:30:45Z", "2024-02-30T12:30:45Z", "2024-01-31T12:30:45"],
    "email": [
        "bad",
        "a@",
        "@b",
        "a b@c",
        ".a@b",
        "a..b@c",
        "a@b.",
        "a@b, c@d",
        "a@[x]",
        "a@[]",
        "a@b (",
        "a@b ()(",
        "a@b )",
        "(c)a@b",
        '""@b',
        '"\x01"@b',
        "a@b (c) d",
    ],
    "hostname": ["", "a_b", "-a", "a-", "a..b", "a.", "a" * 64, ".".join(["abc"] * 65)],
    "ipv4": ["1.2.3", "1.2.3.04", "::1", "1.2.3.4.5"],
    "ipv6": ["1.2.3.4", "fe80::1%eth0", ":::", "g::1"],
    "uri": [
        "::",
        "/a",
        "a b",
        "",
        "http://a\\b",
        "http://a b",
        "http://a:x",
        "http://%zz",
        "http://a/%zz",
        "a\x01:b",
        "http://[1.2.3.4]/",
        "http://[::g]/",
        "http://[::1",
        "http://x[::1]",
        "http://[fe80::1%25]/",
    ],
    "uri-reference": [":a", "a:b:%zz\x7f", "1:b", "%zz", "a\\b"],
    "uri-template": ["/a/{b", "\\"],
    "uuid": ["123E4567-e89b-12d3-a456-426614174000", "x"],
    "regex": ["(", "(?=a)", r"\C", r"\\\C", r"\Qa\E\C"],
    "json-pointer": ["a", "/~2", "/~"],
    "relative-json-pointer": ["01", "-1", "a", "1#a"],
}
ALIASES = {"idn-email": "email", "iri": "uri", "iri-reference": "uri-reference"}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in ACCEPTED.items() for text in texts])
def test_a_format_accepts_what_go_accepts(name: str, text: str) -> None:
    assert FORMATS[name](text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in REFUSED.items() for text in texts])
def test_a_format_refuses_what_go_refuses(name: str, text: str) -> None:
    assert not FORMATS[name](text)


def test_every_known_format_is_tested() -> None:
    assert set(FORMATS) == set(ACCEPTED) | set(ALIASES) == set(REFUSED) | set(ALIASES)
    assert all(FORMATS[alias] is FORMATS[name] for alias, name in ALIASES.items())


def test_matching_a_pattern_takes_linear_time() -> None:
    assert compile_pattern("^(a+)+$").search("a" * 100_000 + "b") is None


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize(
    "text", ["a" * 900, "{" * 50_000, "/~0" * 20_000 + "~", "a." * 400, '"' * 900, "0" * 900, "%41" * 20_000]
)
def test_checking_a_format_takes_limited_time(name: str, text: str) -> None:
    with processor_limit(10):  # takes some milliseconds; a backtracking pattern would take years
        FORMATS[name](text)


def test_an_invalid_pattern_is_an_error_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PatternError, match="missing"):
        compile_pattern("(")
    assert capfd.readouterr() == ("", "")
