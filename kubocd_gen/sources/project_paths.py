"""Where the paths of a project lead: inside the checkout or to what the user allowed, and not into each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kubocd_gen.checkout.files import in_git_directory
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import display_path, fixed_part

if TYPE_CHECKING:
    from kubocd_gen.model.project import Cluster, Place, Project

_WRITTEN = ("flux", "hr", ".kcd-gen")  # directories of an output in which a build changes and removes files


def check_paths(project: Project, *, outputs: bool = True) -> None:
    """Check sources, outputs and vendor directory of a project; without `outputs`, only what is read.

    Raises ProblemsError with `outside-checkout` and `overlapping-paths`, each at its line of the project file.
    """
    errors = [error for cluster in project.clusters for error in _of_sources(project, cluster)]
    if outputs:
        for cluster in project.clusters:
            named = f"the output '{display_path(cluster.output, Path.cwd())}'"
            errors += _of_directory(project, named, cluster.output, cluster.output_place)
            errors += _of_overlaps(project, cluster)
    if project.vendor is not None:
        named = f"the vendor directory '{display_path(project.vendor, Path.cwd())}'"
        errors += _of_directory(project, named, project.vendor, project.vendor_place)
    if errors:
        raise ProblemsError(*errors)


class DisjointDirectories:
    """Directories, of which none is in another, nor would be where the case of letters does not matter."""

    def __init__(self) -> None:
        self._names: dict[Path, str] = {}
        self._above: dict[Path, str] = {}  # the directories that hold one, with its name

    def add(self, name: str, path: Path) -> str | None:
        """Add a directory. Returns the name of one added before that is in it, or that it is in; None if it is apart.

        Takes the same time however many there are: a hostile project file has thousands.
        """
        real = Path(os.path.realpath(path).casefold())
        other = next((self._names[one] for one in (real, *real.parents) if one in self._names), self._above.get(real))
        self._names.setdefault(real, name)
        for one in real.parents:
            self._above.setdefault(one, name)
        return other


def _of_sources(project: Project, cluster: Cluster) -> Iterator[Problem]:
    for source in cluster.sources:
        real = Path(os.path.realpath(project.root / fixed_part(source)))
        if not project.files.holds(real):
            yield project.files.refusal(f"the source '{source}'", real, _source_position(cluster, source))


def _of_directory(project: Project, named: str, path: Path, place: Place) -> Iterator[Problem]:
    """Yield the error for a directory that is written to, too: no allowance reaches into a Git directory."""
    real = Path(os.path.realpath(path))
    root = project.files.root
    inside = real.relative_to(root) if real.is_relative_to(root) else real
    if in_git_directory(inside) or not project.files.holds(real):
        yield project.files.refusal(named, real, place() if place else None)


def _of_overlaps(project: Project, cluster: Cluster) -> Iterator[Problem]:
    """Yield the errors for a vendor directory or source in which the build of a cluster would write and remove."""
    written = [cluster.output / name for name in _WRITTEN]
    output = display_path(cluster.output, Path.cwd())
    if project.vendor is not None and any(_overlap(project.vendor, one) for one in written):
        place = project.vendor_place
        vendor = display_path(project.vendor, Path.cwd())
        yield _overlapping(f"the vendor directory '{vendor}' overlaps", output, place() if place else None)
    places = [os.path.realpath(one) for one in written]
    for source in cluster.sources:
        real = Path(os.path.realpath(project.root / fixed_part(source)))
        if any(real.is_relative_to(one) for one in places):
            yield _overlapping(f"the source '{source}' is part of", output, _source_position(cluster, source))


def _overlap(one: Path, other: Path) -> bool:
    apart = DisjointDirectories()
    apart.add("", one)
    return apart.add("", other) is not None


def _overlapping(what: str, output: str, position: Position | None) -> Problem:
    return Problem(
        "overlapping-paths",
        f"{what} the output '{output}', where a build replaces and removes files",
        position=position,
        hint="give each a directory of its own",
    )


def _source_position(cluster: Cluster, source: str) -> Position | None:
    return cluster.places[source]() if source in cluster.places else None
