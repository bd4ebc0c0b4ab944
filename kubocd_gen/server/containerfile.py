"""Render the Containerfile of the server's image, for builds with a container engine."""

from __future__ import annotations

from pathlib import PurePosixPath

from kubocd_gen.package_data import scaffolds
from kubocd_gen.server.layout import CONFIGURATION, CONTENT_ROOT, PORT, USER

# The default base of a Containerfile, which its owner keeps up to date. The digest is of the index of all platforms.
BASE = (
    "docker.io/nginxinc/nginx-unprivileged:1.28-alpine"
    "@sha256:7377697a821c131a924a7105fafbe7414db4e9fcc77a6f08f776f33f141ec3f8"
)


def containerfile(base: str = BASE) -> str:
    """Return a Containerfile. Its context is a cluster's output, with nginx.conf and listen-ipv6.conf in `server/`."""
    return (
        scaffolds("server")
        .get_template("Containerfile.j2")
        .render(
            base=base,
            configuration=str(PurePosixPath(CONFIGURATION).parent),
            root=CONTENT_ROOT,
            user=USER,
            port=PORT,
        )
    )
