"""Resolve YAML scalars like sigs.k8s.io/yaml, and print numbers like Go's float64.

The rules are those of the library's YAML 1.1 reader and of JSON, to which Kubernetes converts all YAML: templates and
charts get every number as a float64.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from decimal import Decimal
from typing import Any

from kubocd_gen.diagnostics.wording import quoted

WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
"""Plain scalars that are not strings and not numbers with digits."""

_INFINITE = {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}  # as keys, with all numbers outside the range of float32
_INTEGER = re.compile(
    r"[-+]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
    r"|0b(?P<signed>[-+][01]+)"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# Go reads a number that starts with a dot like a Go literal, in which '_' is allowed only between digits.
_FRACTION = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
NODE_TEXT = 64
"""Characters of a scalar that count as one more node, because aliases of long strings cost more memory."""

_TAG = "tag:yaml.org,2002:"
_TYPES: dict[str, type | None] = {"bool": bool, "int": int, "float": float, "null": type(None), "timestamp": None}
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d?-\d\d?(?:[Tt]\d\d?:\d\d?:\d\d?(?:\.\d+)?(?:Z|[-+]\d\d:\d\d)| \d\d?:\d\d?:\d\d?(?:\.\d+)?)?", re.ASCII
)
_LONE_BYTE = re.compile("[\udc80-\udcff]")
# A longer number is a string in Go (out of float64's range) or meaningless. Python raises above 4,300 digits.
_MOST_DIGITS = 400


def resolve_plain(text: str) -> Any:
    """Return the value of a plain (unquoted, untagged) scalar: str, int, float, bool or None.

    An integer of up to 64 bits is exact; a longer one is a float if it is decimal, otherwise a string.
    """
    if text in WORDS:
        return WORDS[text]
    if text[0] not in "0123456789+-." or len(text) > _MOST_DIGITS:
        return text
    if text[0] == ".":
        return _as_float(text, text) if _FRACTION.fullmatch(text) else text
    digits = text.replace("_", "")
    integer = _INTEGER.fullmatch(digits)
    if integer:
        signed = digits[0] in "+-" or integer.lastgroup == "signed"
        base = {"hex": 16, "bin": 2, "signed": 2, "oct": 8, "dec": 10}[integer.lastgroup or "dec"]
        value = int(integer[integer.lastindex or 0], base) * (-1 if digits[0] == "-" else 1)
        if -(2**63) <= value < (2**63 if signed else 2**64):
            return value
    return _as_float(digits, text) if _FLOAT.fullmatch(digits) else text


def _as_float(digits: str, text: str) -> float | str:
    number = float(digits)
    return text if math.isinf(number) else number  # Go's ParseFloat fails on overflow


def resolve_tagged(tag: str, text: str) -> Any:
    """Return the value of a scalar with an explicit tag. Raises ValueError if the text does not match the tag."""
    kind = tag.removeprefix(_TAG)
    if kind == "binary":
        return _decoded(text)
    if kind == "timestamp" and _TIMESTAMP.fullmatch(text):
        return text  # unchanged
    if kind == tag or kind not in _TYPES:
        return text  # Kubernetes ignores unknown tags and the bare '!'
    value = resolve_plain(text)
    if kind == "float" and type(value) is int and value < 2**63:
        return float(value)
    if type(value) is not _TYPES[kind]:
        raise ValueError(f"{quoted(text)} is not a valid !!{kind}")
    return value


def _decoded(text: str) -> str:
    try:
        data = base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except ValueError as error:  # not ASCII, or binascii.Error
        raise ValueError("the value of !!binary is not valid base64") from error
    # JSON cannot contain bytes that are not UTF-8: Go writes U+FFFD for each of them.
    return _LONE_BYTE.sub("\N{REPLACEMENT CHARACTER}", data.decode("utf-8", "surrogateescape"))


def key_text(value: Any) -> str | None:
    """Return a scalar as the key of a map: a number or boolean as in JSON; None for null, which cannot be a key."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str):
        return value
    text = number_text(value)
    return _INFINITE.get(text, text)


def float64(number: float) -> int | float:
    """Return `number` after conversion to Go's float64 and JSON; an int if JSON prints it without an exponent.

    >>> float64(1.0), float64(123456789012345678), float64(1e21)
    (1, 123456789012345680, 1e+21)
    """
    if isinstance(number, int) and -(2**53) <= number <= 2**53:
        return number
    real = float(number)
    if real.is_integer() and abs(real) < 1e21 and (real != 0 or math.copysign(1, real) > 0):
        # The shortest decimal that reads back as the same float64, like Go and JavaScript.
        return int(_shortest(real))
    return real


def _shortest(real: float) -> str:
    digits, _, exponent = repr(real).partition("e")
    if exponent:
        whole, _, fraction = digits.partition(".")
        return whole + fraction.ljust(int(exponent), "0")
    return digits.partition(".")[0]


def number_text(number: float) -> str:
    """Return the string into which sigs.k8s.io/yaml converts a number in a field of type string.

    That is Go's `FormatFloat(number, 'g', -1, 32)`: the shortest decimal that reads back as the same float32. An
    integer of up to 64 bits keeps all digits.

    >>> number_text(1.10), number_text(1000.0), number_text(1e6), number_text(5), number_text(1.23456789)
    ('1.1', '1000', '1e+06', '5', '1.2345679')
    """
    if isinstance(number, int) and -(2**63) <= number < 2**64:
        return str(number)
    single = math.copysign(_float32(abs(number)), number)
    if not math.isfinite(single):
        return "NaN" if math.isnan(single) else "+Inf" if single > 0 else "-Inf"
    shortest = next(
        text for text in (f"{single:.{digits}g}" for digits in range(1, 10)) if _float32(float(text)) == single
    )
    sign, digits, exponent = Decimal(shortest).normalize().as_tuple()
    assert isinstance(exponent, int)
    magnitude = len(digits) + exponent - 1 if any(digits) else 0
    if -4 <= magnitude < 6:
        return format(Decimal(shortest).normalize(), "f")
    text = "".join(map(str, digits))
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' if sign else ''}{text[0]}{fraction}e{'-' if magnitude < 0 else '+'}{abs(magnitude):02d}"


def _float32(number: float) -> float:
    try:
        (single,) = struct.unpack("f", struct.pack("f", number))
    except OverflowError:
        return math.inf
    return float(single)
