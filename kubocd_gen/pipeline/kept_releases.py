"""What a build keeps of suspended Releases: the HelmReleases in the output, once they are known to be kcd-gen's.

Three things are asked of a written file: that it holds nothing but documents of its Release, that it is the file whose
digest the inventory lists, and in a check that its HelmReleases are those of the revision where the branch began. A
pull request can change the file and the inventory, but not that revision.
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
from kubocd_gen.model.releases import Release
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
"""The HelmReleases of a suspended Release; None if they can't be kept, which is an error."""


@dataclass(frozen=True, slots=True)
class Written:
    """An output, on disk or in a revision, of which the Flux files of suspended Releases are read.

    `read` returns the content of a file of the output, None if there is none. `display` is how messages begin its path.
    Of the paths in `moving` it is not known what was written: a build was interrupted.
    """

    read: Callable[[str], bytes | None]
    display: str
    moving: frozenset[str] = frozenset()

    def digest(self, release: Release) -> str | None:
        """Return the SHA-256 of what was written for the Release, None if that is not known."""
        record, path = record_path(release.namespace, release.name), written_path(release)
        return None if path in self.moving else parse_record(record, self.read(record) or b"").get(path)

    def helm_releases(self, release: Release) -> tuple[Document, ...] | None:
        """Return the written HelmReleases; None if there is no file. Raises ProblemsError `suspended-output`."""
        path = written_path(release)
        data = self.read(path)
        return None if data is None else kept_helm_releases(data, f"{self.display}{path}", release)

    def recorded_helm_releases(self, release: Release) -> tuple[Document, ...]:
        """The same, of the very file that was recorded when it was written; nothing if there is none."""
        found = self.helm_releases(release)
        path = written_path(release)
        check_record(self.read(path), self.digest(release), f"{self.display}{path}", release)
        return found or ()


def on_disk(root: Path, relative_to: Path) -> Written:
    """The output in `root`, as it is."""
    tree = Tree(root)

    def read(path: str) -> bytes | None:
        status = tree.file(path)
        if status is None:
            return None
        return tree.read(path) if status.st_size <= MAX_BYTES else bytes(MAX_BYTES + 1)

    return Written(read, f"{display_path(root, relative_to)}/", interrupted_paths(root))


def in_revision(checkout: Checkout, folder: str) -> Written:
    """The output that a revision has in `folder`, a path from the repository's root."""
    prefix = f"{folder}/" if folder not in ("", ".") else ""

    def read(path: str) -> bytes | None:
        return checkout.read(f"{prefix}{path}", most=MAX_BYTES)

    return Written(read, f"{checkout.tree.revision.name}:{prefix}")


@contextmanager
def at_base(root: Path, *, offline: bool, budget: Budget) -> Iterator[Written]:
    """The output in `root` as it was where the current branch of its repository began, while the context lasts.

    Raises ProblemsError if there is no such revision: no repository, no commit, or a clone that is too shallow.
    """
    there = next(path for path in (root, *root.absolute().parents) if path.is_dir())
    repository = find_repository(there, offline=offline)
    folder = Path(os.path.realpath(root)).relative_to(repository.top).as_posix()
    if repository.ignored_by(f"{folder}/{KUSTOMIZATION}"):
        raise ProblemsError(Problem("no-repository", "Git ignores the output"))
    nothing = Path(os.devnull)  # no file of the revision is written
    with open_revision(repository, repository.base(), nothing, budget) as checkout:
        yield in_revision(checkout, folder)


def read_kept(compilation: Compilation, project: Project, findings: Problems, *, compare: bool) -> Mapping[str, Kept]:
    """Return what is kept of each suspended Release, by its key. Problems are errors in `findings`.

    With `compare` the HelmReleases must be those of the revision where the branch began.
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
        message = f"HelmReleases of suspended Releases are compared with .kcd-gen/ alone: {error.problem.message}"
        position = Position(display_path(root, project.root))
        findings.note(Problem("suspended-output", message, position=position, hint=error.problem.hint))
        return None


def _refuse_taken(
    found: tuple[Document, ...], release: Release, taken: dict[tuple[str, str], Release], written: Written
) -> None:
    """Raise ProblemsError if another Release has a HelmRelease of the same name, and take the names."""
    for document in found:
        name = document["metadata"]["name"]
        other = taken.setdefault((release.namespace, name), release)
        if other is not release:
            message = f"the HelmRelease '{name}' is one of {other.key}"
            raise ProblemsError(refused(release, message, Position(f"{written.display}{written_path(release)}")))


def _refuse_changed(found: tuple[Document, ...], release: Release, base: Written, written: Written) -> None:
    """Raise ProblemsError if the HelmReleases are not those of the base revision."""
    path = written_path(release)
    before = base.recorded_helm_releases(release)
    for difference in differences(before, found):
        revision, _, folder = base.display.partition(":")
        problem = refused(release, f"{difference} since {revision}", Position(f"{written.display}{path}"))
        hint = (
            f"restore the file: git checkout {revision} -- {folder}{path}; "
            "a change of the Release must be merged before it is suspended"
        )
        raise ProblemsError(replace(problem, hint=hint))
