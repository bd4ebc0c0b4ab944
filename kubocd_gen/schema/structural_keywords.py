"""The keywords of the shipped structural schemas that check one value, and the rules in CEL, with their messages."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from kubocd_gen.diagnostics.wording import at_least, at_most, not_among, quoted
from kubocd_gen.schema.names import LABEL, LABEL_HINT, LABEL_PATTERN, SUBDOMAIN, SUBDOMAIN_HINT, SUBDOMAIN_PATTERN

_Message = tuple[str, str | None] | None
Check = Callable[[Any, Any, bool], _Message]  # the value, the keyword's value, whether the message quotes the value

# The patterns of the shipped schemas in words, each with a hint.
PATTERNS: Mapping[str, tuple[str, str]] = {
    r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$": ("a duration in h, m, s and ms", "use a duration such as 90s, 5m or 1h30m"),
    r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$": (
        "a duration in m, s and ms",
        "use a duration such as 90s or 60m; hours are not supported here",
    ),
    r"^https?://.+": ("an http:// or https:// URL", "use a complete URL such as https://charts.example.com"),
    LABEL_PATTERN: (LABEL, LABEL_HINT),
    SUBDOMAIN_PATTERN: (SUBDOMAIN, SUBDOMAIN_HINT),
}


def _enum(value: Any, allowed: list[Any], quote: bool) -> _Message:
    return None if value in allowed else not_among(allowed, value, quote=quote)


def _pattern(value: Any, pattern: str, quote: bool) -> _Message:
    if compiled(pattern).search(value):
        return None
    if pattern in PATTERNS:
        wanted, hint = PATTERNS[pattern]
        return f"must be {wanted}{f', not {quoted(value)}' if quote else ''}", hint
    return f"must match '{pattern}'{f', but {quoted(value)} does not' if quote else ''}", None


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    # Go's `$` matches only at the end of the text, Python's also before a final newline. Otherwise the patterns of the
    # shipped schemas match the same in both, as a test checks, so there is no need to import RE2.
    return re.compile(re.sub(r"\$$", r"\\Z", pattern))


def _bound(holds: Callable[[float, float], bool], words: Callable[..., str], unit: str | None = None) -> Check:
    def check(value: Any, limit: float, quote: bool) -> _Message:
        size = value if unit is None else len(value)
        return None if holds(size, limit) else (words(limit, size, unit, quote=quote or unit is not None), None)

    return check


# A structural schema has each keyword only with its own type. Lengths are in characters (the API server's message says
# bytes, but it counts characters).
CHECKS: Mapping[str, Check] = {
    "enum": _enum,
    "pattern": _pattern,
    "minLength": _bound(operator.ge, at_least, "character"),
    "maxLength": _bound(operator.le, at_most, "character"),
    "minimum": _bound(operator.ge, at_least),
    "maximum": _bound(operator.le, at_most),
    "minItems": _bound(operator.ge, at_least, "item"),
    "maxItems": _bound(operator.le, at_most, "item"),
}

Rule = tuple[Callable[[Mapping[str, Any]], bool], str]

# The CEL rules of the shipped schemas, each as a function with its message.
RULES: Mapping[str, Rule] = {
    "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))": (
        lambda spec: ("chart" in spec) != ("chartRef" in spec),
        "must have either 'chart' or 'chartRef', but not both",
    ),
    "!has(self.retryInterval) || self.name != 'RemediateOnFailure'": (
        lambda strategy: "retryInterval" not in strategy or strategy["name"] != "RemediateOnFailure",
        "cannot have 'retryInterval' with the strategy 'RemediateOnFailure'",
    ),
    "!has(self.retryInterval) || self.name == 'RetryOnFailure'": (
        lambda strategy: "retryInterval" not in strategy or strategy["name"] == "RetryOnFailure",
        "can have 'retryInterval' only with the strategy 'RetryOnFailure'",
    ),
    "has(self.configMapRef) || has(self.secretRef)": (
        lambda reference: "configMapRef" in reference or "secretRef" in reference,
        "must have 'configMapRef' or 'secretRef'",
    ),
    "!has(self.configMapRef) || !has(self.secretRef)": (
        lambda reference: not ("configMapRef" in reference and "secretRef" in reference),
        "cannot have both 'configMapRef' and 'secretRef'",
    ),
    "!has(self.serviceAccountName) || (has(self.provider) && self.provider == 'azure')": (
        lambda spec: "serviceAccountName" not in spec or spec.get("provider") == "azure",
        "can have 'serviceAccountName' only with the provider 'azure'",
    ),
    "!has(self.serviceAccountName) || (has(self.provider) && (self.provider == 'azure' || self.provider == 'aws'))": (
        lambda spec: "serviceAccountName" not in spec or spec.get("provider") in ("azure", "aws"),
        "can have 'serviceAccountName' only with the provider 'azure' or 'aws'",
    ),
    "has(self.pathPattern) && size(self.pathPattern) > 0 || self.artifacts.all(a, a.name.matches("
    rf"'{SUBDOMAIN_PATTERN.replace(chr(92), chr(92) * 2)}'))": (
        lambda spec: (
            bool(spec.get("pathPattern"))
            or all(compiled(SUBDOMAIN_PATTERN).search(artifact["name"]) for artifact in spec["artifacts"])
        ),
        "must have a 'pathPattern', or artifacts whose names are RFC 1123 subdomains",
    ),
}
