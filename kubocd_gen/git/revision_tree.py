"""The files of a revision, those of its submodules in their places: kinds, links, and what is below a path."""

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
    """A commit's entries by their paths from the repository's root. `trees` are its own, at "", and its submodules'.

    `count` is called with the size of each folder that is walked, and raises where that is enough. All methods raise
    ProblemsError `unreadable-revision`.
    """

    revision: Revision
    count: Callable[[int], None]
    trees: dict[str, CommitTree] = field(default_factory=dict)

    def tree(self, path: str) -> tuple[str, CommitTree]:
        """The tree that has `path`, and where it is put."""
        above = [one for one in self.trees if not one or path == one or path.startswith(f"{one}/")]
        place = max(above, key=len)
        return place, self.trees[place]

    def entry(self, path: str) -> Entry | None:
        """What is at `path`, below no link; None where there is nothing."""
        place, tree = self.tree(path)
        with self.readable(path):
            return tree.entry(path[len(place) :].lstrip("/"))

    def kind(self, path: str) -> Kind | None:
        """What kind of entry is at `path`, below no link."""
        entry = self.entry(path)
        return entry.kind if entry else None

    def below(self, path: str, *, hidden: bool = True) -> Iterator[tuple[str, Entry]]:
        """The entry at `path`, or all in that folder but folders; without `hidden`, no names that begin with a dot."""
        place, tree = self.tree(path)
        prefix = f"{place}/" if place else ""
        with self.readable(path):
            for name, entry in tree.walk(path[len(place) :].lstrip("/"), self.count, hidden=hidden):
                yield f"{prefix}{name}", entry

    def real(self, path: str) -> tuple[str, list[str]]:
        """`path` with every link on it resolved, and these links; it need not exist."""
        try:
            return real_path(path, self.target)
        except OutsideRepositoryError as error:
            what = "this symlink leads out of the repository, or is part of a loop"
            if error.link is None:
                what = "the path leads out of the repository"
            raise ProblemsError(self.refusal(error.link or path, what, LINK_HINT)) from None

    def target(self, path: str) -> str | None:
        """What the link at `path` says; None where there is none."""
        place, tree = self.tree(path)
        with self.readable(path):
            return tree.target(path[len(place) :].lstrip("/"))

    @contextmanager
    def readable(self, path: str) -> Iterator[None]:
        """What can't be read inside is refused as that at `path`."""
        try:
            yield
        except UnreadableObjectError as error:
            raise ProblemsError(self.refusal(path, f"this {error}", "leave it out of the cluster's sources")) from None

    def refusal(self, path: str, what: str, hint: str) -> Problem:
        """That something of the revision can't be read as it was."""
        place = Position(f"{self.revision.name}:{path}")
        return Problem("unreadable-revision", what, position=place, hint=hint)
