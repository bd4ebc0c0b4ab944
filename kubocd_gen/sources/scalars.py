"""YAML scalars as sigs.k8s.io/yaml resolves them, and numbers as Go's float64 prints them.

The rules are those of the library's YAML 1.1 reader, with Kubernetes' JSON in between: what a template or a
chart sees of a number is a float64, whatever was written.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from decimal import Decimal
from typing import Any

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(
    r"[-+]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TAG = "tag:yaml.org,2002:"
# A longer number is a string in Go too (it is out of float64's range) or of no use; Python refuses over 4,300 digits.
_MOST_DIGITS = 400


def resolve_plain(text: str) -> Any:
    """The value of a plain (unquoted, untagged) scalar: str, int, float, bool or None. Integers stay exact."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789+-." or len(text) > _MOST_DIGITS:
        return text
    if text[0] == ".":
        return _as_float(text, text) if _FLOAT.fullmatch(text) else text
    digits = text.replace("_", "")
    integer = _INTEGER.fullmatch(digits)
    if integer:
        base = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}[integer.lastgroup or "dec"]
        value = int(integer[integer.lastindex or 0], base)
        return -value if digits[0] == "-" else value
    return _as_float(digits, text) if _FLOAT.fullmatch(digits) else text


def _as_float(digits: str, text: str) -> float | str:
    number = float(digits)
    return text if math.isinf(number) else number  # Go's ParseFloat refuses what overflows


def resolve_tagged(tag: str, text: str) -> Any:
    """The value of a scalar with an explicit tag. Raises ValueError where the text does not fit the tag."""
    kind = tag.removeprefix(_TAG)
    if kind == tag or kind in ("str", "timestamp"):
        return text  # a tag of somebody else's says nothing to Kubernetes
    if kind == "binary":
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode("utf-8", "surrogateescape")
        except binascii.Error as error:
            raise ValueError("!!binary is not base64") from error
    value = resolve_plain(text)
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    fits = {"bool": bool, "int": int, "float": float, "null": type(None)}.get(kind)
    if fits is None:
        return text
    if not isinstance(value, fits) or (kind == "int" and isinstance(value, bool)):
        raise ValueError(f"'{text}' is not a !!{kind}")
    return value


def float64(number: float) -> int | float:
    """`number` as it is after a walk through Go's float64: an int where JSON prints one without an exponent.

    >>> float64(1.0), float64(123456789012345678), float64(1e21)
    (1, 123456789012345680, 1e+21)
    """
    if isinstance(number, int) and -(2**53) <= number <= 2**53:
        return number
    real = float(number)
    if real.is_integer() and abs(real) < 1e21 and (real != 0 or math.copysign(1, real) > 0):
        # The shortest decimal that reads back as this float64, as Go and JavaScript print it.
        return int(_shortest(real))
    return real


def _shortest(real: float) -> str:
    digits, _, exponent = repr(real).partition("e")
    if exponent:
        whole, _, fraction = digits.partition(".")
        return whole + fraction.ljust(int(exponent), "0")
    return digits.partition(".")[0]


def number_text(number: float) -> str:
    """A number where a string is wanted (a key, or a string field of a manifest), as Go's `FormatFloat(…, 'g', -1)`.

    >>> number_text(1.10), number_text(1000.0), number_text(1e6), number_text(5)
    ('1.1', '1000', '1e+06', '5')
    """
    if isinstance(number, int) and -(2**63) <= number < 2**64:
        return str(number)
    sign, digits, exponent = Decimal(repr(float(number))).normalize().as_tuple()
    assert isinstance(exponent, int)
    magnitude = len(digits) + exponent - 1 if any(digits) else 0
    if -4 <= magnitude < 6:
        return format(Decimal(repr(float(number))).normalize(), "f")
    text = "".join(map(str, digits))
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' if sign else ''}{text[0]}{fraction}e{'-' if magnitude < 0 else '+'}{abs(magnitude):02d}"
