"""What a commit still lacks after a build: for hooks that run before it."""

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


def left_out(root: Path, built: Sequence[Built], *, written: bool) -> Iterator[str]:
    """What is to be done so that the commit holds what was compiled, and its Releases; nothing where it does.

    Paths of sources begin at `root`. `written` says that the build has carried out its plan. Files that Git ignores,
    or has nothing to do with, don't count; without Git only what the build has changed does.
    """
    try:
        repository = find_repository(Path.cwd())
    except ProblemsError:
        top, unknown = Path.cwd(), frozenset[str]()
    else:
        top, unknown = repository.top, repository.untracked()
    outputs, sources = [], set[str]()
    for one in built:
        output = Path(os.path.realpath(one.cluster.output))
        plan = one.plan.changes if one.plan and output.is_relative_to(top) else ()
        below = output.relative_to(top).as_posix() if plan else ""
        if (written and one.drift) or any(f"{below}/{change.path}".removeprefix("./") in unknown for change in plan):
            outputs.append(display_path(one.cluster.output, Path.cwd()))
        files = {release.release.resource.file.path for release in one.compilation.releases} if unknown else ()
        sources.update(path for path in files if repository_path(path, root, top) in unknown)
    if outputs:
        yield printable(f"add what was compiled to the commit: {shlex.join(['git', 'add', *outputs])}")
    for path in sorted(sources):
        yield printable(f"{path} was compiled, too, and Git does not know it: add it, or move it out of the sources")
