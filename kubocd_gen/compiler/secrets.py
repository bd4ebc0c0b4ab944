"""Which names stand for secrets, and what of a value may be shown to somebody who only sees the names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "•••"

_WORDS = (
    r"(?:password|passwd|passphrase|token|credentials?|(?:api|access|private|secret|signing|encryption)_?-?key"
    r"|client_?-?secret)"
)
# The end of a name, so that `passwordKey` and `tokenUrl`, which say where to look, are left alone.
_SECRET = re.compile(rf"{_WORDS}$", re.IGNORECASE)
# More than what is worth a warning: what is shown to others is masked too often rather than once too seldom.
_HIDDEN = re.compile(
    rf"(?:{_WORDS}|(?<!existing)(?<!existing[-_])secret|pwd|pass|htpasswd|kubeconfig|dsn|connection_?-?string)$",
    re.IGNORECASE,
)
_IN_TEXT = re.compile(
    r"""(?P<name>(?:password|passwd|passphrase|pwd|token|credentials?|secret|(?:api|access|private|secret|signing"""
    r"""|encryption)_?-?key)["']?[ \t]*[:=][ \t]*)(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s,;&"']+)""",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(?P<name>://[^/\s:@]*:)(?P<value>[^@\s/]+)(?=@)")
_IN_HEADER = re.compile(r"(?P<name>\b(?:Bearer|Basic)\s+)(?P<value>[A-Za-z0-9+/=._~-]{8,})")
_PEM = re.compile(r"(?P<name>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?P<value>.*?)(?=-----END|\Z)", re.DOTALL)


def looks_secret(name: str) -> bool:
    """Whether a literal value under `name` is worth a warning."""
    return _SECRET.search(name) is not None


def is_hidden(name: str) -> bool:
    """Whether the value under `name` is not to be shown."""
    return _HIDDEN.search(name) is not None


def masked(value: Any, *, hidden: bool = False) -> Any:
    """A JSON-like value with every scalar masked that stands under a secret's name; with `hidden` all of them.

    So is the `value` beside a secret's `name`, as in the environment of a container, and what follows such a name
    inside a text. Null, true and false stay: they say whether there is a secret, not which.
    """
    if isinstance(value, Mapping):
        named = is_hidden(value["name"]) if isinstance(value.get("name"), str) else False
        return {
            key: masked(item, hidden=hidden or is_hidden(key) or (named and key == "value"))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item, hidden=hidden) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if hidden:
        return MASK
    return masked_text(value) if isinstance(value, str) else value


def masked_text(text: str) -> str:
    """A text in which what follows a secret's name, `password: x` or `token=x`, and the password of a URL is masked."""
    for pattern in (_PEM, _IN_URL, _IN_HEADER, _IN_TEXT):
        text = pattern.sub(rf"\g<name>{MASK}", text)
    return text
