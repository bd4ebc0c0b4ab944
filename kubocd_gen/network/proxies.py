"""Select the proxy for a request, by the rules of Go's `golang.org/x/net/http/httpproxy`, which helm and cosign use.

Python's `urllib.request` has other rules: it prefers lowercase variables, ignores ports and networks, and proxies
requests to the machine itself. ALL_PROXY, which Go ignores, is used if the variable for the scheme is not set.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from kubocd_gen.diagnostics.problems import shown
from kubocd_gen.network.settings import NetworkError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"http": "80", "https": "443"}
_SUBNET = re.compile(r"[0-9a-f.:]+/[0-9]{1,3}")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def proxy_for(url: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Return the address of the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names for `url`, or None.

    `environment` is os.environ except in tests. Raises NetworkError `unsupported-proxy`.
    """
    variables = os.environ if environment is None else environment
    parts = urlsplit(url)
    name = f"{parts.scheme.upper()}_PROXY"
    name = name if _variable(variables, name) else "ALL_PROXY"
    proxy = _variable(variables, name)
    host, port = _ascii(parts.hostname or ""), str(parts.port or _PORTS.get(parts.scheme, ""))
    if not proxy or not _uses_proxy(host, port, _variable(variables, "NO_PROXY")):
        return None
    scheme, named, _ = proxy.partition("://")
    if named and scheme.lower() not in _PORTS:
        raise NetworkError(
            f"the proxy of {name} has the scheme {shown(scheme)}, which is not supported",
            code="unsupported-proxy",
            hint=f"set {parts.scheme.upper()}_PROXY to an HTTP proxy ('http://' or 'https://'),"
            f" or add {shown(host)} to NO_PROXY if it can be reached directly",
        )
    if parts.scheme == "http" and variables.get("REQUEST_METHOD"):
        raise NetworkError(
            f"{name} is not used while REQUEST_METHOD is set: in a CGI program, a client can set HTTP_PROXY",
            code="unsupported-proxy",
            hint="unset REQUEST_METHOD",
        )
    return proxy


def _variable(variables: Mapping[str, str], name: str) -> str:
    """Return a variable in uppercase or, if that is empty, in lowercase."""
    return variables.get(name) or variables.get(name.lower()) or ""


def _uses_proxy(host: str, port: str, no_proxy: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return False
    entries = [entry for one in no_proxy.split(",") if (entry := one.strip().lower())]
    return "*" not in entries and not any(_matches(entry, host, port, address) for entry in entries)


def _matches(entry: str, host: str, port: str, address: Address | None) -> bool:
    """Return whether an entry of NO_PROXY, in lowercase, is for a host; `address` is None if `host` is a name.

    An entry is a network, an address, or a domain; the last two can have a port. A domain includes its subdomains, and
    with a leading `.` or `*.` only these.
    """
    if (subnet := _subnet(entry)) is not None:
        return address is not None and address in subnet
    name, wanted = _split(entry)
    listed = _address(name, zone=False)
    if not name or (wanted and wanted != port):
        return False
    if listed is not None or address is not None:
        return listed == address
    name = _ascii(name.removeprefix("*") if name.startswith("*.") else name)
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _split(entry: str) -> tuple[str, str]:
    """Return host and port as Go's `net.SplitHostPort`, or the whole entry without a port if it has none."""
    match = re.fullmatch(r"\[([^\[\]]*)\]:([^:\[\]]*)|([^:\[\]]*):([^:\[\]]*)", entry)
    if match is None:
        return entry, ""
    return (match[3], match[4]) if match[1] is None else (match[1], match[2])


def _address(text: str, *, zone: bool = True) -> Address | None:
    """Return an IP address, an IPv4 address also if it is mapped to IPv6, or None. A zone is ignored."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0] if zone else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _subnet(text: str) -> Subnet | None:
    if not _SUBNET.fullmatch(text):
        return None
    try:
        subnet = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(subnet, ipaddress.IPv6Network) and subnet.subnet_of(_MAPPED):
        first = int(subnet.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((first, subnet.prefixlen - 96))
    return subnet


def _ascii(host: str) -> str:
    """Return a host name in lowercase and in ASCII, as it is requested; unchanged if it is not valid."""
    try:
        return host.lower() if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host
