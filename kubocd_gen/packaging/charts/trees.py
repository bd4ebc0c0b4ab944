"""Chart folders to copy from: on disk or in a Git commit, with links that lead out of where a chart may come from."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from kubocd_gen.archives.chart_members import is_plain_path
from kubocd_gen.budget.limits import LIMITS
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.quoting import shown
from kubocd_gen.oci.descriptors import MIB

LINK = 100  # entries that a link counts for: it can show a whole folder again
_DEEPEST = 64  # folders in each other, as in a chart's archive
Keep = Callable[[str], bool]
"""Whether a file belongs to the chart, by its path below the chart's folder."""


class Tree(Protocol):
    """Where chart folders are. Paths are those of `root()` and relative ones from there, normalised."""

    def copy(self, path: str, target: Path, keep: Keep) -> None:
        """Copy the folder at `path`, links followed, to `target`, which is not there yet. Raises ProblemsError."""


@dataclass(slots=True)
class Budget:
    """What a chart's folder may hold; every copied file is taken off."""

    describe: str
    files: int = LIMITS.chart_members
    bytes: int = field(default=LIMITS.chart)
    entries: int = LIMITS.files  # files or folders that are looked at

    def look(self, entries: int, depth: int) -> None:
        """Raises ProblemsError `bad-chart` where the folder has too many entries, or folders in each other."""
        self.entries -= entries
        if self.entries < 0 or depth > _DEEPEST:
            raise ProblemsError(
                Problem(
                    "bad-chart",
                    f"{self.describe} holds more than {LIMITS.files} entries, or {_DEEPEST} folders in each other",
                    hint="is it a chart's folder? name the one that holds Chart.yaml",
                )
            )

    def take(self, size: int, files: int = 1) -> None:
        """Raises ProblemsError `bad-chart` where the folder holds too much."""
        self.files -= files
        self.bytes -= size
        if self.files < 0 or self.bytes < 0:
            raise ProblemsError(
                Problem(
                    "bad-chart",
                    f"{self.describe} holds more than {LIMITS.chart_members} files or {LIMITS.chart // MIB} MiB",
                    hint="is it a chart's folder? name the one that holds Chart.yaml",
                )
            )


@dataclass(frozen=True, slots=True)
class LocalTree:
    """Folders on disk. A link may lead to where it likes below the `roots`, and nowhere else."""

    describe: str
    roots: tuple[Path, ...]  # without links

    def copy(self, path: str, target: Path, keep: Keep) -> None:
        """Copy a folder with its links followed. `.git` is left out.

        Raises ProblemsError `missing-chart`, `bad-chart`.
        """
        folder = Path(path)
        try:
            self._check_link(folder, path)  # the way to it, too
            inside = replace(self, roots=(*self.roots, Path(os.path.realpath(folder))))
            inside.copy_into(folder, target, "", keep, Budget(self.describe), ())
        except OSError as error:
            what = f"{self.describe} cannot be read: {error.strerror} ({error.filename})"
            raise ProblemsError(Problem("missing-chart", what)) from error

    def copy_into(
        self, folder: Path, target: Path, prefix: str, keep: Keep, budget: Budget, above: tuple[str, ...]
    ) -> None:
        """Copy one folder of those that `copy` copies; `above` are those that it lies in, without links."""
        real = os.path.realpath(folder)
        if real in above:
            raise ProblemsError(Problem("bad-chart", f"{self.describe} holds {shown(prefix)}, a link into itself"))
        target.mkdir(parents=True, exist_ok=True)
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        budget.look(len(entries), len(above))
        for entry in entries:
            name = prefix + entry.name
            if entry.name == ".git":
                continue
            if not is_plain_path(name):
                raise ProblemsError(
                    Problem("bad-chart", f"{self.describe} holds {shown(name)}, a name that no chart has")
                )
            if entry.is_symlink():
                budget.look(LINK, len(above))
                self._check_link(Path(entry.path), name)
            if entry.is_dir():
                self.copy_into(Path(entry.path), target / entry.name, f"{name}/", keep, budget, (*above, real))
            elif keep(name):
                self._copy_file(Path(entry.path), target / entry.name, name, budget)

    def _copy_file(self, source: Path, target: Path, name: str, budget: Budget) -> None:
        # Opening a FIFO would otherwise wait for somebody to write to it.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ProblemsError(
                    Problem("bad-chart", f"{self.describe} holds {shown(name)}, which is no regular file")
                )
            budget.take(status.st_size)
            target.write_bytes(file.read(status.st_size))  # and no more, though the file can be growing

    def _check_link(self, link: Path, name: str) -> None:
        real = Path(os.path.realpath(link))
        if real != link and not any(real.is_relative_to(root) for root in self.roots):
            raise ProblemsError(
                Problem(
                    "bad-chart",
                    f"{self.describe} holds {shown(name)}, a link to {shown(str(real))}, which is not the chart's",
                    hint="put the file itself into the chart: what a package holds can be read by whoever pulls it",
                )
            )


def everything(_path: str) -> bool:
    """Keep every file."""
    return True
