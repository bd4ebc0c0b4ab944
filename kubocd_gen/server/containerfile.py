"""The recipe of the server's image, for who builds images with a container engine."""

from __future__ import annotations

from pathlib import PurePosixPath

from kubocd_gen.package_data import scaffolds
from kubocd_gen.server.layout import CONFIGURATION, CONTENT_ROOT, PORT, USER

# What a Containerfile begins with; who owns the file keeps it up to date. The digest is that of the index of all
# platforms, as public repositories pin it.
BASE = (
    "docker.io/nginxinc/nginx-unprivileged:1.28-alpine"
    "@sha256:7377697a821c131a924a7105fafbe7414db4e9fcc77a6f08f776f33f141ec3f8"
)


def containerfile(base: str = BASE) -> str:
    """A Containerfile whose context is a cluster's output, with nginx.conf and listen-ipv6.conf in its `server/`."""
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
