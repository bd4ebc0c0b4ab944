"""Read the reason that a server gives for refusing a request: the error format of registries, and similar ones."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qs

from kubocd_gen.diagnostics.problems import printable

_LONGEST = 500  # characters; the messages of cloud providers contain the names of roles, actions and resources
_MOST = 3  # errors of a response
_SHORTEST_SECRET = 4  # characters; shorter ones also occur in words
# The keys of other formats: of Docker Hub, of GitHub, of OAuth 2.0 (RFC 6749), and of problem details (RFC 9457).
_OTHER_KEYS = ("message", "details", "detail", "error_description", "error", "title")


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason in an error response: the codes of the distribution specification, such as `DENIED`, and a message."""

    codes: tuple[str, ...] = ()
    text: str = ""  # untrusted, and limited in length

    def __str__(self) -> str:
        """Return the message in quotes, without unprintable characters."""
        return f"'{printable(self.text)}'"


NO_REASON = Reason()


def read_reason(body: bytes, secrets: Iterable[str] = ()) -> Reason:
    """Return the reason in a body in JSON, or NO_REASON. `secrets`, which a server can repeat, are removed from it."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return NO_REASON
    if not isinstance(value, dict):
        return NO_REASON
    errors = value.get("errors")
    listed = [one for one in errors[:_MOST] if isinstance(one, dict)] if isinstance(errors, list) else []
    messages = [_first_text(one, ("message", "detail")) for one in listed] or [_first_text(value, _OTHER_KEYS)]
    text = "; ".join(dict.fromkeys(filter(None, messages)))
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "…")
    codes = tuple(str(one["code"]).upper() for one in listed if isinstance(one.get("code"), str))
    return Reason(codes, text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def secrets_of(headers: Mapping[str, str], data: object) -> Iterator[str]:
    """Yield the secrets in a request: in its Authorization field, and in the form that is sent to a token service."""
    _, _, sent = headers.get("Authorization", "").partition(" ")
    if sent:
        yield sent
        with suppress(binascii.Error, ValueError):  # a token
            yield base64.b64decode(sent, validate=True).decode().partition(":")[2]
    if isinstance(data, bytes) and b"refresh_token=" in data:
        yield from parse_qs(data.decode("ascii", "replace")).get("refresh_token", [])


def _first_text(value: Mapping[str, object], keys: Iterable[str]) -> str:
    """Return the first string that is not empty, on one line."""
    texts = (" ".join(text.split()) for key in keys if isinstance(text := value.get(key), str))
    return next(filter(None, texts), "")
