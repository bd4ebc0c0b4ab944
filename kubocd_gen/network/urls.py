"""Untrusted URLs from responses: resolving and checking them, and removing secrets from them."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit

from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.network.settings import NetworkError

_LONGEST = 8 * 1024
NO_REGISTRY = "check the URL: the server does not behave like a registry"


def follow(url: str, location: str) -> str:
    """Return the URL that a Location field in a response from `url` refers to. It is not checked."""
    try:
        return urljoin(url, location)
    except ValueError:
        return location


def split_url(url: str, origin: str) -> SplitResult:
    """Split a URL that is about to be requested, which `origin` referred to. Raises NetworkError if it is invalid."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or len(url) > _LONGEST or not url.isprintable() or " " in url:
        raise no_registry(_host(origin), f"refers to {shown(public(url))}, which is not a valid HTTP URL")
    return parts


def public(url: str) -> str:
    """Return a URL for messages, without its user information and query, which can be secret."""
    return re.sub(r"//[^/]*@", "//…@", url.partition("?")[0])


def no_registry(host: str, what: str) -> NetworkError:
    """Return the error for behaviour that no registry has; `what` follows the host's name in the message."""
    return NetworkError(f"{host} {what}", code="registry-failed", hint=NO_REGISTRY)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "the address"
    except ValueError:
        return "the address"
