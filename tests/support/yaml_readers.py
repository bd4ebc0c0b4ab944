"""Strict YAML readers with the rules of those in the cluster, written independently of the emitter.

`go_v2` is what sigs.k8s.io/yaml reads (goyaml v2: YAML 1.1 as in its `resolve.go`), `go_v3` is yaml.v3 and kustomize's
kyaml, `core` is the core schema of YAML 1.2.2 (10.3.2), and `one_one` has the types of yaml.org for 1.1. They share
libyaml's grammar, of which goyaml is a port, and reject duplicate keys, merges and keys that are not strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

Resolver = Callable[[str], Any]

_GO_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_GO_DATES = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"([Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}([.,][0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})?)?"
)
_GO_V3_WORDS: dict[str, Any] = {
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], float("inf")),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], float("-inf")),
    "<<": ValueError("merge"),
}
_GO_V2_WORDS: dict[str, Any] = {
    **_GO_V3_WORDS,
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "off", "Off", "OFF"], False),
}


def go_v2(text: str) -> Any:
    return _go(text, _GO_V2_WORDS, {"0b": 2})


def go_v3(text: str) -> Any:
    return _go(text, _GO_V3_WORDS, {"0b": 2, "0o": 8})


def core(text: str) -> Any:
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"0o[0-7]+|0x[0-9a-fA-F]+", text):
        return int(text, 0)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", text):
        return float(text.replace(".inf", "inf")) if text[-1].isdigit() or text[-1] == "." else float("nan")
    return text


def one_one(text: str) -> Any:
    """The regular expressions of yaml.org/type; a value that is a string in Go can be a number or a date here."""
    if re.fullmatch(r"~|null|Null|NULL|", text):
        return None
    if re.fullmatch(r"y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE", text):
        return True
    if re.fullmatch(r"n|N|no|No|NO|off|Off|OFF|false|False|FALSE", text):
        return False
    if re.fullmatch(r"[-+]?(0|[1-9][0-9_]*)", text):
        return int(text.replace("_", ""))
    if re.fullmatch(r"[-+]?(0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*(:[0-5]?[0-9])+)", text):
        return ValueError("an integer in another base")
    if re.fullmatch(r"[-+]?([0-9][0-9_]*)?\.[0-9]*([eE][-+][0-9]+)?", text) and re.search("[0-9]", text):
        if not re.search("[0-9]", re.split("[eE]", text)[0]):
            return ValueError("a number without digits, to the letter of the specification")
        return float(text.replace("_", ""))
    if re.fullmatch(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", text):
        return ValueError("base 60, or not finite")
    if re.fullmatch(r"<<|=", text):
        return ValueError("merge or value key")
    if re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}"
        r"(\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?",
        text,
    ):
        return ValueError("timestamp")
    return text


READERS: dict[str, Resolver] = {"go v2": go_v2, "go v3": go_v3, "1.2 core": core, "1.1": one_one}


def read(text: str, resolve: Resolver, loader: Any = yaml.CSafeLoader) -> list[Any]:
    """Return the documents of `text` as plain values."""
    return [_value(node, resolve) for node in yaml.compose_all(text, Loader=loader)]


def _value(node: Any, resolve: Resolver) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.style else resolve(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, resolve) for item in node.value]
    pairs = [(_value(key, resolve), _value(value, resolve)) for key, value in node.value]
    assert all(isinstance(key, str) for key, _ in pairs), pairs
    assert len(dict(pairs)) == len(pairs), "duplicate keys"
    return dict(pairs)


def _go(text: str, words: dict[str, Any], prefixes: dict[str, int]) -> Any:
    if text in words:
        return words[text]
    if text.startswith("."):
        return float(text) if _GO_FLOAT.fullmatch(text) else text
    if text[0] not in "0123456789+-":
        return text
    if _GO_DATES.fullmatch(text):
        return ValueError("timestamp")
    plain = text.replace("_", "")
    found = _parse_int(plain)
    if found is not None:
        return found
    if _GO_FLOAT.fullmatch(plain):
        number = float(plain)
        return text if number in (float("inf"), float("-inf")) else number
    for prefix, base in prefixes.items():
        digits = plain.removeprefix("-").removeprefix(prefix)
        if plain.removeprefix("-").startswith(prefix) and re.fullmatch(r"[-+]?[0-7]+", digits):
            try:
                return int(digits, base)
            except ValueError:
                continue
    return text


def _parse_int(text: str) -> int | None:
    """Parse like Go's ParseInt and ParseUint with base 0, for 64 bits."""
    match = re.fullmatch(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))", text)
    if not match:
        return None
    sign, *digits = match.groups()
    value = next(int(found, base) for found, base in zip(digits, (16, 2, 8, 10), strict=True) if found)
    value = -value if sign == "-" else value
    return value if -(2**63) <= value < 2**64 and not (sign == "+" and value >= 2**63) else None
