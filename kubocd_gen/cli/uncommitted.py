"""What is missing from a commit after a build, for pre-commit hooks."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubocd_gen.diagnostics.annotations import repository_path
from kubocd_gen.diagnostics.problems import ProblemsError, printable
from kubocd_gen.files.paths import display_path
from kubocd_gen.git.repository import find_repository
from kubocd_gen.pipeline.build import Built


def missing_from_commit(root: Path, built: Sequence[Built], *, written: bool) -> Iterator[str]:
    """Yield what to do so that the commit contains the output and its Releases; nothing if it does.

    Paths of sources are relative to `root`. `written` tells whether the build has written its plan. Files that Git
    ignores or that are outside the repository do not count. Without Git, only what the build has changed counts.
    """
    try:
        repository = find_repository(Path.cwd())
    except ProblemsError:
        top, untracked = Path.cwd(), frozenset[str]()
    else:
        top, untracked = repository.top, repository.untracked()
    outputs, sources = [], set[str]()
    for one in built:
        output = Path(os.path.realpath(one.cluster.output))
        plan = one.plan.changes if one.plan and output.is_relative_to(top) else ()
        below = output.relative_to(top).as_posix() if plan else ""
        if (written and one.drift) or any(f"{below}/{change.path}".removeprefix("./") in untracked for change in plan):
            outputs.append(display_path(one.cluster.output, Path.cwd()))
        files = {release.release.resource.file.path for release in one.compilation.releases} if untracked else ()
        sources.update(path for path in files if repository_path(path, root, top) in untracked)
    if outputs:
        yield printable(f"add the output to the commit: {shlex.join(['git', 'add', *outputs])}")
    for path in sorted(sources):
        yield printable(f"{path} is a source but not tracked by Git: add it, or move it out of the sources")
