"""Find output and sources that the next commit would not contain, for `kcd-gen build --fail-on-change`.

Each file is looked up in the repository that contains it: an output or a source can be in a submodule.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import checkout_root, display_path
from kubocd_gen.git.repository import Uncommitted, find_repository
from kubocd_gen.output.chart_list import CHART_LIST
from kubocd_gen.output.inventory import RECORDS
from kubocd_gen.pipeline.build import Built


@dataclass(frozen=True, slots=True)
class UncommittedFiles:
    """Outputs and sources that the commit would not contain, and errors if Git cannot answer.

    `untracked` and `changed` are sources: files that are not in the index, or are there with other content.
    """

    outputs: tuple[Path, ...]
    untracked: tuple[Path, ...]
    changed: tuple[Path, ...]
    errors: tuple[Problem, ...]


def find_uncommitted(built: Sequence[Built], *, written: bool) -> UncommittedFiles:
    """Return what the next commit would not contain. Without a repository, only what the build has written counts.

    `written` is set if the plans were carried out. Files that Git ignores do not count.
    """
    trees = _WorkingTrees()
    outputs = [one.cluster.output for one in built if trees.lack_output(one) or (written and one.drift)]
    sources = sorted({path for one in built for path in one.compilation.files})
    untracked = [path for path in sources if any(map(trees.is_untracked, _names(path)))]
    changed = [path for path in sources if any(map(trees.is_changed, _names(path)))]
    return UncommittedFiles(tuple(outputs), tuple(untracked), tuple(changed), tuple(trees.errors.values()))


def _names(path: Path) -> set[Path]:
    """Return the real path of a source, and that of the symlink if it is one."""
    return {Path(os.path.realpath(path)), Path(os.path.realpath(path.parent)) / path.name}


class _WorkingTrees:
    """The repositories that contain the files in question. Each is queried once. All paths are real paths."""

    def __init__(self) -> None:
        self.errors: dict[Path, Problem] = {}
        self._found: dict[Path, tuple[Path, Uncommitted]] = {}
        self._of_directory: dict[Path, tuple[Path, Uncommitted]] = {}

    def lack_output(self, built: Built) -> bool:
        """Return whether a file of the output is not in the index, or is still in it after a build removed it."""
        output = Path(os.path.realpath(built.cluster.output))
        paths = [output / change.path for change in built.plan.changes] if built.plan else []
        paths.append(output / CHART_LIST)  # next to the digest of the image, which Git has already
        if any(self.is_untracked(path) or self.is_changed(path) for path in paths):
            return True
        top, files = self._files(output / RECORDS)  # a build that removes a Release removes its inventory
        missing = [top / path for path in files.changed if not os.path.lexists(top / path)]
        return any(path.is_relative_to(output / RECORDS) for path in missing)

    def is_untracked(self, path: Path) -> bool:
        """Return whether a file is neither in the index nor ignored."""
        top, files = self._files(path)
        return path.relative_to(top).as_posix() in files.untracked

    def is_changed(self, path: Path) -> bool:
        """Return whether the index has other content for a file."""
        top, files = self._files(path)
        return path.relative_to(top).as_posix() in files.changed

    def _files(self, path: Path) -> tuple[Path, Uncommitted]:
        """Return the root of the working tree that contains `path`, and its uncommitted files."""
        directory = path.parent
        if directory not in self._of_directory:
            top = checkout_root(directory)
            if top is None:
                return Path("/"), Uncommitted()
            if top not in self._found:
                self._found[top] = self._query(top)
            self._of_directory[directory] = self._found[top]
        return self._of_directory[directory]

    def _query(self, top: Path) -> tuple[Path, Uncommitted]:
        try:
            repository = find_repository(top)  # that of a parent, if Git does not accept the `.git` in `top`
            return repository.top, repository.uncommitted()
        except ProblemsError as error:
            message = f"cannot determine whether the output is committed: {error.problem.message}"
            position = Position(display_path(top, Path.cwd()))
            self.errors[top] = Problem("git-failed", message, position, error.problem.hint)
            return top, Uncommitted()
