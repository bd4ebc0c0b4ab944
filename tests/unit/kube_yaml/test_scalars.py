"""The values of the table were verified with sigs.k8s.io/yaml v1.6.0."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.kube_yaml.parser import YamlError
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.kube_yaml.scalars import float64, number_text, resolve_plain, resolve_tagged

TAG = "tag:yaml.org,2002:"

VALUES: list[tuple[str, Any]] = [
    *((word, True) for word in ("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE")),
    *((word, False) for word in ("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE")),
    *((word, None) for word in ("~", "null", "Null", "NULL")),
    *((word, word) for word in ("yEs", "oN", "tRue", "nUll", "nope", "None")),
    ("0", 0),
    ("-0", 0),
    ("+12", 12),
    ("0755", 493),
    ("-0755", -493),
    ("0o755", 493),
    ("0O755", 493),
    ("0x1F", 31),
    ("-0x1f", -31),
    ("0b101", 5),
    ("0b-101", -5),
    ("0b+1_1", 3),
    ("08", 8),
    ("089", 89),
    ("0_8", 8),
    ("1_000", 1000),
    ("1__0", 10),
    ("1_", 1),
    ("_1", "_1"),
    ("1e3", 1000),
    ("1E3", 1000),
    ("1_e3", 1000),
    ("1.5e3", 1500),
    (".5", 0.5),
    ("-.5", -0.5),
    ("5.", 5),
    ("1.10", 1.1),
    (".5_0", 0.5),
    (".5__0", ".5__0"),
    (".5_", ".5_"),
    (".5e1_0", 5e9),
    (".1.2", ".1.2"),
    ("1.2.3", "1.2.3"),
    ("0x", "0x"),
    ("0xg", "0xg"),
    ("0b2", "0b2"),
    ("0B-1", "0B-1"),
    ("-0b-1", "-0b-1"),
    ("0b+" + "1" * 64, "0b+" + "1" * 64),
    ("0o8", "0o8"),
    ("0x1p3", "0x1p3"),
    ("e3", "e3"),
    ("12:30", "12:30"),
    ("12:30:45", "12:30:45"),
    ("2001-01-01", "2001-01-01"),
    ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z"),
    ("1e400", "1e400"),
    ("-1e400", "-1e400"),
    ("1e-400", 0),
    ("inf", "inf"),
    ("NaN", "NaN"),
    (".iNf", ".iNf"),
    ("123456789012345678", 123456789012345680),
    ("18446744073709551615", 18446744073709552000),
    ("18446744073709551616", 18446744073709552000),
    ("0x1FFFFFFFFFFFFFFFF", "0x1FFFFFFFFFFFFFFFF"),
    ("-0xFFFFFFFFFFFFFFFF", "-0xFFFFFFFFFFFFFFFF"),
    ("0o7777777777777777777777777", "0o7777777777777777777777777"),
    ("1" * 401, "1" * 401),
    ("--", "--"),
    ("=", "="),
    ("<<", "<<"),
    ("http://x:80/y?z", "http://x:80/y?z"),
    ('"y"', "y"),
    ("'0755'", "0755"),
    ('"\\u00e9\\x41\\N"', "éA\x85"),
    ("! 1", "1"),
    ("! yes", "yes"),
    ("!!str yes", "yes"),
    ("!!int '5'", 5),
    ("!!float 1", 1),
    ("!!bool 'on'", True),
    ("!!null ''", None),
    ("!!str", ""),
    ("!!binary YQ==", "a"),
    ('!!binary "/w=="', "\N{REPLACEMENT CHARACTER}"),
    ("!!timestamp 2001-01-01", "2001-01-01"),
    ("!!omap x", "x"),
    ("!Ref 1", "1"),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_a_scalar_is_read_as_in_kubernetes(text: str, value: Any) -> None:
    read = read_document(text, "f.yaml")
    assert (read, type(read) is bool) == (value, type(value) is bool)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("y", "true"),
        ("on", "true"),
        ("off", "false"),
        ("N", "false"),
        ("0755", "493"),
        ("1_000", "1000"),
        ("1.0", "1"),
        ("1.10", "1.1"),
        ("1e3", "1000"),
        ("1e6", "1e+06"),
        ("1.23456789", "1.2345679"),
        ("0.00001", "1e-05"),
        ("-0.0", "-0"),
        (".inf", ".inf"),
        ("-.inf", "-.inf"),
        (".nan", ".nan"),
        ("3.5e38", ".inf"),
        ("12:30", "12:30"),
        ("2001-01-01", "2001-01-01"),
        ("'y'", "y"),
        ("!!str 1", "1"),
        ("''", ""),
    ],
)
def test_a_key_is_the_string_of_its_value(key: str, name: str) -> None:
    assert read_document(f"{{{key}: 1}}", "f.yaml") == {name: 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (".inf", "must be finite"),
        ("-.INF", "must be finite"),
        (".nan", "must be finite"),
        ("!!float .inf", "must be finite"),
        ("!!int x", "'x' is not a valid !!int"),
        ("!!int 1.5", "'1.5' is not a valid !!int"),
        ("!!int yes", "'yes' is not a valid !!int"),
        ("!!bool 1", "'1' is not a valid !!bool"),
        ("!!null x", "'x' is not a valid !!null"),
        ("!!float 9223372036854775808", "is not a valid !!float"),
        ("!!float x", "'x' is not a valid !!float"),
        ("!!timestamp x", "'x' is not a valid !!timestamp"),
        ("!!binary x", "!!binary"),
        ("!!binary 'Y Q=='", "!!binary"),
        ("!!binary é", "!!binary"),
    ],
)
def test_a_scalar_that_kubernetes_refuses_is_an_error(text: str, words: str) -> None:
    with pytest.raises(YamlError, match=words):
        read_document(text, "f.yaml")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (5, "5"),
        (-3, "-3"),
        (1000000, "1000000"),
        (2**64 - 1, "18446744073709551615"),
        (2**64, "1.8446744e+19"),
        (0.0, "0"),
        (1.10, "1.1"),
        (100000.0, "100000"),
        (1e6, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5e-7, "-2.5e-07"),
        (1.23456789, "1.2345679"),
        (3.4028234e38, "3.4028235e+38"),
        (1e300, "+Inf"),
        (-1e300, "-Inf"),
        (1e-300, "0"),
    ],
)
def test_a_number_in_a_string_field_is_the_shortest_string_of_its_float32(number: float, text: str) -> None:
    assert number_text(number) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_string_of_a_float32_reads_back_as_itself(number: float) -> None:
    (back,) = struct.unpack("f", struct.pack("f", float(number_text(number))))
    assert back == number


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (5, 5),
        (2**53 + 1, 2**53),
        (123456789012345678, 123456789012345680),
        (1.0, 1),
        (-0.0, -0.0),
        (1e20, 100000000000000000000),
        (1e21, 1e21),
        (0.1, 0.1),
    ],
)
def test_a_number_in_a_template_is_a_float64_written_as_in_go(number: float, value: float) -> None:
    result = float64(number)
    assert (result, type(result)) == (value, type(value))


@given(st.integers(-(2**80), 2**80))
def test_an_integer_becomes_the_nearest_float64(number: int) -> None:
    assert float(float64(number)) == float(number)


@given(st.text())
def test_a_plain_scalar_that_is_not_a_number_is_a_string(text: str) -> None:
    value = resolve_plain(text)
    assert value == text or isinstance(value, (bool, int, float, type(None)))


@given(st.sampled_from(["str", "int", "float", "bool", "null", "binary", "timestamp", "map", "x"]), st.text())
def test_a_tagged_scalar_is_a_value_or_an_error(kind: str, text: str) -> None:
    try:
        json.dumps(resolve_tagged(TAG + kind, text)).encode()
    except ValueError as error:
        assert str(error)
