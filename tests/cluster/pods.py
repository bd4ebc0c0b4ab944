"""A stand-in for nodes: it reports pods as running and ready, but runs no containers."""

from __future__ import annotations

import json

from tests.cluster.control_plane import Kubectl
from tests.cluster.processes import ClusterError

_STATUS = {
    "phase": "Running",
    "conditions": [
        {"type": name, "status": "True"} for name in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ],
}


def report_as_running(kubectl: Kubectl) -> None:
    """Set the status of each pod that has none, as a kubelet would, so that Helm sees Deployments become available."""
    for pod in kubectl.objects(["pods"]):
        if pod["status"].get("phase") == "Pending":
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            patch = json.dumps({"status": _STATUS})
            try:
                kubectl("patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
            except ClusterError as error:
                if "not found" not in str(error):  # deleted in the meantime
                    raise
