"""The HelmReleases of suspended Releases, which a build keeps in the output after it has verified them.

A written file must contain only documents of its Release, and its digest must be the one in the inventory. In a check,
its HelmReleases must also be those of the revision where the branch started. A pull request can change the file and the
inventory, but not that revision.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kubocd_gen.budget.spending import Budget
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.files.paths import display_path
from kubocd_gen.git.repository import find_repository
from kubocd_gen.git.revision import Checkout, open_revision
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.model.project import Project
from kubocd_gen.model.resources import Release
from kubocd_gen.output.inventory import parse_record, record_path
from kubocd_gen.output.journal import interrupted_paths
from kubocd_gen.output.tree import Tree
from kubocd_gen.pipeline.suspended import (
    MAX_BYTES,
    Document,
    check_record,
    differences,
    kept_helm_releases,
    refused,
    written_path,
)

KUSTOMIZATION = "flux/kustomization.yaml"

Kept = tuple[Document, ...] | None
"""The HelmReleases of a suspended Release; None if they cannot be kept, which is an error."""


@dataclass(frozen=True, slots=True)
class Written:
    """An output, on disk or in a Git revision, from which the Flux files of suspended Releases are read.

    `read` returns the content of a file of the output, or None if it does not exist. `display` is the prefix of paths
    in messages. `moving` are the paths that an interrupted build was writing, whose content is unknown.
    """

    read: Callable[[str], bytes | None]
    display: str
    moving: frozenset[str] = frozenset()

    def digest(self, release: Release) -> str | None:
        """Return the recorded SHA-256 of the Release's file, None if it is not known."""
        record, path = record_path(release.namespace, release.name), written_path(release)
        return None if path in self.moving else parse_record(record, self.read(record) or b"").get(path)

    def helm_releases(self, release: Release) -> tuple[Document, ...] | None:
        """Return the written HelmReleases, None if there is no file. Raises ProblemsError `suspended-output`."""
        path = written_path(release)
        data = self.read(path)
        return None if data is None else kept_helm_releases(data, f"{self.display}{path}", release)

    def recorded_helm_releases(self, release: Release) -> tuple[Document, ...]:
        """Return the written HelmReleases after verifying the file's digest; nothing if there is no file."""
        found = self.helm_releases(release)
        path = written_path(release)
        check_record(self.read(path), self.digest(release), f"{self.display}{path}", release)
        return found or ()


def on_disk(root: Path, relative_to: Path) -> Written:
    """Return the output in `root` on disk."""
    tree = Tree(root)

    def read(path: str) -> bytes | None:
        status = tree.file(path)
        if status is None:
            return None
        return tree.read(path) if status.st_size <= MAX_BYTES else bytes(MAX_BYTES + 1)

    return Written(read, f"{display_path(root, relative_to)}/", interrupted_paths(root))


def in_revision(checkout: Checkout, directory: str) -> Written:
    """Return the output in `directory`, relative to the repository's root, of a Git revision."""
    prefix = f"{directory}/" if directory not in ("", ".") else ""

    def read(path: str) -> bytes | None:
        return checkout.read(f"{prefix}{path}", most=MAX_BYTES)

    return Written(read, f"{checkout.tree.revision.name}:{prefix}")


@contextmanager
def at_base(root: Path, *, offline: bool, budget: Budget) -> Iterator[Written]:
    """Yield the output in `root` as of the revision where the current branch started.

    Raises ProblemsError if there is no repository, no commit, or the clone is too shallow.
    """
    existing = next(path for path in (root, *root.absolute().parents) if path.is_dir())
    repository = find_repository(existing, offline=offline)
    directory = Path(os.path.realpath(root)).relative_to(repository.top).as_posix()
    if repository.ignored_by(f"{directory}/{KUSTOMIZATION}"):
        raise ProblemsError.of("no-repository", "Git ignores the output")
    nothing = Path(os.devnull)  # no file of the revision is checked out
    with open_revision(repository, repository.base(), nothing, budget) as checkout:
        yield in_revision(checkout, directory)


def read_kept(compilation: Compilation, project: Project, findings: Problems, *, compare: bool) -> Mapping[str, Kept]:
    """Return the kept HelmReleases of each suspended Release, by its key. Errors go to `findings`.

    With `compare`, the HelmReleases must be those of the revision where the branch started.
    """
    suspended = [one.release for one in compilation.releases if one.release.suspended]
    if not suspended:
        return {}
    root = compilation.cluster.output
    written = on_disk(root, project.root)
    taken = {
        (one.release.namespace, document["metadata"]["name"]): one.release
        for one in compilation.releases
        for document in one.documents
        if document["kind"] == "HelmRelease"
    }
    kept: dict[str, Kept] = {}
    with ExitStack() as close:
        base = _base(root, project, findings, close) if compare else None
        for release in suspended:
            kept[release.key] = None
            try:
                found = written.recorded_helm_releases(release)
                _refuse_taken(found, release, taken, written)
                if base is not None:
                    _refuse_changed(found, release, base, written)
            except ProblemsError as error:
                findings.error(error, release=release.key)
            else:
                kept[release.key] = found
    return kept


def _base(root: Path, project: Project, findings: Problems, close: ExitStack) -> Written | None:
    try:
        return close.enter_context(at_base(root, offline=project.offline, budget=project.budget))
    except ProblemsError as error:
        message = f"HelmReleases of suspended Releases are only compared with .kcd-gen/: {error.problem.message}"
        position = Position(display_path(root, project.root))
        findings.note(Problem("suspended-output", message, position=position, hint=error.problem.hint))
        return None


def _refuse_taken(
    found: tuple[Document, ...], release: Release, taken: dict[tuple[str, str], Release], written: Written
) -> None:
    """Raise ProblemsError if another Release has a HelmRelease of the same name; add the names to `taken`."""
    for document in found:
        name = document["metadata"]["name"]
        other = taken.setdefault((release.namespace, name), release)
        if other is not release:
            message = f"the HelmRelease '{name}' belongs to {other.key}"
            raise ProblemsError(refused(release, message, Position(f"{written.display}{written_path(release)}")))


def _refuse_changed(found: tuple[Document, ...], release: Release, base: Written, written: Written) -> None:
    """Raise ProblemsError if the HelmReleases are not those of the base revision."""
    path = written_path(release)
    before = base.recorded_helm_releases(release)
    for difference in differences(before, found):
        revision, _, directory = base.display.partition(":")
        problem = refused(release, f"{difference} since {revision}", Position(f"{written.display}{path}"))
        hint = (
            f"restore the file: git checkout {revision} -- {directory}{path}; "
            "merge changes of a Release before suspending it"
        )
        raise ProblemsError(replace(problem, hint=hint))
