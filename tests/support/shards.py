"""A project that is compiled in parts: two clusters, whose Releases depend on each other and have problems."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.workspace import WEB_MANIFEST, Workspace

PROJECT = """\
apiVersion: kcd-gen/v1alpha1
kind: Project
packages: {vendor: packages}
clusters:
- {name: prod, sources: [sources], output: output/prod}
- {name: test, sources: [sources, more], output: output/test}
"""
DATABASE = WEB_MANIFEST.replace("name: web", "name: db", 1) + "roles: [database]\n"
RANDOM = WEB_MANIFEST.replace("name: web", "name: random", 1).replace(
    "host: {{ .Parameters.host }}", "host: {{ now | unixEpoch | trunc 3 }}"
)
CONTEXT = """\
apiVersion: kubocd.kubotal.io/v1alpha1
kind: Context
metadata: {{name: {name}, namespace: default}}
spec: {{context: {{domain: example.com, number: {number}}}}}
"""
DB, BY_CHANCE = "registry.example.com/demo/db:1.0.0", "registry.example.com/demo/random:1.0.0"
COUNT = 24  # Releases


def write_project(root: Path) -> Workspace:
    """Write the project, with an output of an earlier build."""
    workspace = Workspace(root)
    workspace.package()
    workspace.package(DATABASE, reference=DB)
    workspace.package(RANDOM, reference=BY_CHANCE)
    (root / "kcd-gen.yaml").write_text(PROJECT)
    (root / "more").mkdir()
    (root / "more/extra.yaml").write_text(
        "apiVersion: kubocd.kubotal.io/v1alpha1\nkind: Release\nmetadata: {name: extra, namespace: other}\n"
        "spec: {package: {repository: registry.example.com/demo/web, tag: 1.0.0}, dependencies: [cache]}\n"
    )
    workspace.source(
        "contexts.yaml", CONTEXT.format(name="shared", number=1) + "---\n" + CONTEXT.format(name="unused", number=2)
    )
    workspace.release("db", "roles: [cache]\nprotected: true\n", package=DB)
    workspace.release("chance", package=BY_CHANCE)
    workspace.release("stopped", "suspended: true\nroles: [queue]\n")
    workspace.release("broken", "parameters: {replicas: many}\n")
    workspace.release("lost", "contexts: [{name: missing}]\n")
    for number in range(COUNT - 6):
        spec = f"parameters: {{replicas: {number}, host: h{number}.example.com}}\n"
        spec += "contexts: [{name: shared, namespace: default}]\n"
        if number % 3 == 0:
            spec += "dependencies: [database]\n"
        if number % 5 == 0:
            spec += "moduleOverrides: [{module: nothing, timeout: 5m}]\n"  # a warning
        workspace.release(f"web{number}", spec, namespace="shop" if number % 2 else "default")
    return workspace


def another_checkout(workspace: Workspace, root: Path) -> Path:
    """Return a copy of the project, as another machine has it, without the output."""
    shutil.copytree(workspace.root, root, ignore=shutil.ignore_patterns("output", ".cache", "*.shard"))
    return root
