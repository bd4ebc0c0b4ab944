"""The files of a commit and of its submodules, with directories read on demand and symlinks resolved."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.git.objects import LARGEST_SYMLINK, Entry, Kind, Objects, UnreadableObjectError
from kubocd_gen.git.repository import Revision

_LINKS = 40  # symlinks in one path, as in Linux
_DEEPEST = 128  # nested directories
_LONGEST = 4000  # bytes of a path: Linux accepts 4096, including the target directory
_LONGEST_NAME = 255

SYMLINK_HINT = "commit the files themselves instead of a symlink"


class OutsideRepositoryError(Exception):
    """A path leaves the repository or is in a loop, because of the symlink `link`, or of its `..` if that is None."""

    def __init__(self, link: str | None) -> None:
        super().__init__(link)
        self.link = link


class CommitTree:
    """The files of one commit. Paths are relative to its root, which is "", and contain no symlinks."""

    def __init__(self, objects: Objects, commit: str) -> None:
        """Open `commit`, the name of a commit or tree. Raises UnreadableObjectError."""
        self.objects = objects
        self._root = objects.root(commit)
        self._links: dict[str, str] = {}

    def entry(self, path: str) -> Entry | None:
        """Return the entry at `path`; None if there is none. Raises UnreadableObjectError."""
        entry = self._root
        for part in path.split("/") if path else ():
            found = self.objects.directory(entry.id).get(part) if entry.kind == "directory" else None
            if found is None:
                return None
            entry = found
        return entry

    def names(self, path: str) -> dict[str, Entry] | None:
        """Return the entries of the directory at `path`; None for anything else. Raises UnreadableObjectError."""
        entry = self.entry(path)
        return self.objects.directory(entry.id) if entry and entry.kind == "directory" else None

    def target(self, path: str) -> str | None:
        """Return the target of the symlink at `path`; None if it is not a symlink. Raises UnreadableObjectError."""
        entry = self.entry(path)
        if entry is None or entry.kind != "symlink":
            return None
        if entry.id not in self._links:
            found = self.objects.blob(entry.id, LARGEST_SYMLINK)
            if found is None:
                raise self.objects.missing()
            self._links[entry.id] = found.whole().decode("utf-8", "surrogateescape")
        return self._links[entry.id]

    def walk(self, path: str, count: Callable[[int], None], *, hidden: bool = True) -> Iterator[tuple[str, Entry]]:
        """Yield files and symlinks at and below `path`, in order; without `hidden`, no names with a leading dot.

        `count` is called with the number of entries of each directory. It must raise if there are too many: a tree of
        ten objects can have 10^9 paths. Raises UnreadableObjectError.
        """
        start = self.entry(path)
        waiting = [(path, start, 0)] if start else []
        while waiting:
            at, entry, depth = waiting.pop()
            if entry.kind != "directory":
                yield at, entry
                continue
            names = self.objects.directory(entry.id)
            count(len(names))
            prefix = f"{at}/" if at else ""
            longest = max((len(os.fsencode(name)) for name in names), default=0)
            if depth > _DEEPEST or longest > _LONGEST_NAME or len(os.fsencode(prefix)) + longest > _LONGEST:
                raise UnreadableObjectError(
                    f"contains paths over the limit of {_DEEPEST} directories or {_LONGEST} bytes"
                )
            shown = names.items() if hidden else [one for one in names.items() if not one[0].startswith(".")]
            waiting += [(prefix + name, one, depth + 1) for name, one in sorted(shown, reverse=True)]


def real_path(path: str, target: Callable[[str], str | None]) -> tuple[str, list[str]]:
    """Resolve all symlinks in `path`, which need not exist; return the result and these symlinks.

    `target` returns the target of the symlink at a path, or None if it is not a symlink. Paths are relative to the
    repository's root. Raises OutsideRepositoryError.
    """
    done: list[str] = []
    links: list[str] = []
    left = [part for part in reversed(path.split("/")) if part]
    while left:
        part = left.pop()
        if part == ".":
            continue
        if len(done) > _DEEPEST:  # no path is that deep
            raise OutsideRepositoryError(links[-1] if links else None)
        if part == "..":
            if not done:
                raise OutsideRepositoryError(links[-1] if links else None)
            done.pop()
            continue
        at = "/".join((*done, part))
        to = target(at)
        if to is None:
            done.append(part)
            continue
        links.append(at)
        if len(links) > _LINKS or posixpath.isabs(to):
            raise OutsideRepositoryError(at)
        left += [part for part in reversed(to.split("/")) if part]
    return "/".join(done), links


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
            raise self.refusal(error.link or path, what, SYMLINK_HINT) from None

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
            hint = error.hint or "exclude it from the cluster's sources"
            raise self.refusal(path, f"this {error}", hint) from None

    def refusal(self, path: str, what: str, hint: str) -> ProblemsError:
        """Return the error for a path in the revision that can't be read."""
        return ProblemsError.of("unreadable-revision", what, Position(f"{self.revision.name}:{path}"), hint)
