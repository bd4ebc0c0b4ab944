"""Where the output of a cluster is in the source from which Flux applies it."""

from __future__ import annotations

import os
from pathlib import Path

from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.files.paths import checkout_root, shown_path
from kubocd_gen.model.project import Cluster, Project


def path_in_source(cluster: Cluster, project: Project) -> str | None:
    """Return the path of the cluster's output in Flux's source: `./deploy/prod`, relative to the repository's root.

    Returns None if no repository contains the output. A revision's files are in a temporary directory without Git,
    which is the root of its checkout.
    """
    output = Path(os.path.realpath(cluster.output))
    top = checkout_root(output) or project.files.root
    return f"./{os.path.relpath(output, top)}".removesuffix("/.") if output.is_relative_to(top) else None


def outside_git(cluster: Cluster) -> Problem:
    """Return the error for an output with charts that is in no Git repository."""
    position = cluster.delivery_place() if cluster.delivery_place else None
    message = (
        f"cluster '{cluster.name}': 'delivery: git' needs an output in a Git repository, whose root is that of Flux's "
        f"source, but '{shown_path(cluster.output)}' is in none"
    )
    hint = "run 'git init' where the root of the repository is, or choose an output in a repository"
    return Problem("no-repository", message, position, hint)
