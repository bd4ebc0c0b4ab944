"""Names and paths that the server's image, its configuration and its Kubernetes manifests share."""

from __future__ import annotations

PORT = 8080  # unlike 80, this needs no capability
USER = 65532  # user and group in the container; Kubernetes can check runAsNonRoot only for a number
CONTENT_ROOT = "/srv/kcd-gen"  # the directory that contains `hr/`
CONFIGURATION = "/etc/nginx/nginx.conf"
SCRATCH = "/tmp"  # noqa: S108 - the only directory that the server writes to; an emptyDir in the Deployment
IMAGE_NAME = "kcd-gen-charts"  # the image in the Deployment, replaced by `images:` in kustomization.yaml
FOLDER = "server"  # the directory of the manifests in a cluster's output
