"""KuboCD resources that several tests write to a workspace."""

from __future__ import annotations

from tests.support.workspace import Workspace


def unknown_parameter(workspace: Workspace) -> None:
    workspace.release("web", "parameters:\n  replicaz: 2")


def invalid_config(workspace: Workspace) -> None:
    workspace.source("config.yaml", config("defaultHelmTimeout: soon"))
    for name in "abcde":
        workspace.release(name)


def context(name: str, variables: str, *, parent: str | None = None) -> str:
    parents = f"  parents:\n    - name: {parent}\n" if parent else ""
    return (
        "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Context\n"
        f"metadata: {{name: {name}, namespace: default}}\nspec:\n{parents}  context: {variables}\n"
    )


def config(spec: str) -> str:
    return (
        "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Config\n"
        f"metadata: {{name: conf, namespace: kubocd}}\nspec:\n  {spec}\n"
    )


def installation(namespace: str, *, version: str = "v0.3.1", more: str = "") -> str:
    """A HelmRelease of the `kubocd-ctrl` chart."""
    return (
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n"
        f"metadata: {{name: kubocd, namespace: {namespace}}}\n"
        f"spec:\n  chart: {{spec: {{chart: kubocd-ctrl, version: '{version}'}}}}\n{more}"
    )
