"""The proxy to use for a URL, from the environment."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def proxy_for(url: str) -> str | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names for `url`; None if NO_PROXY lists the host.

    NO_PROXY lists hosts, with or without a port, domains, addresses and networks (`10.0.0.0/8`), as for curl and Go.
    """
    from urllib.request import getproxies, proxy_bypass  # imports ssl

    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc) or _in_network(parts.hostname or "", proxies.get("no", "")):
        return None
    return proxy


def _in_network(host: str, networks: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for network in networks.split(","):
        try:
            if address in ipaddress.ip_network(network.strip(), strict=False):
                return True
        except ValueError:
            continue  # a host name
    return False
