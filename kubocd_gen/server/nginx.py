"""The configuration of nginx that serves an output's charts, in the image and over a volume alike."""

from __future__ import annotations

from pathlib import PurePosixPath

from kubocd_gen.package_data import scaffolds
from kubocd_gen.server.layout import CONFIGURATION, CONTENT_ROOT, PORT, SCRATCH

_FOLDER = str(PurePosixPath(CONFIGURATION).parent)
_LISTEN_IPV6 = "listen-ipv6.conf"  # beside nginx.conf
# A path that exists where the kernel knows IPv6, and is `/` then. nginx passes over an `include` that matches nothing
# if there is a wildcard in it.
_IF_IPV6 = "/proc/sys/net/[i]pv6/../../../.."


def configuration(*, port: int = PORT) -> dict[str, str]:
    """The files that the server's image needs, by their absolute paths."""
    return {CONFIGURATION: nginx_conf(port=port), f"{_FOLDER}/{_LISTEN_IPV6}": listen_ipv6(port=port)}


def nginx_conf(
    *,
    root: str = CONTENT_ROOT,
    port: int = PORT,
    scratch: str = SCRATCH,
    folder: str = _FOLDER,
    if_ipv6: str = _IF_IPV6,
) -> str:
    """nginx.conf for the folder `root` (with `hr/` in it), which is only read; what nginx writes goes to `scratch`.

    In `folder` lies what `listen_ipv6` returns, as listen-ipv6.conf; without it nginx listens on IPv4 alone.
    """
    return (
        scaffolds("server")
        .get_template("nginx.conf.j2")
        .render(root=root, port=port, scratch=scratch, listen_ipv6=f"{if_ipv6}{folder}/{_LISTEN_IPV6}")
    )


def listen_ipv6(*, port: int = PORT) -> str:
    """What nginx.conf includes where there is IPv6."""
    return f"listen [::]:{port};\n"
