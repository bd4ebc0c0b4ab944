"""Durations, as Go's `time` package reads and prints them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kubocd_gen.schema.durations import DurationError, format_duration, normal_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("5m", "5m0s"),
        ("60s", "1m0s"),
        ("90s", "1m30s"),
        ("1h", "1h0m0s"),
        ("36h", "36h0m0s"),
        ("1.5s", "1.5s"),
        ("1.5h", "1h30m0s"),
        ("1h30m10s", "1h30m10s"),
        ("30m1h", "1h30m0s"),
        ("100ms", "100ms"),
        ("1500us", "1.5ms"),
        ("1µs", "1µs"),
        ("1μs", "1µs"),
        ("7ns", "7ns"),
        (".5s", "500ms"),
        ("1.s", "1s"),
        ("+2m", "2m0s"),
        ("-2m", "-2m0s"),
        ("0", "0s"),
        ("0s", "0s"),
        ("-0h", "0s"),
        ("0.000000001s", "1ns"),
        ("2562047h47m16.854775807s", "2562047h47m16.854775807s"),
    ],
)
def test_a_duration_is_printed_as_in_go(written: str, printed: str) -> None:
    assert normal_duration(written) == printed


@pytest.mark.parametrize("text", ["", "+", "-", ".", "s", "5", "5x", "5 m", "m5", "1h-30m", ".s", "5m ", "\u0665m"])
def test_a_duration_that_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_a_number_without_a_unit_is_an_error() -> None:
    with pytest.raises(DurationError, match="'30' has no unit") as caught:
        parse_duration("30")
    assert caught.value.hint == "write 30s or 30m"


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("soon", "not 'soon'", "such as 5m or 1h30m"),
        ("1d", "'d' in '1d' is not a unit", "24h for a day"),
        ("1m 30s", "'m ' in '1m 30s' is not a unit", "spaces"),
        ("1H", "'H' in '1H' is not a unit", "h, m, s, ms, us and ns"),
        ("1.5.5s", "'1.5.5s' has no unit", "such as 5m or 1h30m"),
    ],
)
def test_an_invalid_duration_is_an_error_with_the_value_and_a_hint(text: str, problem: str, hint: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(text)
    assert problem in str(caught.value)
    assert hint in caught.value.hint


def test_a_duration_over_292_years_is_refused() -> None:
    with pytest.raises(DurationError, match=r"'2562047h47m16\.854775808s' exceeds") as caught:
        parse_duration("2562047h47m16.854775808s")
    assert "2562047h" in caught.value.hint


def test_a_duration_of_ten_thousand_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        parse_duration("9" * 10_000 + "h")


@given(some.integers(min_value=-(2**63) + 1, max_value=2**63 - 1))
def test_a_printed_duration_reads_back_the_same(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(some.integers(min_value=0, max_value=2**63 - 1))
def test_normalizing_a_duration_twice_changes_nothing(nanoseconds: int) -> None:
    text = format_duration(nanoseconds)
    assert normal_duration(text) == text
