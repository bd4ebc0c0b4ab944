"""The chart server's container: names and paths, the nginx configuration, and a Containerfile."""

from __future__ import annotations

from pathlib import PurePosixPath

from kubocd_gen.kustomize import pinned_image
from kubocd_gen.output import chart_list
from kubocd_gen.package_data import scaffolds

PORT = 8080  # unlike 80, this needs no capability
USER = 65532  # user and group in the container; Kubernetes can check runAsNonRoot only for a number
CONTENT_ROOT = "/srv/kcd-gen"  # the directory that contains `hr/`
CONFIGURATION = "/etc/nginx/nginx.conf"
SCRATCH = "/tmp"  # noqa: S108 - the only directory that the server writes to; an emptyDir in the Deployment
IMAGE_NAME = pinned_image.IMAGE_NAME  # the image in the Deployment, replaced by `images:` in kustomization.yaml
MANIFESTS = chart_list.SERVER  # the directory of the manifests in a cluster's output

# The default base of a Containerfile, which its owner keeps up to date. The digest is of the index of all platforms.
BASE = (
    "docker.io/nginxinc/nginx-unprivileged:1.28-alpine"
    "@sha256:7377697a821c131a924a7105fafbe7414db4e9fcc77a6f08f776f33f141ec3f8"
)

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
    directory: str = _DIRECTORY,
    if_ipv6: str = _IF_IPV6,
) -> str:
    """Return nginx.conf for the read-only directory `root` with `hr/`; nginx writes only to `scratch`.

    `directory` contains listen-ipv6.conf (see `listen_ipv6`); without this file nginx listens only on IPv4.
    """
    return (
        scaffolds("server")
        .get_template("nginx.conf.j2")
        .render(root=root, port=port, scratch=scratch, listen_ipv6=f"{if_ipv6}{directory}/{_LISTEN_IPV6}")
    )


def listen_ipv6(*, port: int = PORT) -> str:
    """Return listen-ipv6.conf, which nginx.conf includes if IPv6 is available."""
    return f"listen [::]:{port};\n"


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
