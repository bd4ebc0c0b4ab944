"""List the files that a commit of a migration contains."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.paths import checkout_root, fixed_part, shown_path
from kubocd_gen.model.project import PROJECT_FILE, Cluster, Project
from kubocd_gen.server.placement import place
from kubocd_gen.sources.flux_sync import find_syncs, lies_below, list_name

_FILES = (".sourceignore", ".gitattributes", ".gitignore", PROJECT_FILE, "kcd-gen.lock")


def files_to_commit(project: Project, cluster: Cluster) -> tuple[str, ...]:
    """Return the output, the sources, and what `kcd-gen init` writes outside of them, quoted for a shell.

    These are the Kustomizations that apply the output, the list that contains them, the project file, the lock file and
    the files with Git patterns. Not all of them must exist: `kcd-gen init server` can be run after the check.
    """
    root = checkout_root(project.root)
    if root is None:
        return (shlex.quote(shown_path(cluster.output)),)
    outputs = [one.output for one in project.clusters]
    output = os.path.relpath(os.path.realpath(cluster.output), root)
    syncs = find_syncs(root, outputs)
    files = {root / one.file for one in syncs if lies_below(one.path, output)}
    with contextlib.suppress(ProblemsError):  # `init server` needs --flux-dir
        files.add(root / place({cluster.name: output}, syncs, root, alone=len(outputs) == 1)[cluster.name].file)
    lists = {one.parent / listed for one in files if (listed := list_name(one.parent))}
    bases = dict.fromkeys((root, Path(os.path.realpath(project.root))))
    found = [cluster.output, *sorted(files | lists), *(base / name for base in bases for name in _FILES)]
    found += [project.root / fixed_part(source) for source in cluster.paths]
    inside = [one for one in found if one == cluster.output or Path(os.path.realpath(one)).is_relative_to(root)]
    return tuple(dict.fromkeys(shlex.quote(shown_path(one)) for one in inside))
