"""Parsers for untrusted header fields: Retry-After, Content-Range, ETag and WWW-Authenticate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{0,256}"')
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - `token` of RFC 9110
# Either a scheme, or a parameter with a quoted or bare value. Some proxies leave URLs unquoted, against RFC 9110.
_PART = re.compile(
    rf'(?P<name>{_TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,"]+))|(?P<scheme>{_TOKEN})'
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """An authentication method that a server offers; scheme and parameter names are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(text: str) -> list[Challenge]:
    """Return the challenges of a WWW-Authenticate field (RFC 9110, 11.6.1), in order.

    Invalid parts are ignored, because the field only decides which request is sent next.
    """
    challenges: list[Challenge] = []
    parameters: dict[str, str] = {}
    for part in _PART.finditer(text):
        if part["scheme"] is not None:
            parameters = {}
            challenges.append(Challenge(part["scheme"].lower(), parameters))
        elif challenges:
            quoted = part["quoted"]
            value = part["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(part["name"].lower(), value)
    return challenges


def retry_after(text: str | None, now: float) -> float | None:
    """Return the seconds of a Retry-After field, a number or a date. `now` is in seconds since 1970."""
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def range_start(text: str | None) -> int | None:
    """Return the offset at which a Content-Range begins; None if it is invalid or does not reach the end."""
    match = _RANGE.fullmatch(text or "")
    if match is None or int(match[2]) < int(match[1]) or (match[3] != "*" and int(match[3]) != int(match[2]) + 1):
        return None
    return int(match[1])


def strong_etag(text: str | None) -> str | None:
    """Return the field if it is a strong ETag, which If-Range requires (RFC 9110, 13.1.5); otherwise None."""
    return text if text and _STRONG_ETAG.fullmatch(text) else None
