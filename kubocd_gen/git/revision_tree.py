"""The files of a revision, including its submodules: kinds, symlinks, and the files below a path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.git.objects import Entry, Kind, UnreadableObjectError
from kubocd_gen.git.repository import Revision
from kubocd_gen.git.tree import CommitTree, OutsideRepositoryError, real_path

LINK_HINT = "commit the files themselves instead of a symlink"


@dataclass(frozen=True, slots=True)
class RevisionTree:
    """A commit's entries by path from the repository's root. `trees` has its own tree at "", and its submodules'.

    `count` is called with the number of entries of each walked directory and raises if there are too many. All methods
    raise ProblemsError `unreadable-revision`.
    """

    revision: Revision
    count: Callable[[int], None]
    trees: dict[str, CommitTree] = field(default_factory=dict)

    def tree(self, path: str) -> tuple[str, CommitTree]:
        """Return the location of the tree that contains `path`, and the tree."""
        above = [one for one in self.trees if not one or path == one or path.startswith(f"{one}/")]
        location = max(above, key=len)
        return location, self.trees[location]

    def entry(self, path: str) -> Entry | None:
        """Return the entry at `path`, which contains no symlinks; None if there is none."""
        location, tree = self.tree(path)
        with self.readable(path):
            return tree.entry(path[len(location) :].lstrip("/"))

    def kind(self, path: str) -> Kind | None:
        """Return the kind of the entry at `path`, which contains no symlinks; None if there is none."""
        entry = self.entry(path)
        return entry.kind if entry else None

    def below(self, path: str, *, hidden: bool = True) -> Iterator[tuple[str, Entry]]:
        """Yield the entry at `path`, or those below that directory; without `hidden`, no names with a leading dot."""
        location, tree = self.tree(path)
        prefix = f"{location}/" if location else ""
        with self.readable(path):
            for name, entry in tree.walk(path[len(location) :].lstrip("/"), self.count, hidden=hidden):
                yield f"{prefix}{name}", entry

    def real(self, path: str) -> tuple[str, list[str]]:
        """Resolve all symlinks in `path`, which need not exist; return the result and these symlinks."""
        try:
            return real_path(path, self.target)
        except OutsideRepositoryError as error:
            what = "this symlink leads out of the repository, or is part of a loop"
            if error.link is None:
                what = "the path leads out of the repository"
            raise ProblemsError(self.refusal(error.link or path, what, LINK_HINT)) from None

    def target(self, path: str) -> str | None:
        """Return the target of the symlink at `path`; None if it is not a symlink."""
        location, tree = self.tree(path)
        with self.readable(path):
            return tree.target(path[len(location) :].lstrip("/"))

    @contextmanager
    def readable(self, path: str) -> Iterator[None]:
        """Raise an UnreadableObjectError from the block as a problem at `path`."""
        try:
            yield
        except UnreadableObjectError as error:
            raise ProblemsError(self.refusal(path, f"this {error}", "leave it out of the cluster's sources")) from None

    def refusal(self, path: str, what: str, hint: str) -> Problem:
        """Return the problem of a path in the revision that can't be read."""
        position = Position(f"{self.revision.name}:{path}")
        return Problem("unreadable-revision", what, position=position, hint=hint)
