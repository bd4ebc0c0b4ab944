"""Match patterns and formats like Go: RE2, and the format checkers of gojsonschema v1.2, which KuboCD uses.

gojsonschema ignores formats that it does not implement. Each format accepts what the Go function of the checker
accepts, which is sometimes more than the RFC (`time` without a zone) and sometimes less (`uuid` in lowercase only).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Protocol


class Matcher(Protocol):
    """A compiled RE2 pattern."""

    @property
    def programsize(self) -> int:
        """Return the number of instructions: the maximum number of steps that a search takes for each character."""

    def search(self, text: str) -> object | None:
        """Return an object if the pattern matches anywhere in `text`, otherwise None."""


class PatternError(ValueError):
    """A pattern that RE2 rejects. The message is the reason."""


# `\C` matches a byte in the C++ library and is an error in Go, but not after an escaped backslash or in `\Q…\E`.
_ONE_BYTE = r"(?s)(?:\A|[^\\])(?:\\\\)*\\C"
_LITERAL = r"(?s)(?<!\\)((?:\\\\)*)\\Q.*?(?:\\E|\Z)"

_MOST_INSTRUCTIONS = 500_000  # of all cached patterns, a hundred bytes each


class _PatternCache(dict[str, Matcher]):
    """A cache of compiled patterns with a limit on their total size."""

    size = 0

    def add(self, pattern: str, compiled: Matcher) -> None:
        if self.size + compiled.programsize > _MOST_INSTRUCTIONS:
            self.clear()
            self.size = 0
        self.size += compiled.programsize
        self[pattern] = compiled


_cache = _PatternCache()


def compile_pattern(pattern: str) -> Matcher:
    """Compile a pattern with RE2: linear in the text, no look-around or backreferences. Raises PatternError."""
    cached = _cache.get(pattern)
    if cached is None:
        cached = _compiled(pattern)
        _cache.add(pattern, cached)
    return cached


def search_cost(pattern: Matcher, text: str) -> int:
    """Return the number of steps that a search in `text` can take, in units of a Python step."""
    return 1 + pattern.programsize * len(text) // 250


def _compiled(pattern: str) -> Matcher:
    import re2

    if "\\C" in pattern and re.search(_ONE_BYTE, re.sub(_LITERAL, r"\1", pattern)):
        raise PatternError(r"invalid escape sequence: \C")
    options = re2.Options()
    options.log_errors = False  # RE2 would write to standard error
    options.max_mem = 64 << 20  # Go accepts `\\pL{1000}`, which exceeds RE2's default limit
    try:
        compiled: Matcher = re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise PatternError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None
    return compiled


# Strings that `re` compiles on first use: most builds use no format, and compiling all takes 20 ms.
_CLOCK = r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:[.,][0-9]+)?"
_ZONE = r"(?:Z|[+-](?P<zone_hour>[0-9]{2}):(?P<zone_minute>[0-9]{2}))"
_DAY = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_TIME = f"{_CLOCK}{_ZONE}?"
_DATE_TIME = f"{_DAY}T{_CLOCK}{_ZONE}"
# Inclusive. Go accepts an offset of 24 hours and 60 minutes.
_CLOCK_LIMITS = {"hour": 23, "minute": 59, "second": 59, "zone_hour": 24, "zone_minute": 60}


def _is_date(text: str) -> bool:
    found = re.fullmatch(_DAY, text)
    return found is not None and _on_calendar(found)


def _is_time(text: str) -> bool:
    found = re.fullmatch(_TIME, text)
    return found is not None and _on_clock(found)


def _is_date_time(text: str) -> bool:
    found = re.fullmatch(_DATE_TIME, text)
    return (found is not None and _on_calendar(found) and _on_clock(found)) or _is_date(text) or _is_time(text)


def _on_calendar(found: re.Match[str]) -> bool:
    try:
        # Go has a year 0, which is a leap year like 400; Python's first year is 1.
        date(int(found["year"]) or 400, int(found["month"]), int(found["day"]))
    except ValueError:
        return False
    return True


def _on_clock(found: re.Match[str]) -> bool:
    return all(int(found[part] or 0) <= most for part, most in _CLOCK_LIMITS.items())


_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL})*"


def _is_hostname(text: str) -> bool:
    return len(text) < 256 and re.fullmatch(_HOSTNAME, text) is not None


_ATEXT = r"a-zA-Z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff"
_DOT_ATOM = rf"[{_ATEXT}]++(?:\.[{_ATEXT}]++)*+"
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f]){}"'
_ADDRESS = rf"[ \t]*(?:{_DOT_ATOM}|{_QUOTED.format('+')})@[ \t]*(?:{_DOT_ATOM}|\[(?P<ip>[^\[\]\\]*)\])"
_NAME = rf"(?:[{_ATEXT}. \t]|{_QUOTED.format('*')}|(?<!\A)\((?:[^()\\]|\\.)*\))*"


def _is_email(text: str) -> bool:
    """Match like Go's `mail.ParseAddress`, which accepts a display name and comments; groups are rejected."""
    if len(text) > 1000:
        return False
    found = re.match(_ADDRESS, text) or re.match(rf"{_NAME}<{_ADDRESS}>", text)
    if not found or not (found["ip"] is None or _is_ip(found["ip"], "")):
        return False
    return _are_comments(text[found.end() :])


def _are_comments(text: str) -> bool:
    depth = 0
    characters = iter(text)
    for character in characters:
        if character == "(":
            depth += 1
        elif depth == 0 and character not in " \t":
            return False
        elif character == ")":
            depth -= 1
        elif character == "\\":
            next(characters, None)
    return depth == 0


def _is_ip(text: str, separator: str) -> bool:
    import ipaddress

    if separator not in text or "%" in text:  # Go's ParseIP rejects zones
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_SCHEME = r"(?s)(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*):(?P<rest>.*)"
# Possessive, because repeated alternatives take a hundred bytes of memory for each character.
_ESCAPES = r"(?s)(?:[^%]++|%[0-9a-fA-F]{2})*+"
_USER = r"[a-zA-Z0-9\-._:~!$&'()*+,;=%@]*"
_HOST = r"(?:[a-zA-Z0-9\-_.~!$&'()*+,;=:\[\]<>\"\u0080-\U0010ffff]++|%25|%[89a-fA-F][0-9a-fA-F])*+"
_PORT = r"(?::[0-9]*)?"


def _url_path(text: str) -> tuple[str, str] | None:
    """Return the scheme and path, possibly empty, as Go's `url.Parse` splits them; None if it rejects the text."""
    rest, _, fragment = text.partition("#")
    if any(character < " " or character == "\x7f" for character in rest) or rest.startswith(":"):
        return None
    scheme = ""
    if found := re.fullmatch(_SCHEME, rest):
        scheme, rest = found["scheme"], found["rest"]
    rest = rest.partition("?")[0]
    if not re.fullmatch(_ESCAPES, fragment):
        return None
    if not rest.startswith("/"):
        if scheme:
            return scheme, ""  # opaque, like mailto:a@b, which Go does not check further
        if ":" in rest.partition("/")[0]:
            return None
    elif rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        if not _is_authority(authority):
            return None
        rest = slash + path
    return (scheme, rest) if re.fullmatch(_ESCAPES, rest) else None


def _is_authority(text: str) -> bool:
    user, _, host = text.rpartition("@")
    if not (re.fullmatch(_USER, user) and re.fullmatch(_ESCAPES, user)):
        return False
    if "[" in host:
        address, bracket, port = host.rpartition("]")
        ip, percent, zone = address[1:].partition("%25")
        zoned = zone != "" if percent else True
        return (
            bool(bracket) and re.fullmatch(_PORT, port) is not None and address[0] == "[" and zoned and _is_ip(ip, ":")
        )
    colon = host.rfind(":")
    return (colon < 0 or re.fullmatch(_PORT, host[colon:]) is not None) and re.fullmatch(_HOST, host) is not None


def _is_uri(text: str) -> bool:
    parsed = _url_path(text)
    return parsed is not None and parsed[0] != "" and "\\" not in text


def _is_uri_reference(text: str) -> bool:
    return _url_path(text) is not None and "\\" not in text


def _is_uri_template(text: str) -> bool:
    parsed = _url_path(text)
    return parsed is not None and "\\" not in text and parsed[1].rfind("{") <= parsed[1].rfind("}")


def _is_regex(text: str) -> bool:
    try:
        compile_pattern(text)
    except PatternError:
        return False
    return True


def _whole(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


_POINTER = r"(?:/(?:[^~/]++|~0|~1)*+)*+"

# Each format with a function that returns whether Go accepts a string. An `iri` is checked as a `uri`.
FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date": _is_date,
    "date-time": _is_date_time,
    "email": _is_email,
    "hostname": _is_hostname,
    "idn-email": _is_email,
    "ipv4": lambda text: _is_ip(text, "."),
    "ipv6": lambda text: _is_ip(text, ":"),
    "iri": _is_uri,
    "iri-reference": _is_uri_reference,
    "json-pointer": _whole(_POINTER),
    "regex": _is_regex,
    "relative-json-pointer": _whole(f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})"),
    "time": _is_time,
    "uri": _is_uri,
    "uri-reference": _is_uri_reference,
    "uri-template": _is_uri_template,
    "uuid": _whole("[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"),
}
