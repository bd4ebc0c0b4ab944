"""Packages in a real registry, and Releases that name them."""

from __future__ import annotations

import shutil

from tests.support.images import write_layout
from tests.support.registry import Running, skopeo
from tests.support.workspace import WEB_MANIFEST, Workspace, package_content, status_of


def push(
    registry: Running, workspace: Workspace, repository: str, tag: str = "1.0.0", manifest: str = WEB_MANIFEST
) -> str:
    """Push a package to the registry with skopeo. Returns its reference."""
    reference = f"{registry.host}/{repository}:{tag}"
    directory = workspace.root / "pushed"
    write_layout(directory, {"made": package_content(manifest, status_of(manifest))})
    skopeo("copy", "--dest-tls-verify=false", f"oci:{directory}:made", f"docker://{reference}", home=workspace.root)
    shutil.rmtree(directory)
    return reference


def release(workspace: Workspace, name: str, reference: str) -> None:
    repository, _, tag = reference.rpartition(":")
    workspace.source(
        f"{name}.yaml",
        f"""\
        apiVersion: kubocd.kubotal.io/v1alpha1
        kind: Release
        metadata: {{name: {name}, namespace: default}}
        spec: {{package: {{repository: '{repository}', tag: {tag}, insecure: true}}}}
        """,
    )
