"""Emit Kubernetes resources as YAML: block style, indented like the output of kubectl and flux.

Scalars are quoted so that every reader between Git and the cluster reads the same value. The readers are
sigs.k8s.io/yaml (goyaml v2, YAML 1.1), yaml.v3 and kustomize's kyaml (mostly YAML 1.2), all in Go. A string is quoted
if one of them, or a strict reader of either specification, would read another value.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from kubocd_gen.diagnostics.problems import ProblemsError

# A reader needs the ':' of a key on the same line and within 1024 characters (YAML 1.2, 7.4.2).
_LONGEST_SIMPLE_KEY = 1000

# Booleans, nulls, infinities, the merge key and the value key of YAML 1.1. Matched in lowercase: this also quotes some
# spellings that no reader resolves ("nO"), but is easier to compare with the readers' tables.
_RESERVED = frozenset(
    ["", "~", "null", "true", "false", "y", "n", "yes", "no", "on", "off", "<<", "="]
    + [sign + name for sign in ("", "+", "-") for name in (".inf", ".nan")]
)

# Without underscores, which goyaml removes before it parses a number: decimal and octal integers, floats, 0x, 0o, 0b,
# and the base-60 numbers of YAML 1.1.
_NUMBER = re.compile(
    r"[-+]?(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]*+)(?:[eE][-+]?[0-9]*+)?|0[xXoObB][-+]?[0-9a-fA-F]*+|[0-9]++(?::[0-9]++)++(?:\.[0-9]*+)?)"
)
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?")

# Characters that must be escaped: those that readers reject or treat as a line break, and bidirectional overrides, with
# which a line looks different in review.
_HIDDEN = r"[^\t\n\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
_HIDDEN_ASCII = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_KNOWN_CHARACTERS = 10_000  # whose escapes are cached

_ITEM_OR_MARK = ("- ", "---", "...")  # the start of a list item, and the markers of documents
_INDICATORS = tuple(" ?:,[]{}#&*!|>'\"%@`")

# Far deeper than any resource, and far from Python's recursion limit (one call a level).
_DEEPEST = 200
# Most documents have the same keys and many of the same strings. Escaped, such a key is not longer than a simple key.
_LONGEST_CACHED = 99
_MOST_CACHED = 2048
_COLLECTIONS = (dict, list, tuple, Mapping)  # a dict is found faster than by its abstract class


def emit_documents(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return a YAML stream with a line `---` before each document and a line break at its end; "" for no documents.

    Values are JSON-like: mappings with string keys, lists or tuples, str, int, float, bool, None. Go's YAML 1.1 and 1.2
    readers read the same values back. Keys keep their order. Lines are never folded, and multi-line strings are literal
    blocks if possible.

    Raises ProblemsError `not-unicode`, `not-finite` or `too-deep`, with the name of the document, for a value that YAML
    or one of its readers cannot represent.
    """
    out: list[str] = []
    for document in documents:
        out.append("---\n")
        try:
            _node(document, "", out)
        except ProblemsError as error:
            message = f"{_title(document)}: {error.problem.message}"
            raise ProblemsError(replace(error.problem, message=message)) from None
    return "".join(out)


def _node(value: Any, indent: str, out: list[str]) -> None:
    """Emit `value` up to its last line break. The cursor is in the column after `indent`."""
    if not value or isinstance(value, str) or not isinstance(value, _COLLECTIONS):
        out.append(_leaf(value, indent))
    elif len(indent) > 2 * _DEEPEST:
        raise ProblemsError.of("too-deep", f"a value is nested more than {_DEEPEST} levels deep")
    elif type(value) is dict or isinstance(value, Mapping):  # the type is found faster than the abstract class
        _entries(value, indent, out)
    else:
        _items(value, indent, out)


def _entries(value: Mapping[str, Any], indent: str, out: list[str]) -> None:
    start, deeper = "", indent + "  "
    for key, item in value.items():
        is_short = type(key) is str and len(key) <= _LONGEST_CACHED
        name = start + (_repeated_key(key) if is_short else _key(key, indent))
        start = indent
        kind = type(item)
        if kind is str and len(item) <= _LONGEST_CACHED and (line := _repeated_line(item)):
            out.append(f"{name} {line}")
        elif not item or kind is str or not isinstance(item, _COLLECTIONS) or isinstance(item, str):
            out.append(f"{name} {_leaf(item, deeper)}")
        else:
            # The dashes of a list are not indented below their key, as in kubectl's output.
            below = deeper if kind is dict or isinstance(item, Mapping) else indent
            out.append(f"{name}\n{below}")
            _node(item, below, out)


def _items(value: Sequence[Any], indent: str, out: list[str]) -> None:
    start, deeper = "- ", indent + "  "
    for item in value:
        if type(item) is str and len(item) <= _LONGEST_CACHED and (line := _repeated_line(item)):
            out.append(start + line)
        else:
            out.append(start)
            _node(item, deeper, out)
        start = indent + "- "


def _leaf(value: Any, indent: str) -> str:
    if isinstance(value, str):
        # The lines of a block must be indented deeper than the parent collection, and the cursor already is.
        return block(value, indent) or string(value) + "\n"
    if isinstance(value, _COLLECTIONS):
        return "{}\n" if isinstance(value, Mapping) else "[]\n"
    return _constant(value)


def _key(key: str, indent: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key must be a string, not {key!r}")
    text = string(key)
    return f"{text}:" if len(text) <= _LONGEST_SIMPLE_KEY else f"? {text}\n{indent}:"


@functools.lru_cache(_MOST_CACHED)
def _repeated_key(key: str) -> str:
    return f"{string(key)}:"


@functools.lru_cache(_MOST_CACHED)
def _repeated_line(text: str) -> str:
    """Return a string and a line break; "" if it can be a block."""
    return "" if "\n" in text else string(text) + "\n"


def _constant(value: Any) -> str:
    if value is None:
        return "null\n"
    if isinstance(value, bool):
        return "true\n" if value else "false\n"
    if isinstance(value, int | float):
        return number(value) + "\n"
    raise TypeError(f"YAML cannot represent {type(value).__name__}")


def _title(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return f"{document.get('kind') or 'a document'} {ascii(name) if name else 'without a name'}"


def string(text: str) -> str:
    """Return `text` as a scalar on one line: plain if safe, otherwise in single quotes or, with escapes, double quotes.

    Raises ProblemsError `not-unicode` for a lone surrogate, which UTF-8 cannot encode.
    """
    if "\t" in text or "\n" in text or _has_hidden(text):
        return f'"{text.translate(_ESCAPES)}"'
    if _is_plain(text) and text.lower() not in _RESERVED and not _reads_as_number(text):
        return text
    return "'" + text.replace("'", "''") + "'"


def _is_plain(text: str) -> bool:
    # Not one pattern: repeated alternatives take a hundred bytes of memory for each character.
    if not text or text == "-" or text.startswith(_ITEM_OR_MARK) or text.startswith(_INDICATORS):
        return False
    return ": " not in text and " #" not in text and not text.endswith((":", " "))


def _has_hidden(text: str) -> bool:
    # Strings that Python can print have no hidden characters, and are found faster than with a pattern.
    if text.replace("\n", "").replace("\t", "").isprintable():
        return False
    # The large class takes 4 ms to compile, and almost all strings are ASCII. `re` caches compiled patterns.
    return bool(_HIDDEN_ASCII.search(text) if text.isascii() else re.search(_HIDDEN, text))


def _fits_block(text: str) -> bool:
    """Return whether a literal block preserves a string of several lines.

    It does not preserve spaces at the end of a line (editors strip them), a tab or spaces that readers would take for
    indentation, or no content.
    """
    return (
        " \n" not in text
        and "\t\n" not in text
        and "\n\t" not in text
        and not text.startswith("\t")
        and not text.endswith((" ", "\t"))
        and text.lstrip("\n")[:1] not in ("", " ")
    )


def block(text: str, indent: str) -> str | None:
    """Return `text` as a literal block with `indent` before each line, from `|` to the last line break.

    Returns None if `text` has only one line or a block would not preserve it.
    """
    if "\n" not in text or not _fits_block(text) or _has_hidden(text):
        return None
    body = text.rstrip("\n")
    extra = len(text) - len(body)
    chomping = "-" if extra == 0 else "" if extra == 1 else "+"
    lines = [indent + line if line else "" for line in body.split("\n")]
    return f"|{chomping}\n" + "\n".join(lines) + "\n" * max(extra, 1)


def number(value: float) -> str:
    """Return `value` as Go prints a JSON number, with two differences that YAML 1.1 requires.

    An exponent follows a mantissa with a dot (`1.0e+21`: a strict YAML 1.1 reader reads `1e+21` as a string), and minus
    zero is `-0.0` (`-0` is the integer). An integer of more than 64 bits is printed as the float64 that readers make of
    it. Raises ProblemsError `not-finite` for an infinite number or NaN.
    """
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return str(value)
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if not math.isfinite(value):
        raise ProblemsError.of("not-finite", "a Kubernetes resource cannot contain an infinite number or NaN")
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0"
    shortest = repr(value)
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(shortest), "f").removesuffix(".0")
    mantissa, exponent = shortest.split("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"


def _reads_as_number(text: str) -> bool:
    if text[0] not in "0123456789+-.":
        return False
    return bool(_NUMBER.fullmatch(text.replace("_", "")) or _TIMESTAMP.fullmatch(text))


class _Escapes(dict[int, str]):
    """The table for `str.translate` that escapes characters in double quotes."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        hidden = _HIDDEN_ASCII.match(character) if code < 0x80 else re.match(_HIDDEN, character)
        text = _SHORT_ESCAPES.get(character) or (_escaped(code) if hidden else character)
        if len(self) < _KNOWN_CHARACTERS:
            self[code] = text
        return text


_ESCAPES = _Escapes()


def _escaped(code: int) -> str:
    if 0xD800 <= code <= 0xDFFF:
        raise ProblemsError.of("not-unicode", f"a string contains the lone surrogate U+{code:04X}")
    return f"\\x{code:02X}" if code <= 0xFF else f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
