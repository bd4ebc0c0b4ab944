"""Header fields that strangers wrote, read without trust: Retry-After, Content-Range, ETag, WWW-Authenticate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{0,256}"')
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for a word
# Either a parameter, its value quoted or bare (which some proxies write, though URLs must be quoted), or a scheme.
_PART = re.compile(
    rf'(?P<name>{_TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,"]+))|(?P<scheme>{_TOKEN})'
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that a server offers; scheme and parameter names are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(text: str) -> list[Challenge]:
    """The challenges of a WWW-Authenticate field (RFC 9110, 11.6.1), several in one, in their order.

    What is no challenge is passed over: the field decides only which question is asked next.
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
    """Seconds from a Retry-After field, a number or a date; `now` is the time of day in seconds since 1970."""
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def range_start(text: str | None) -> int | None:
    """Where the part that a Content-Range field describes begins, None where it describes none."""
    match = _RANGE.fullmatch(text or "")
    if match is None or int(match[2]) < int(match[1]) or (match[3] != "*" and int(match[3]) != int(match[2]) + 1):
        return None  # not a part that reaches to the end
    return int(match[1])


def strong_etag(text: str | None) -> str | None:
    """The field, where it is a validator that can guard a range (RFC 9110, 13.1.5)."""
    return text if text and _STRONG_ETAG.fullmatch(text) else None
