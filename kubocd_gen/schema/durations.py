"""Parse and format durations like Go's `time` package, whose form Kubernetes stores."""

from __future__ import annotations

import functools
import re

from kubocd_gen.diagnostics.wording import quoted

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?P<unit>[^0-9.]*)")
_MOST = 2**63 - 1  # an int64 of nanoseconds, about 292 years
_DIGITS = len(str(_MOST))
_KEPT = 32  # characters of a duration whose form is kept, because most Releases have the same few


class DurationError(ValueError):
    """An error in a duration. The message is a predicate that follows the path of the value."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


def parse_duration(text: str) -> int:
    """Return the nanoseconds of a Go duration such as `1h30m`, `1.5s` or `-2m`, by the rules of `time.ParseDuration`.

    Raises DurationError.
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise _malformed(text)
    total = 0
    at = 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None or not (part["whole"] or part["fraction"]):
            raise _malformed(text)
        if not part["unit"]:
            whole = len(text) < _DIGITS and part.end() == len(rest)
            hint = f"write {text}s or {text}m" if whole else _EXAMPLE
            raise DurationError(f"must be a duration, but {quoted(text)} has no unit", hint)
        if part["unit"] not in _NANOSECONDS:
            raise DurationError(
                f"must be a duration, but {quoted(part['unit'])} in {quoted(text)} is not a unit",
                _unit_hint(part["unit"]),
            )
        if len(part["whole"].lstrip("0")) > _DIGITS:
            raise _too_long(text)
        unit = _NANOSECONDS[part["unit"]]
        fraction = part["fraction"] or ""
        # Go scales the fraction as a float64, which keeps fewer than 18 digits.
        total += int(part["whole"] or 0) * unit + (
            int(fraction[:18]) * unit // 10 ** len(fraction[:18]) if fraction else 0
        )
        if total > _MOST:
            raise _too_long(text)
        at = part.end()
    return -total if text[0] == "-" else total


_EXAMPLE = "use a duration such as 5m or 1h30m"


def _malformed(text: str) -> DurationError:
    return DurationError(f"must be a duration, not {quoted(text)}", _EXAMPLE)


def _unit_hint(unit: str) -> str:
    if " " in unit:
        return "remove the spaces, as in 1h30m"
    if unit in ("d", "D", "w", "W"):
        return "use hours, such as 24h for a day"
    return "use one of the units h, m, s, ms, us and ns"


def _too_long(text: str) -> DurationError:
    message = f"must be a duration, but {quoted(text)} exceeds the maximum of Kubernetes"
    return DurationError(message, "use at most 2562047h")


def format_duration(nanoseconds: int) -> str:
    """Format a duration like `time.Duration.String`: `2m0s`, `1.5s`, `1h0m0s`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if left < 1_000:
        return f"{sign}{left}ns"
    if left < 1_000_000:
        return f"{sign}{_decimal(left, 1_000)}µs"
    if left < 1_000_000_000:
        return f"{sign}{_decimal(left, 1_000_000)}ms"
    minutes, rest = divmod(left, _NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, 1_000_000_000)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def normal_duration(text: str) -> str:
    """Return a duration in the form in which Go prints it. Raises DurationError like `parse_duration`."""
    return _normal(text) if len(text) <= _KEPT else format_duration(parse_duration(text))


@functools.lru_cache(maxsize=1024)
def _normal(text: str) -> str:
    return format_duration(parse_duration(text))


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = len(str(unit)) - 1
    fraction = f"{rest:0{digits}d}".rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)
