"""Recognize secrets by their form, whatever their name: private keys, tokens, passwords in URLs."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator

MASK = "•••"

_PEM = re.compile(
    r"(?P<name>-----BEGIN (?P<label>[A-Z0-9 ]{1,40})-----)(?P<value>(?:(?!-----(?:END|BEGIN)).)*)(?=-----|\Z)",
    re.DOTALL,
)
_PUBLIC = re.compile(r"(?:PUBLIC KEY(?: BLOCK)?|CERTIFICATE(?: REQUEST)?|X509 CRL|DH PARAMETERS|EC PARAMETERS)\Z")
_URL = re.compile(r"(?P<name>://[^/\s:@'\"]*:)(?P<value>[^\s/'\"]+)(?=@)")
_URL_TOKEN = re.compile(r"(?P<name>://)(?P<value>[A-Za-z0-9_-]{20,})(?=@)")
_USER = re.compile(
    r"(?P<name>(?<![\w.+:/@-])[\w.+-]{1,64}:)(?P<value>[^\s@/:'\",;]+)"
    r"(?=@(?:(?:tcp|udp|unix)\(|(?!sha\d+:)[\w.-]+(?::\d|/)))"
)
_HEADER = re.compile(
    r"(?P<name>\b(?P<scheme>Bearer|Basic|Token|ApiKey)\s+)(?P<value>[A-Za-z0-9+/=._~-]{8,})", re.IGNORECASE
)
_QUERY = re.compile(
    r"(?P<name>[?&](?:key|sig|signature|x-amz-signature|x-amz-security-token|x-goog-signature|code|auth)=)"
    r"(?P<value>[^&#\s'\"]+)",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}"
    r"|gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|soat|imt|agent|ffct|wt)-[A-Za-z0-9_.-]{16,}"
    r"|xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"
    r"|https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{10,}"
    r"|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{16,}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{20,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{16,}|do[a-z]_v1_[a-f0-9]{32,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"
    r"|hv[sbr]\.[A-Za-z0-9_-]{16,}|dckr_pat_[A-Za-z0-9_-]{16,}|AGE-SECRET-KEY-1[A-Z0-9]{20,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|\$(?:apr1|1|5|6)\$[^\s:$]{1,16}\$[./A-Za-z0-9]{20,}"
    r"|\{SHA\}[A-Za-z0-9+/]{27}="
    r")"
)
# Lines of base64, of which only the last can be short. A line break can be a JSON escape.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{20,}+[ \t]*+(?:\\[rn])*+[\r\n]*+[ \t]*+)*+[A-Za-z0-9+/_-]{0,}+={0,2}")
_BASE64_START = re.compile(r"(?<![A-Za-z0-9+/_=-])(?=[A-Za-z0-9+/_-]{20})")
_AFTER = ("", "\n", "\r", '"', "'", "`", ",", "<", "}", "]")  # characters after the end of base64
_LAST_LINE = re.compile(r"(?:\\[rn]|[\r\n])[^\r\n\\]*\Z")
_SHORTEST = 20
_LONGEST = 128 << 10  # characters of base64 that are decoded


def _cores() -> Iterator[str]:
    """Yield the base64 of the start of a PEM block, for each of the three alignments."""
    start = b"-----BEGIN "
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + start + bytes(3)).decode("ascii")
        yield encoded[-(-shift * 8 // 6) : (shift + len(start)) * 8 // 6]


_CORES = tuple(_cores())


def masked_shapes(text: str, decoded: Callable[[str], bool]) -> str:
    """Return `text` with all secrets masked that are recognized by their form.

    `decoded` returns whether text decoded from base64 contains a secret.
    """
    if "-----BEGIN " in text:
        text = _PEM.sub(rf"\g<name>{MASK}", text)
    text = _TOKEN.sub(MASK, text)
    for pattern in (_URL, _URL_TOKEN, _USER, _QUERY):
        text = pattern.sub(rf"\g<name>{MASK}", text)
    text = _HEADER.sub(_masked_header, text)
    return _without_base64(text, decoded)


def literal_shape(text: str, decoded: Callable[[str], bool]) -> bool:
    """Return whether the text contains a secret that is recognized by its form. Certificates and public keys are not.

    `decoded` returns whether text decoded from base64 contains a secret.
    """
    if any(_PUBLIC.search(found["label"]) is None for found in _PEM.finditer(text)) or _TOKEN.search(text):
        return True
    for pattern in (_URL, _USER):
        if any(not is_placeholder(found["value"]) and "{{" not in found[0] for found in pattern.finditer(text)):
            return True
    if any(looks_random(found["value"]) for found in _HEADER.finditer(text)):
        return True
    return any(decoded(inner) for inner in _decoded(text))


def is_placeholder(value: str) -> bool:
    """Return whether the value is a variable to be replaced: `${NAME}`, `$(NAME)` or `$NAME`."""
    return re.fullmatch(r"\$(?:\{[A-Za-z0-9_.]+\}|\([A-Za-z0-9_.]+\)|[A-Z_][A-Z0-9_]*)", value) is not None


def is_plain(value: str) -> bool:
    """Return whether the value consists only of words: `basic`, `topology.kubernetes.io/zone`."""
    return re.fullmatch(r"[A-Za-z]+(?:[-_./: ][A-Za-z]+)*", value) is not None


def is_login(value: str) -> bool:
    """Return whether the value is `user:password` in base64, as in registry logins and HTTP Basic authentication."""
    try:
        login = base64.b64decode(value, validate=True).decode("utf-8")
    except ValueError:
        return False
    return ":" in login and login.isprintable()


def looks_random(value: str) -> bool:
    """Return whether the value is too random to be a name that a person chose."""
    if len(value) < 12 or any(character.isspace() for character in value):
        return False
    name = re.fullmatch(r"[a-z0-9]+(?:[-./_:][a-z0-9]+)*", value)
    return name is None or re.fullmatch(r"[0-9a-f]{24,}", value) is not None


def _masked_header(found: re.Match[str]) -> str:
    prose = found["scheme"].lower() != "bearer" and is_plain(found["value"])
    return found[0] if prose else f"{found['name']}{MASK}"


def _without_base64(text: str, decoded: Callable[[str], bool]) -> str:
    parts: list[str] = []
    at = 0
    for start, runs in _runs(text):
        for run in runs if start >= at else ():
            squeezed = _squeezed(run)
            if any(core in squeezed for core in _CORES) or ((inner := _decode(squeezed)) and decoded(inner)):
                parts += [text[at:start], MASK]
                at = start + len(run)
                break
    return "".join((*parts, text[at:]))


def _decoded(text: str) -> Iterator[str]:
    """Yield the decoded base64 in the text."""
    for _, runs in _runs(text):
        yield from (inner for run in runs if (inner := _decode(_squeezed(run))))


def _runs(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each index at which base64 can start, and the candidates: its last line can belong to the text after it."""
    at = 0
    for start in _BASE64_START.finditer(text):
        found = _BASE64.match(text, start.start()) if start.start() >= at else None
        if found is None:
            continue
        whole = found[0].rstrip("\r\n\t ")
        first = _LAST_LINE.sub("", whole)
        at = found.start() + len(first)
        word_follows = text[found.end() : found.end() + 1] not in _AFTER
        runs = dict.fromkeys([first, whole] if word_follows else [whole, first])
        yield found.start(), [run for run in runs if len(run) >= _SHORTEST]


def _squeezed(run: str) -> str:
    return re.sub(r"\\[rn]|\s", "", run).rstrip("=").replace("-", "+").replace("_", "/")


def _decode(squeezed: str) -> str | None:
    """Decode base64 to text; None if the result is not printable text or too long."""
    if len(squeezed) > _LONGEST:
        return None
    try:
        text = base64.b64decode(squeezed[: len(squeezed) - (len(squeezed) % 4 == 1)] + "==").decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return text if all(character.isprintable() or character in "\r\n\t" for character in text) else None
