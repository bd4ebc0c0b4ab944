"""A revision's files as a folder of their own, only those that a project names, so that all else can read them.

Blobs are copied byte for byte: no filter, hook or line-ending setting of the user runs. Links are made last, after it
is known that each stays inside the folder, so that nothing is ever written through one.
"""

from __future__ import annotations

import glob
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kubocd_gen.budget.limits import LIMITS, MIB
from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.discovery import SUFFIXES
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.git.objects import Entry, Found, UnreadableObjectError
from kubocd_gen.git.repository import Repository, Revision, repository_at
from kubocd_gen.git.revision_tree import LINK_HINT, RevisionTree
from kubocd_gen.git.tree import CommitTree

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n"
)
_POINTER_SIZE = 1024  # a pointer is smaller, says the specification of Git LFS
_ENCRYPTED = b"\0GITCRYPT\0"
_MOST = 1 << 30  # bytes of all files; sources are a thousandth of it
_LARGEST = LIMITS.layer  # bytes of one: packages in a vendor layout are the largest that are read
_BLOBS = "blobs/sha256/"


@dataclass(slots=True)
class Checkout:
    """The files of one revision that were asked for, in `folder`, at their paths from the repository's root."""

    repository: Repository
    tree: RevisionTree
    folder: Path
    close: ExitStack
    stores: dict[str, Repository] = field(default_factory=dict)  # with those of submodules, by their path
    shared: dict[str, Path] = field(default_factory=dict)  # the folders of `stores`, where Git LFS keeps files
    written: set[str] = field(default_factory=set)
    size: int = 0

    def has(self, path: str) -> bool:
        """Whether a file is at `path` in the revision."""
        return self.tree.kind(self.tree.real(path)[0]) == "file"

    def exists(self, source: str) -> bool:
        """Whether there is anything where `source`, a path or glob, would be looked for."""
        return self.tree.kind(self.tree.real(_fixed_part(source))[0]) is not None

    def read(self, path: str, *, most: int) -> bytes | None:
        """Return the content of one file without writing it, None if the revision has no file there.

        Raises ProblemsError `unreadable-revision` for a file over `most` bytes, and for what can't be read as it was.
        """
        real, _ = self.tree.real(path)
        entry = self.tree.entry(real)
        if entry is None or entry.kind != "file":
            return None
        place = self.tree.tree(real)[0]
        objects = self.tree.trees[place].objects
        objects.bring([entry.id])
        with self.tree.readable(path):
            found = objects.blob(entry.id, most)
        data = found.whole() if found else None
        content = self._content(real, data, place)
        if content is None:
            raise ProblemsError(self._refused(path, data))
        return content

    def take_sources(self, sources: Iterable[str]) -> None:
        """Write what files, folders and globs stand for, with what their links lead to.

        Raises ProblemsError `unreadable-revision` for what can't be read as it was: submodules that are not here,
        pointers of Git LFS without their content, encrypted files, and links that leave the repository.
        """
        files: dict[str, Entry] = {}
        links: set[str] = set()
        for source in sources:
            fixed = _fixed_part(source)
            self._collect(fixed, files, links, hidden=fixed != source)
        self._write(files, optional=())
        self._link(links)

    def take_layout(self, path: str) -> bool:
        """Write an OCI image layout; False where the revision has none there.

        Blobs that the working tree has, too, are linked to: whoever reads one compares it with its digest.
        """
        real, links = self.tree.real(path)
        if self.tree.kind(f"{real}/index.json".lstrip("/")) != "file":
            return False
        files, blobs = {}, []
        for name, entry in self.tree.below(real):
            below = name[len(real) :].lstrip("/")
            here = self.repository.top / name
            if below.startswith(_BLOBS) and here.is_file():
                link = self.folder / name
                if name not in self.written:
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(here)
                    self.written.add(name)
            elif below.startswith(_BLOBS) or below in ("index.json", "oci-layout"):
                files[name] = entry
                blobs += [name] if below.startswith(_BLOBS) else []
        self._write(files, optional=frozenset(blobs))
        self._link(links)
        return True

    def _collect(self, path: str, files: dict[str, Entry], links: set[str], *, hidden: bool) -> None:
        waiting, seen = [path], set[str]()
        while waiting:
            at = waiting.pop()
            real, passed = self.tree.real(at)
            links.update(passed)
            if inner := self._submodule_above(real):  # a source may be below a submodule
                self._open(inner)
                waiting.append(at)
                continue
            if real in seen:
                continue
            seen.add(real)
            submodules = []
            for name, entry in self.tree.below(real, hidden=hidden):
                if entry.kind == "link":
                    waiting.append(name)
                elif entry.kind == "submodule":
                    submodules.append(name)
                elif name == real or name.endswith(SUFFIXES):
                    files[name] = entry
            for name in submodules:
                self._open(name)
                waiting.append(name)

    def _submodule_above(self, path: str) -> str | None:
        while path:
            if self.tree.kind(path) == "submodule":
                return path
            path = posixpath.dirname(path)
        return None

    def _open(self, path: str) -> None:
        """Put the files of the submodule at `path` in its place, from the repository that is checked out there."""
        if path in self.stores:
            return
        entry, top = self.tree.entry(path), self.repository.top / path
        # The working tree is another than that of the revision: a link there would lead to any repository.
        here = os.path.realpath(top) == str(top)
        inner = repository_at(top, offline=self.repository.offline) if here else None
        if not isinstance(inner, Repository) or entry is None:
            what = "this submodule is not checked out"
            hint = "run 'git submodule update --init', or leave it out of the cluster's sources"
            raise ProblemsError(self.tree.refusal(path, what, hint))
        try:
            objects = self.close.enter_context(inner.objects())
            tree = CommitTree(objects, inner.revision(entry.id).commit)
        except (ProblemsError, UnreadableObjectError):
            what = f"the commit {entry.id[:12]} of this submodule is not available"
            hint = f"run 'git -C {path} fetch origin {entry.id}', or leave it out of the cluster's sources"
            raise ProblemsError(self.tree.refusal(path, what, hint)) from None
        self.tree.trees[path] = tree
        self.stores[path] = inner

    def _write(self, files: Mapping[str, Entry], optional: Collection[str]) -> None:
        """Write `files`; those of `optional` are left out where they are pointers of Git LFS to what is not here."""
        wanted = {name: entry for name, entry in files.items() if name not in self.written}
        by_place: dict[str, list[str]] = {}
        for name in wanted:
            by_place.setdefault(self.tree.tree(name)[0], []).append(name)
        for place, names in by_place.items():
            objects = self.tree.trees[place].objects
            objects.bring([wanted[name].id for name in names])
            for name in names:
                with self.tree.readable(name):
                    found = objects.blob(wanted[name].id, _LARGEST)
                self.size += found.size if found else 0
                if self.size > _MOST:
                    what = f"the sources are larger than the limit of {_MOST // MIB} MiB"
                    raise ProblemsError(
                        self.tree.refusal("", what, "reduce the number of files in the cluster's sources")
                    )
                self._write_one(name, found, place, optional)

    def _write_one(self, name: str, found: Found | None, place: str, optional: Collection[str]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if found is not None and found.size > MIB:  # no pointer, and nothing to have in memory
            with path.open("wb") as file:
                file.writelines(found.pieces)
            with path.open("rb") as file:
                head = file.read(len(_ENCRYPTED))
            if head == _ENCRYPTED:
                raise ProblemsError(self._refused(name, head))
            self.written.add(name)
            return
        data = found.whole() if found else None
        content = self._content(name, data, place)
        if content is None and name not in optional:
            raise ProblemsError(self._refused(name, data))
        if content is not None:
            path.write_bytes(content)
            self.written.add(name)

    def _content(self, path: str, data: bytes | None, place: str) -> bytes | None:
        """What a checkout would have at `path`; None where that is not to be had."""
        if data is None or data.startswith(_ENCRYPTED):
            return None
        pointer = _POINTER.match(data) if len(data) < _POINTER_SIZE else None
        if pointer is None:
            return data
        identity, size = pointer[1].decode("ascii"), int(pointer[2])
        if place not in self.shared:
            self.shared[place] = self.stores[place].folder()
        kept = self.shared[place] / "lfs/objects" / identity[:2] / identity[2:4] / identity
        for file in (kept, self.repository.top / path):
            content = _read(file, size)
            if content is not None and hashlib.sha256(content).hexdigest() == identity:
                return content
        return None

    def _refused(self, path: str, data: bytes | None) -> Problem:
        name = self.tree.revision.name
        if data is None:
            return self.tree.refusal(path, "the file's content is not in the repository", "run 'git fetch --refetch'")
        if data.startswith(_ENCRYPTED):
            hint = "leave it out of the cluster's sources: its content can't be read from a revision"
            return self.tree.refusal(path, "the file is encrypted with git-crypt", hint)
        hint = f"run 'git lfs fetch origin {name}', or leave it out of the cluster's sources"
        return self.tree.refusal(path, "this is a Git LFS pointer, and the file's content is not available", hint)

    def _link(self, links: Iterable[str]) -> None:
        for name in sorted(links):
            path = self.folder / name
            if not os.path.lexists(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(self.tree.target(name) or "")
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.folder)):
                path.unlink()
                raise ProblemsError(self.tree.refusal(name, "this symlink leads out of the repository", LINK_HINT))


@contextmanager
def open_revision(repository: Repository, revision: Revision, folder: Path, budget: Budget) -> Iterator[Checkout]:
    """The revision with nothing written yet, to be written to `folder`. The folders that are walked are of `budget`.

    Raises ProblemsError `git-failed`, `unreadable-revision`.
    """
    with ExitStack() as close:
        tree = RevisionTree(revision, lambda entries: budget.spend("files", entries))
        with tree.readable(""):
            tree.trees[""] = CommitTree(close.enter_context(repository.objects()), revision.commit)
        yield Checkout(repository, tree, folder, close, {"": repository})


def _read(path: Path, size: int) -> bytes | None:
    """The content of a regular file of that size; None of any other, and of what is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        status = os.fstat(descriptor)
        return file.read() if stat.S_ISREG(status.st_mode) and status.st_size == size <= _LARGEST else None


def _fixed_part(source: str) -> str:
    """A source without its first part with a wild card and all after it."""
    fixed = []
    for part in source.split("/"):
        if glob.has_magic(part):
            break
        fixed.append(part)
    return "/".join(fixed)
