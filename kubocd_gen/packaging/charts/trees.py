"""Copy chart directories from disk or from a Git commit; symlinks can lead outside the allowed directories."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from kubocd_gen.archives.chart_members import is_plain_path
from kubocd_gen.budget.limits import LIMITS, MIB
from kubocd_gen.diagnostics.problems import ProblemsError, shown

SYMLINK = 100  # the number of entries that a symlink counts for, because it can repeat a whole directory
_DEEPEST = 64  # nested directories, as in a chart archive
Keep = Callable[[str], bool]
"""Return whether a file belongs to the chart, by its path relative to the chart's directory."""


class Tree(Protocol):
    """A source of chart directories. Paths are normalised."""

    def copy(self, path: str, target: Path, keep: Keep) -> None:
        """Copy the directory `path` to `target`, which does not exist, and follow symlinks. Raises ProblemsError."""


@dataclass(slots=True)
class Budget:
    """The remaining limits for a chart's directory."""

    describe: str
    files: int = LIMITS.chart_members
    bytes: int = field(default=LIMITS.chart)
    entries: int = LIMITS.files  # files and directories that are listed

    def look(self, entries: int, depth: int) -> None:
        """Count `entries`. Raises ProblemsError `bad-chart` if there are too many, or nested too deeply."""
        self.entries -= entries
        if self.entries < 0 or depth > _DEEPEST:
            raise ProblemsError.of(
                "bad-chart",
                f"{self.describe} contains more than {LIMITS.files} entries, or {_DEEPEST} nested directories",
                hint="check the path; it must be the directory with Chart.yaml",
            )

    def take(self, size: int, files: int = 1) -> None:
        """Count a file of `size` bytes. Raises ProblemsError `bad-chart` if the directory is too large."""
        self.files -= files
        self.bytes -= size
        if self.files < 0 or self.bytes < 0:
            raise ProblemsError.of(
                "bad-chart",
                f"{self.describe} contains more than {LIMITS.chart_members} files or {LIMITS.chart // MIB} MiB",
                hint="check the path; it must be the directory with Chart.yaml",
            )


@dataclass(frozen=True, slots=True)
class LocalTree:
    """Directories on disk. Symlinks can lead to any path below the `roots`, and nowhere else."""

    describe: str
    roots: tuple[Path, ...]  # with symlinks resolved

    def copy(self, path: str, target: Path, keep: Keep) -> None:
        """Copy a directory, without `.git`, and follow its symlinks.

        Raises ProblemsError: `missing-chart` or `bad-chart`.
        """
        directory = Path(path)
        try:
            self._check_symlink(directory, path)  # its parents can be symlinks, too
            inside = replace(self, roots=(*self.roots, Path(os.path.realpath(directory))))
            inside.copy_into(directory, target, "", keep, Budget(self.describe), ())
        except OSError as error:
            what = f"cannot read {self.describe}: {error.strerror} ({error.filename})"
            raise ProblemsError.of("missing-chart", what) from error

    def copy_into(
        self, directory: Path, target: Path, prefix: str, keep: Keep, budget: Budget, above: tuple[str, ...]
    ) -> None:
        """Copy one directory recursively; `above` are its parents in the tree, with symlinks resolved."""
        real = os.path.realpath(directory)
        if real in above:
            raise ProblemsError.of(
                "bad-chart", f"{self.describe} contains {shown(prefix)}, a symlink to its own parent"
            )
        target.mkdir(parents=True, exist_ok=True)
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        budget.look(len(entries), len(above))
        for entry in entries:
            name = prefix + entry.name
            if entry.name == ".git":
                continue
            if not is_plain_path(name):
                raise ProblemsError.of("bad-chart", f"{self.describe} contains the invalid file name {shown(name)}")
            if entry.is_symlink():
                budget.look(SYMLINK, len(above))
                self._check_symlink(Path(entry.path), name)
            if entry.is_dir():
                self.copy_into(Path(entry.path), target / entry.name, f"{name}/", keep, budget, (*above, real))
            elif keep(name):
                self._copy_file(Path(entry.path), target / entry.name, name, budget)

    def _copy_file(self, source: Path, target: Path, name: str, budget: Budget) -> None:
        # Without O_NONBLOCK, opening a FIFO would wait for a writer.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ProblemsError.of(
                    "bad-chart", f"{self.describe} contains {shown(name)}, which is not a regular file"
                )
            budget.take(status.st_size)
            target.write_bytes(file.read(status.st_size))  # not more, even if the file is growing

    def _check_symlink(self, path: Path, name: str) -> None:
        real = Path(os.path.realpath(path))
        if real != path and not any(real.is_relative_to(root) for root in self.roots):
            raise ProblemsError.of(
                "bad-chart",
                f"{self.describe} contains {shown(name)}, a symlink to {shown(str(real))}, outside the chart",
                hint="replace the symlink with the file; anyone who can pull the package can read it",
            )


def everything(_path: str) -> bool:
    """Keep every file."""
    return True
