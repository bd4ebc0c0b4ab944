"""Check that the paths of a project are inside the checkout or allowed by the user, and do not overlap."""

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
    """Check the sources and vendor directory of a project, and its outputs if `outputs` is set.

    Raises ProblemsError with `outside-checkout` and `overlapping-paths`, each at its line of the project file.
    """
    errors = [error for cluster in project.clusters for error in _check_sources(project, cluster)]
    if outputs:
        for cluster in project.clusters:
            name = f"the output '{display_path(cluster.output, Path.cwd())}'"
            errors += _check_directory(project, name, cluster.output, cluster.output_place)
            errors += _check_overlaps(project, cluster)
    if project.vendor is not None:
        name = f"the vendor directory '{display_path(project.vendor, Path.cwd())}'"
        errors += _check_directory(project, name, project.vendor, project.vendor_place)
    if errors:
        raise ProblemsError(*errors)


class DisjointDirectories:
    """Directories of which none contains another one, also on a case-insensitive file system."""

    def __init__(self) -> None:
        self._names: dict[Path, str] = {}
        self._parents: dict[Path, str] = {}  # each parent of a directory, with the name of the directory

    def add(self, name: str, path: Path) -> str | None:
        """Add a directory. Return the name of an earlier one that it overlaps, or None.

        The time does not depend on the number of directories: a malicious project file can have thousands.
        """
        real = Path(os.path.realpath(path).casefold())
        other = next((self._names[one] for one in (real, *real.parents) if one in self._names), self._parents.get(real))
        self._names.setdefault(real, name)
        for parent in real.parents:
            self._parents.setdefault(parent, name)
        return other


def _check_sources(project: Project, cluster: Cluster) -> Iterator[Problem]:
    for source in cluster.sources:
        real = Path(os.path.realpath(project.root / fixed_part(source)))
        if not project.files.holds(real):
            yield project.files.refusal(f"the source '{source}'", real, _source_position(cluster, source))


def _check_directory(project: Project, name: str, path: Path, place: Place) -> Iterator[Problem]:
    """Yield the problem of a directory that kcd-gen writes to. A Git directory is never allowed."""
    real = Path(os.path.realpath(path))
    root = project.files.root
    inside = real.relative_to(root) if real.is_relative_to(root) else real
    if in_git_directory(inside) or not project.files.holds(real):
        yield project.files.refusal(name, real, place() if place else None)


def _check_overlaps(project: Project, cluster: Cluster) -> Iterator[Problem]:
    """Yield the problems of a vendor directory or source in which a build of the cluster would write files."""
    written = [cluster.output / name for name in _WRITTEN]
    output = display_path(cluster.output, Path.cwd())
    if project.vendor is not None and any(_overlap(project.vendor, one) for one in written):
        place = project.vendor_place
        vendor = display_path(project.vendor, Path.cwd())
        yield _overlapping(f"the vendor directory '{vendor}' overlaps", output, place() if place else None)
    real_written = [os.path.realpath(one) for one in written]
    for source in cluster.sources:
        real = Path(os.path.realpath(project.root / fixed_part(source)))
        if any(real.is_relative_to(one) for one in real_written):
            yield _overlapping(f"the source '{source}' is part of", output, _source_position(cluster, source))


def _overlap(one: Path, other: Path) -> bool:
    directories = DisjointDirectories()
    directories.add("", one)
    return directories.add("", other) is not None


def _overlapping(subject: str, output: str, position: Position | None) -> Problem:
    return Problem(
        "overlapping-paths",
        f"{subject} the output '{output}', where a build replaces and removes files",
        position=position,
        hint="use separate directories",
    )


def _source_position(cluster: Cluster, source: str) -> Position | None:
    return cluster.places[source]() if source in cluster.places else None
