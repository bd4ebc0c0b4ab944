"""Compare hosts as URL standards do: scheme, host and effective port (RFC 6454), so `registry:443` is `registry`."""

from __future__ import annotations

from urllib.parse import SplitResult

_PORTS = {"http": "80", "https": "443"}


def canonical_host(host: str, scheme: str) -> str:
    """Return `host[:port]` in lowercase, without the port if it is the default of `scheme`.

    A host that is not ASCII is unchanged: some letters, such as U+212A, would become ASCII.
    """
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdigit() and port.lstrip("0") == _PORTS.get(scheme) and name:
        host = name
    return host.lower() if host.isascii() else host


def spellings(host: str, scheme: str) -> tuple[str, ...]:
    """Return a canonical host without, and with, the default port of `scheme`."""
    has_port = ":" in host.rpartition("]")[2]
    return (host,) if has_port or scheme not in _PORTS else (host, f"{host}:{_PORTS[scheme]}")


def origin(parts: SplitResult) -> tuple[str, str]:
    """Return scheme and canonical host of a URL. URLs with the same origin are answered by the same server."""
    return parts.scheme, canonical_host(parts.netloc, parts.scheme)
