"""Check the paths of a project: they must be inside the checkout or allowed by the user, and must not overlap."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from kubocd_gen.checkout.files import in_git_directory
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import fixed_part, shown_path
from kubocd_gen.model.project import Cluster, Place, Project

_WRITTEN = ("flux", "hr", ".kcd-gen")  # directories of an output in which a build changes and removes files


def check_paths(project: Project, *, outputs: bool = True) -> None:
    """Check the sources and vendor directory of a project, and its outputs if `outputs` is set.

    Raises ProblemsError with `outside-checkout` and `overlapping-paths`, each at its line of the project file.
    """
    errors = [error for cluster in project.clusters for error in _check_sources(project, cluster)]
    if outputs:
        for cluster in project.clusters:
            name = f"the output '{shown_path(cluster.output)}'"
            errors += _check_directory(project, name, cluster.output, cluster.output_place)
            errors += _check_overlaps(project, cluster)
    if project.vendor is not None:
        name = f"the vendor directory '{shown_path(project.vendor)}'"
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
    for source in cluster.paths:
        real = Path(os.path.realpath(project.root / fixed_part(source)))
        if not project.files.holds(real):
            yield project.files.refusal(f"the source '{source}'", real, _at(cluster.places.get(source)))
    for rendered in cluster.rendered:
        real = Path(os.path.realpath(project.root / rendered.directory))
        position = _at(cluster.places.get(str(rendered)))
        if not project.files.holds(real):
            yield project.files.refusal(f"the source '{rendered.directory}'", real, position)
        elif not project.origin and not real.is_dir():
            message = f"the directory '{rendered.directory}' does not exist"
            yield Problem("missing-source", message, position, "use a directory relative to the project's root")


def _check_directory(project: Project, name: str, path: Path, place: Place) -> Iterator[Problem]:
    """Yield the problem of a directory that kcd-gen writes to. A Git directory is never allowed."""
    real = Path(os.path.realpath(path))
    root = project.files.root
    inside = real.relative_to(root) if real.is_relative_to(root) else real
    if in_git_directory(inside) or not project.files.holds(real):
        yield project.files.refusal(name, real, _at(place))


def _check_overlaps(project: Project, cluster: Cluster) -> Iterator[Problem]:
    """Yield the problems of a vendor directory or source in which a build of the cluster would write files."""
    written = [cluster.output / name for name in _WRITTEN]
    if project.vendor is not None and any(_overlap(project.vendor, one) for one in written):
        yield _overlapping(
            f"the vendor directory '{shown_path(project.vendor)}' overlaps", cluster, project.vendor_place
        )
    real_written = [os.path.realpath(one) for one in written]
    for source in cluster.paths:
        real = Path(os.path.realpath(project.root / fixed_part(source)))
        if any(real.is_relative_to(one) for one in real_written):
            yield _overlapping(f"the source '{source}' is part of", cluster, cluster.places.get(source))


def _overlap(one: Path, other: Path) -> bool:
    directories = DisjointDirectories()
    directories.add("", one)
    return directories.add("", other) is not None


def _overlapping(subject: str, cluster: Cluster, place: Place) -> Problem:
    return Problem(
        "overlapping-paths",
        f"{subject} the output '{shown_path(cluster.output)}', where a build replaces and removes files",
        position=_at(place),
        hint="use separate directories",
    )


def _at(place: Place) -> Position | None:
    return place() if place else None
