"""What Go's YAML library (sigs.k8s.io/yaml, goyaml v2) changes in a tree that KuboCD prints and reads again.

Go prints a tree as JSON, reads that JSON as YAML, and prints the result as YAML. Most trees survive this unchanged. A
few do not, and some cannot be read: these functions return the changed tree, or raise UnreadableError.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from kubocd_gen.diagnostics.wording import quoted

KeyPath = tuple[str | int, ...]

LONGEST_KEY = 1022
"""Characters of a key in JSON, without its quotes: a YAML reader must find the ':' within 1,024 characters (7.4.2)."""

_NEL = "\x85"
_MERGE = "<<"
_REFUSED = re.compile("[\x7f-\x84\x86-\x9f\ufffe\uffff]")  # not in the set `c-printable` of YAML
_FOLD = re.compile(" *\x85[ \x85]*")
_MARKER = re.compile("\x85(?:---|\\.\\.\\.)(?=[ \x85])")
_UNUSUAL = re.compile("[\x7f-\x9f\ufffe\uffff]")
_LONG_KEY = LONGEST_KEY // 6  # Go prints a character of a key as at most six
_ESCAPED_BY_GO = re.compile("[<>&\u2028\u2029]")


class UnreadableError(ValueError):
    """A tree that Go's YAML library cannot print or read. The message is a predicate that follows `path`."""

    def __init__(self, path: KeyPath, message: str, hint: str) -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint


def reread(value: Any) -> Any:
    """Return the JSON-like `value` as Go reads its JSON with a YAML reader. Raises UnreadableError.

    YAML is not a superset of JSON: it refuses control characters that JSON allows and long keys, and takes U+0085 for a
    line break, which is folded inside a string. Minus zero becomes an integer, which has no sign.

    >>> reread({"a": "one\\x85two", "b": -0.0})
    {'a': 'one two', 'b': 0}
    """
    return _reread(value, ()) if _is_unusual(value) else value


def reprinted(value: Any, *, strict: bool) -> Any:
    """Return the JSON-like `value` after Go has printed it as YAML and read it again. Raises UnreadableError.

    In addition to what `reread` changes, the key `<<` is printed without quotes, and is therefore merged. With
    `strict`, a merge must not define a key that the map already has, like any duplicate key.

    >>> reprinted({"a": {"<<": {"x": 1}, "y": 2}}, strict=True)
    {'a': {'x': 1, 'y': 2}}
    """
    return _merged(_reread(value, ()), (), strict=strict) if _is_unusual(value) else value


def _is_unusual(value: Any) -> bool:
    """Return whether the tree can be changed or refused, which almost none is. In doubt, it can be.

    All texts are searched at once, which is a few times faster than reading the tree, or than printing it as JSON.
    """
    pending = [value]
    texts: list[str] = []
    keys: list[str] = []
    for item in pending:  # which grows
        kind = type(item)
        if kind is str:
            texts.append(item)
        elif kind is dict:
            keys += item
            pending += item.values()
        elif kind is list:
            pending += item
        elif item is not None and kind is not bool and kind is not int and (kind is not float or item == 0):
            return True
    text = "".join((*texts, *keys))
    if (not text.isascii() or "\x7f" in text) and _UNUSUAL.search(text):
        return True
    return _MERGE in keys or max(map(len, keys), default=0) > _LONG_KEY


def _reread(value: Any, path: KeyPath) -> Any:
    if isinstance(value, Mapping):
        return {_key(key, (*path, key)): _reread(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_reread(item, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, str):
        return _string(value, path)
    if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
        return 0
    return value


def _key(key: str, path: KeyPath) -> str:
    _refuse_controls(key, path, "has a key with")
    if _NEL in key:
        message = "has a key with the line break U+0085, which KuboCD cannot read again"
        raise UnreadableError(path, message, "remove the character, or use a space")
    if (length := _length_in_json(key)) > LONGEST_KEY:
        message = f"has a key of {length} characters, but KuboCD can read only keys of up to {LONGEST_KEY}"
        raise UnreadableError(path, message, "shorten the key; a quote, '<', '>' or '&' counts as several characters")
    return key


def _string(text: str, path: KeyPath) -> str:
    _refuse_controls(text, path, "contains")
    if _NEL not in text:
        return text
    if _MARKER.search(text):
        message = "contains a line after U+0085 that KuboCD would read as the end of a YAML document"
        raise UnreadableError(path, message, "use an ordinary line break instead of U+0085")
    return _FOLD.sub(lambda found: "\n" * (found[0].count(_NEL) - 1) or " ", text)


def _refuse_controls(text: str, path: KeyPath, verb: str) -> None:
    found = _REFUSED.search(text)
    if found is None:
        return
    what = "control character" if unicodedata.category(found[0]) == "Cc" else "character"
    message = f"{verb} the {what} U+{ord(found[0]):04X}, which KuboCD cannot print as YAML"
    raise UnreadableError(path, message, "remove or replace the character; it often comes from a wrong encoding")


def _length_in_json(key: str) -> int:
    """Return the number of characters of a key as Go's `json.Marshal` prints it, without its quotes."""
    return len(json.dumps(key, ensure_ascii=False)) - 2 + 5 * len(_ESCAPED_BY_GO.findall(key))


def _merged(value: Any, path: KeyPath, *, strict: bool) -> Any:
    if isinstance(value, list):
        return [_merged(item, (*path, index), strict=strict) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if _MERGE not in value:
        return {key: _merged(item, (*path, key), strict=strict) for key, item in value.items()}
    result: dict[str, Any] = {}
    _merge_onto(result, value, path, (*path, _MERGE), strict=strict)
    return result


def _merge_onto(result: dict[str, Any], value: dict[str, Any], path: KeyPath, merge: KeyPath, *, strict: bool) -> None:
    """Read the map `value` onto `result` in the order in which Go prints its keys: a later key replaces an earlier one.

    `merge` is the path of the outermost `<<`, which is the cause of a key that is defined twice.
    """
    for key in sorted(value, key=_after_merge):
        item, at = value[key], (*path, key)
        if key != _MERGE:
            if strict and key in result:
                message = f"defines {quoted(key)} twice: KuboCD prints this key without quotes, and merges its value"
                raise UnreadableError(merge, message, "rename the key '<<', or remove one of the two keys")
            result[key] = _merged(item, at, strict=strict)
            continue
        parts = item if isinstance(item, list) else [item]
        if not all(isinstance(part, dict) for part in parts):
            message = "must be a map or a list of maps: KuboCD prints this key without quotes, and merges its value"
            raise UnreadableError(at, message, "rename the key")
        for part in reversed(parts):
            _merge_onto(result, part, at, merge, strict=strict)


def _after_merge(key: str) -> int:
    """Return the rank of a key in Go's order of printed keys: -1 before `<<`, 0 for `<<` itself, 1 after it.

    The order (goyaml's `keyList`) compares the first characters that differ: letters come after all others, and digits
    after other characters.
    """
    for ours, theirs in zip(key, _MERGE, strict=False):
        if ours != theirs:
            return 1 if ours.isalpha() or unicodedata.category(ours) == "Nd" or ours > theirs else -1
    return (len(key) > len(_MERGE)) - (len(key) < len(_MERGE))
