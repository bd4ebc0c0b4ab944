"""Render the nginx configuration that serves the charts of an output, from the image or from a volume."""

from __future__ import annotations

from pathlib import PurePosixPath

from kubocd_gen.package_data import scaffolds
from kubocd_gen.server.layout import CONFIGURATION, CONTENT_ROOT, PORT, SCRATCH

_DIRECTORY = str(PurePosixPath(CONFIGURATION).parent)
_LISTEN_IPV6 = "listen-ipv6.conf"  # next to nginx.conf
# A path that exists if the kernel supports IPv6, and then resolves to `/`. nginx ignores an `include` with a wildcard
# that matches nothing.
_IF_IPV6 = "/proc/sys/net/[i]pv6/../../../.."


def configuration(*, port: int = PORT) -> dict[str, str]:
    """Return the configuration files of the server's image by their absolute paths."""
    return {CONFIGURATION: nginx_conf(port=port), f"{_DIRECTORY}/{_LISTEN_IPV6}": listen_ipv6(port=port)}


def nginx_conf(
    *,
    root: str = CONTENT_ROOT,
    port: int = PORT,
    scratch: str = SCRATCH,
    folder: str = _DIRECTORY,
    if_ipv6: str = _IF_IPV6,
) -> str:
    """Return nginx.conf for the read-only directory `root` with `hr/`; nginx writes only to `scratch`.

    `folder` contains listen-ipv6.conf (see `listen_ipv6`); without this file nginx listens only on IPv4.
    """
    return (
        scaffolds("server")
        .get_template("nginx.conf.j2")
        .render(root=root, port=port, scratch=scratch, listen_ipv6=f"{if_ipv6}{folder}/{_LISTEN_IPV6}")
    )


def listen_ipv6(*, port: int = PORT) -> str:
    """Return listen-ipv6.conf, which nginx.conf includes if IPv6 is available."""
    return f"listen [::]:{port};\n"
