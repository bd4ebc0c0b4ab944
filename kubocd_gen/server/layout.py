"""Names and places that the server's image, its configuration and its Kubernetes manifests must agree on."""

from __future__ import annotations

PORT = 8080  # no capability is needed for it, unlike for 80
USER = 65532  # of user and group in the container; only a number can be checked against runAsNonRoot
CONTENT_ROOT = "/srv/kcd-gen"  # `hr/` lies directly below
CONFIGURATION = "/etc/nginx/nginx.conf"
SCRATCH = "/tmp"  # noqa: S108 - the one folder that the server writes to, in a container: an emptyDir
IMAGE_NAME = "kcd-gen-charts"  # what the Deployment names, and kustomize's `images:` replaces
FOLDER = "server"  # of the manifests, in a cluster's output
