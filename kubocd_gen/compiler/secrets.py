"""Mask the secrets in values before they are printed.

Secrets are recognized by name (`secret_names`) and by form (`secret_shapes`), also inside strings: a string that is
YAML, JSON, TOML, properties or INI is parsed, and its value masked. A string that looks like one of these but cannot be
parsed is masked as a whole if it contains the name of a secret. In doubt, a value is masked.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.compiler.secret_names import cover, is_hidden
from kubocd_gen.compiler.secret_shapes import MASK, is_placeholder, is_plain, masked_shapes
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.kube_yaml.reader import read_documents

_LABELS = frozenset({"name", "key", "variable", "parameter", "param", "option", "header", "field", "property", "id"})
_VALUES = frozenset({"value", "values", "val", "data", "content", "default", "defaultvalue", "literal", "stringvalue"})
_LONGEST = 64 << 10  # characters of a string that is parsed
_MOST = 1 << 20  # characters that one object parses, of all strings together
_DEEPEST = 4  # levels of strings in strings that are parsed
_SCHEMES = frozenset({"bearer", "basic", "token", "apikey", "digest"})
_NAME = r"\.?[A-Za-z_][A-Za-z0-9_.-]{0,127}"
_QUOTE = r"""(?:\\{0,15}["'])?"""  # nested JSON has backslashes before it
_ASSIGNED = re.compile(
    rf"""(?<![A-Za-z0-9_.])(?P<head>{_QUOTE}(?P<name>{_NAME}){_QUOTE}[ \t]*(?:=>|:=|[:=])[ \t]*)(?=[^\s])"""
)
_VALUE = re.compile(
    r"""(?:\$\{[^{}\s]*\}|\\+(?P<quote>["'])(?:(?!\\+(?P=quote)).)*\\+(?P=quote)|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,;&"'][^\s,;&"'}\]]*)"""
)
_LINE = re.compile(
    rf"""(?P<head>[ \t]*(?:[-*#;!][ \t]*)*(?:(?:export|set|ENV|ARG|SET)[ \t]+)?["']?(?P<name>{_NAME})["']?"""
    r"""[ \t]*(?:=>|:=|[:=])[ \t]*)(?P<value>.*?)(?P<tail>[ \t]*,?[ \t]*)"""
)
_FLAG = re.compile(rf"--?(?P<name>{_NAME})")
_FLAGGED = re.compile(rf"""(?<!\S)(?P<head>--?(?P<name>{_NAME})[ \t]+)(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s"'-]\S*)""")
# `requirepass x` as a whole line; `login me password x` in a .netrc; `PASSWORD 'x'` in SQL.
_SPACED = re.compile(
    rf"(?P<head>^[ \t]*(?P<name>{_NAME})[ \t]+|\blogin[ \t]+\S+[ \t\n]+password[ \t]+)(?P<value>[^\s:=]\S*)[ \t]*$",
    re.MULTILINE,
)
_QUOTED_WORD = re.compile(
    r"""(?P<head>\b(?P<name>(?:[A-Za-z0-9_]{0,64}(?:password|passphrase)|identified[ \t]+by))[ \t]+)"""
    r"""(?P<value>"[^"\n]+"|'[^'\n]+')""",
    re.IGNORECASE,
)
_ELEMENT = re.compile(rf"(?P<head><(?P<name>{_NAME})(?:[ \t][^<>]*)?>)(?P<value>[^<>]+)(?=</)")
_ESCAPED = re.compile(r"\\u00[2-7]|\\x[2-7]")  # of a character that can be part of a name
_SECRET_KIND = re.compile(r"""kind["']?[ \t]*:[ \t]*["']?Secret\b""")
_ANY_ASSIGNED = re.compile(
    rf"""(?<![A-Za-z0-9_.]){_QUOTE}(?P<name>{_NAME}){_QUOTE}[ \t]*(?:=>|:=|[:=]|\n[ \t]*:[ \t])"""
)
_WORD = re.compile(r"[A-Za-z_.][A-Za-z0-9_.-]{2,127}")
_QUOTED = re.compile(r"""(['"])(?:(?!\1).)*\1""")
_SCHEMED = re.compile(rf"(?i:{'|'.join(sorted(_SCHEMES))})[ \t]+{MASK}")
_SECTION = re.compile(r"^[ \t]*\[{1,2}(?P<name>[^\[\]\n]+)\]{1,2}[ \t]*$", re.MULTILINE)
_BLOCK = re.compile(r"(?:[|>][-+0-9]{0,2}(?:[ \t]+#.*)?)?")  # the value is on the lines below


class Masks:
    """A masker of secrets in values, with limits on the text that it parses in all calls, and on the values in it."""

    def __init__(self) -> None:
        self._left = _MOST
        self._budget = Budget()
        self._known: dict[str, str] = {}  # many Releases contain the same string

    def value(self, value: Any, *, hidden: bool = False, parent: str = "") -> Any:
        """Return a JSON-like value with all secrets masked, or with `hidden` all scalars.

        `parent` is the name of its parent. Null, true, false and "" stay: they show only whether there is a secret.
        """
        return self._value(value, hidden, parent, 0)

    def text(self, text: str) -> str:
        """Return a string with all secrets masked."""
        return self._text(text, 0)

    def _value(self, value: Any, hidden: bool, parent: str, depth: int) -> Any:
        if isinstance(value, Mapping):
            named = named_values(value)
            return {
                key: self._value(item, hides(key, item, hidden=hidden, parent=parent, named=named), key, depth)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [
                self._value(item, hidden or follows_flag(value, index), parent, depth)
                for index, item in enumerate(value)
            ]
        if value is None or value == "" or isinstance(value, bool):
            return value
        if hidden:
            return value if isinstance(value, str) and is_placeholder(value) else MASK
        return self._text(value, depth) if isinstance(value, str) else value

    def _text(self, text: str, depth: int) -> str:
        if len(text) < 4:
            return text
        if depth:
            return self._masked_text(text, depth)
        if text not in self._known:
            self._known[text] = self._masked_text(text, 0)
        return self._known[text]

    def _masked_text(self, text: str, depth: int) -> str:
        shaped = masked_shapes(text, lambda inner: depth < _DEEPEST and self._text(inner, depth + 1) != inner)
        mentioned = _mentions(text)
        enclosed = text.lstrip().startswith(("{", "["))
        if not mentioned and not enclosed and not ("\n" in text and _has_word(text)):
            return shaped
        if "\n" not in text and not enclosed:
            return _inline(_by_line(shaped) or shaped)
        if depth < _DEEPEST and len(text) <= min(_LONGEST, self._left):
            self._left -= 2 * len(text)  # it is parsed again after masking
            if (parsed := _parsed(text, self._budget)) is not None:
                return self._structured(shaped, *parsed, depth)
        elif (depth >= _DEEPEST and (mentioned or enclosed)) or (not mentioned and _has_word(text)):
            return MASK  # a parser could find a secret in it
        if not mentioned:
            return shaped
        properties = _properties(shaped)
        if properties is not None:
            return properties
        lines = None if _looks_structured(text) else _by_line(shaped)
        return MASK if lines is None else _inline(lines)

    def _structured(self, text: str, form: str, value: Any, depth: int) -> str:
        """Return the text with its formatting if it still parses to the masked value, otherwise the formatted value."""
        wanted = self._value(value, False, "", depth + 1)
        lines = _by_line(text, quoted=True)
        shown = None if lines is None else _inline(lines, quoted=True)
        if shown is not None and _parsed(shown, self._budget) == (form, wanted):
            return shown
        if form == "json":
            return json.dumps(wanted, indent=2 if "\n" in text else None, ensure_ascii=False)
        if form == "yaml":
            try:
                return emit_documents(wanted).removeprefix("---\n")
            except ProblemsError:
                return MASK
        return MASK


def hides(key: str, *values: Any, hidden: bool, parent: str, named: Mapping[str, str] | None = None) -> bool:
    """Return whether scalars in a field `key` are hidden; `hidden` is the answer for the map that contains it.

    `named` are the names of fields that other fields of the map set, from `named_values`.
    """
    for name in (key, named.get(key, "") if named else ""):
        match cover(name, parent):
            case "reference":
                return False
            case "all":
                return True
            case "strings":
                hidden = hidden or not all(_holds_numbers(value) for value in values)
            case "scalar":
                hidden = hidden or not all(isinstance(value, (Mapping, list)) for value in values)
            case "random":
                hidden = hidden or any(isinstance(value, str) and not is_plain(value) for value in values)
    return hidden


def named_values(value: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the fields that another one names, like `value` in `{name: PASSWORD, value: x}`, or those of a Secret."""
    if value.get("kind") == "Secret":
        return {"data": "passwords", "stringData": "passwords"}
    labels = [item for key, item in value.items() if key.lower() in _LABELS and isinstance(item, str)]
    label = next((one for one in labels if cover(one) not in ("", "random", "reference")), None)
    return {key: label for key in value if key.lower() in _VALUES} if label else {}


def follows_flag(items: Sequence[Any], index: int) -> bool:
    """Return whether an item of a list is the argument of the secret flag before it: `[--password, x]`."""
    if index == 0 or index >= len(items) or not isinstance(items[index - 1], str) or not isinstance(items[index], str):
        return False
    flag = _FLAG.fullmatch(items[index - 1])
    return flag is not None and is_hidden(flag["name"]) and not items[index].startswith("-")


def _holds_numbers(value: Any) -> bool:
    """Return whether the value contains no string."""
    if isinstance(value, Mapping):
        return all(map(_holds_numbers, value.values()))
    return all(map(_holds_numbers, value)) if isinstance(value, list) else not isinstance(value, str)


def _mentions(text: str) -> bool:
    """Return whether the text contains the name of a secret with a value after it."""
    if (
        _SECRET_KIND.search(text)
        or _ESCAPED.search(text)
        or any(cover(found["name"]) == "all" for found in _SECTION.finditer(text))
    ):
        return True
    patterns = (_ANY_ASSIGNED, _FLAGGED, _ELEMENT, _SPACED, _QUOTED_WORD)
    found = (one["name"] or "password" for pattern in patterns for one in pattern.finditer(text))
    return any(cover(name) not in ("", "reference") for name in found)


def _has_word(text: str) -> bool:
    """Return whether any word of the text is the name of a secret."""
    words = (found[0] for found in _WORD.finditer(text))
    return any(word.lower() == "key" or cover(word) not in ("", "reference") for word in words)


def _inline(text: str, *, quoted: bool = False) -> str:
    """Return the text with the value after each name of a secret masked, up to its quote, a space or a separator."""
    parts, at = [], 0
    for head in _ASSIGNED.finditer(text):  # only heads: in `failed: password=x`, one is the value of another
        found = _VALUE.match(text, head.end()) if head.start() >= at else None
        if found is None or not _is_hidden_text(head["name"], found[0]):
            continue
        if found[0].lower() in _SCHEMES and text.startswith(MASK, found.end() + 1):
            continue  # an authorization scheme whose credentials are masked already
        parts += [text[at : head.end()], _mask(found[0], quoted=quoted)]
        at = found.end()
    text = "".join((*parts, text[at:]))

    def replaced(found: re.Match[str]) -> str:
        value = found["value"]
        return found["head"] + _mask(value, quoted=quoted) if _is_hidden_text(found["name"], value) else found[0]

    def replaced_word(found: re.Match[str]) -> str:
        name = found["name"] or "password"
        secret = cover(name) == "all" or name.lower().startswith("identified")
        return found["head"] + _mask(found["value"], quoted=quoted) if secret else found[0]

    text = _ELEMENT.sub(replaced, _FLAGGED.sub(replaced, text))
    return _QUOTED_WORD.sub(replaced_word, _SPACED.sub(replaced_word, text))


def _by_line(text: str, *, quoted: bool = False) -> str | None:
    """Mask the rest of each line that starts with the name of a secret, and the lines of a block below it.

    Returns None if such a value continues in a way that needs a parser.
    """
    lines, below = [], -1
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip(" \t"))
        if below >= 0 and line.strip() and indent > below:
            lines.append(line[:indent] + MASK)
            continue
        below = below if below >= 0 and not line.strip() else -1
        found = _LINE.fullmatch(line)
        value = found["value"] if found else ""
        if found and _is_hidden_text(found["name"], value or MASK):
            if _BLOCK.fullmatch(value):
                below = indent
            elif value[0] in "{[(&!" or (value[0] in "'\"" and not _QUOTED.fullmatch(value)):
                return None
            elif not _SCHEMED.fullmatch(value):
                line = f"{found['head']}{_mask(value, quoted=quoted)}{found['tail']}"
        lines.append(line)
    return "\n".join(lines)


def _is_hidden_text(name: str, value: str) -> bool:
    return hides(name, _unquoted(value), hidden=False, parent="")


def _mask(value: str, *, quoted: bool) -> str:
    if is_placeholder(_unquoted(value)) or value in ("null", "~", "true", "false", '""', "''"):
        return value
    return f"{value[0]}{MASK}{value[0]}" if quoted and value[0] in "'\"" else MASK


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def parsed_text(text: str) -> Any:
    """Parse a string as JSON, TOML or YAML, and return the map or list; None for any other string."""
    parsed = _parsed(text, Budget())
    return parsed[1] if parsed else None


def assignments(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names in a text with the values assigned to them: `password: x`, `password=x`, `--password x`."""
    for head in _ASSIGNED.finditer(text):
        if value := _VALUE.match(text, head.end()):
            yield head["name"], _unquoted(value[0])
    for found in _FLAGGED.finditer(text):
        yield found["name"], _unquoted(found["value"])


def _parsed(text: str, budget: Budget) -> tuple[str, Any] | None:
    """Return the format of a text and its map or list, for YAML the list of its documents; None for any other text.

    YAML with more values than the budget has left counts as another text.
    """
    forms = (("json", json.loads), ("toml", tomllib.loads), ("yaml", partial(_read_yaml, budget=budget)))
    for form, read in forms:
        try:
            value = read(text)
        except (ValueError, ProblemsError, RecursionError, TypeError):
            continue
        if isinstance(value, (dict, list)) and value:
            return form, value
    return None


def _read_yaml(text: str, budget: Budget) -> list[Any]:
    found = []
    for document in read_documents(text, "", exact_integers=True, budget=budget):
        if document.error or not isinstance(document.value, (dict, list)):
            raise ValueError("no map or list")
        found.append(document.value)
    return found


def _properties(text: str) -> str | None:
    """Return the text of a properties or INI file with its secrets masked; None if it is neither."""
    lines, below, continued, assigned = [], False, False, False
    for line in text.split("\n"):
        section, found = _SECTION.fullmatch(line), _LINE.fullmatch(line)
        if continued and line[:1] in (" ", "\t") and line.strip():
            line = MASK
        elif section:
            below, continued = cover(section["name"]) == "all", False
        elif found and not line[:1].isspace() and not line.startswith(("-", "*")):
            assigned = True
            continued = below or _is_hidden_text(found["name"], found["value"] or MASK)
            if continued and found["value"]:
                line = f"{found['head']}{_mask(found['value'], quoted=False)}{found['tail']}"
        elif (
            line.strip()
            and not line.lstrip().startswith(("#", ";", "!"))
            and not re.fullmatch(rf"{_NAME}[ \t]*[=:]?", line)
        ):
            return None
        else:
            continued = continued and not line.strip()
        lines.append(line)
    return _inline("\n".join(lines)) if assigned else None


def _looks_structured(text: str) -> bool:
    """Return whether at least half of the lines start like those of YAML, JSON, TOML, properties or INI."""
    lines = [line for line in text.split("\n") if line.strip()]
    pattern = re.compile(
        rf"""[ \t]*(?:[-{{\[\]}},][ \t]*)*(?:["']?{_NAME}["']?[ \t]*[:=]|[\]\[}}{{,]*[ \t]*$|[\[<].*)"""
    )
    return 2 * sum(pattern.match(line) is not None for line in lines) >= len(lines)
