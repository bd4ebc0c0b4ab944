"""The files of a revision that a project names, written to a separate directory.

Blobs are copied byte for byte: no filter, hook or line-ending setting of the user applies. Symlinks are created last,
and each is checked to stay inside the directory, so nothing is ever written through one.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kubocd_gen.budget.limits import MIB
from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.content import GIT_CRYPT
from kubocd_gen.checkout.discovery import SUFFIXES
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.paths import fixed_part
from kubocd_gen.git.lfs import LARGEST, parse_pointer
from kubocd_gen.git.objects import Entry, Found, UnreadableObjectError
from kubocd_gen.git.repository import Repository, Revision, git_command, repository_at
from kubocd_gen.git.tree import SYMLINK_HINT, CommitTree, RevisionTree

_MOST = 1 << 30  # bytes of all files; typical sources take a thousandth of it
_BLOBS = "blobs/sha256/"


@dataclass(slots=True)
class Checkout:
    """The requested files of one revision, in `directory`, at their paths from the repository's root."""

    repository: Repository
    tree: RevisionTree
    directory: Path
    close: ExitStack
    stores: dict[str, Repository] = field(default_factory=dict)  # including submodules, by path
    shared: dict[str, Path] = field(default_factory=dict)  # the directories of `stores` in which Git LFS keeps files
    written: set[str] = field(default_factory=set)
    size: int = 0

    def has(self, path: str) -> bool:
        """Return whether `path` is a file in the revision."""
        return self.tree.kind(self.tree.real(path)[0]) == "file"

    def exists(self, source: str) -> bool:
        """Return whether the path `source`, or the fixed part of the glob `source`, exists."""
        return self.tree.kind(self.tree.real(fixed_part(source))[0]) is not None

    def read(self, path: str, *, most: int) -> bytes | None:
        """Return the content of a file without writing it; None if the revision has no file at `path`.

        Raises ProblemsError `unreadable-revision` for a file over `most` bytes, or if its content is not available.
        """
        real, _ = self.tree.real(path)
        entry = self.tree.entry(real)
        if entry is None or entry.kind != "file":
            return None
        location, tree = self.tree.tree(real)
        with self.tree.readable(path):
            found = tree.objects.blob(entry.id, most)
        data = found.whole() if found else None
        content = self._content(real, data, location)
        if content is None:
            raise self._refused(path, data, location)
        return content

    def fetch(self, paths: Iterable[str]) -> None:
        """Fetch the content of these files, as far as a partial clone lacks it, in one request."""
        entries: dict[str, list[Entry]] = {}
        for path in paths:
            real, _ = self.tree.real(path)
            entry = self.tree.entry(real)
            if entry is not None and entry.kind == "file":
                entries.setdefault(self.tree.tree(real)[0], []).append(entry)
        self._fetch(entries)

    def _fetch(self, entries: Mapping[str, Iterable[Entry]]) -> None:
        """Fetch missing objects, by the location of their tree."""
        for location, wanted in entries.items():
            self.tree.trees[location].objects.fetch_missing([entry.id for entry in wanted])

    def take_sources(self, sources: Iterable[str]) -> None:
        """Write the files, directories and globs in `sources`, and the targets of their symlinks.

        Raises ProblemsError `unreadable-revision` for files whose content is not available: submodules that are not
        checked out, Git LFS pointers without content, encrypted files, and symlinks that leave the repository.
        """
        files: dict[str, Entry] = {}
        links: set[str] = set()
        for source in sources:
            fixed = fixed_part(source)
            self._collect(fixed, files, links, hidden=fixed != source)
        self._write(files, optional=())
        self._link(links)

    def take_everything(self) -> None:
        """Write all files of the revision except packages and what kcd-gen has written, for kustomize."""
        files: dict[str, Entry] = {}
        links: set[str] = set()
        self._collect("", files, links, hidden=True, suffixes=None)
        kept = {name: entry for name, entry in files.items() if _BLOBS not in name and "/hr/" not in f"/{name}"}
        self._write(kept, optional=frozenset(kept))
        self._link(links)

    def take_layout(self, path: str) -> bool:
        """Write an OCI image layout; return False if the revision has none at `path`.

        Blobs that are in the working tree are symlinked: readers verify their digest.
        """
        real, links = self.tree.real(path)
        if self.tree.kind(f"{real}/index.json".lstrip("/")) != "file":
            return False
        files, blobs = {}, []
        for name, entry in self.tree.below(real):
            below = name[len(real) :].lstrip("/")
            checked_out = self.repository.top / name
            if below.startswith(_BLOBS) and checked_out.is_file():
                symlink = self.directory / name
                if name not in self.written:
                    symlink.parent.mkdir(parents=True, exist_ok=True)
                    symlink.symlink_to(checked_out)
                    self.written.add(name)
            elif below.startswith(_BLOBS) or below in ("index.json", "oci-layout"):
                files[name] = entry
                blobs += [name] if below.startswith(_BLOBS) else []
        self._write(files, optional=frozenset(blobs))
        self._link(links)
        return True

    def _collect(
        self,
        path: str,
        files: dict[str, Entry],
        links: set[str],
        *,
        hidden: bool,
        suffixes: tuple[str, ...] | None = SUFFIXES,
    ) -> None:
        waiting, seen = [path], set[str]()
        while waiting:
            at = waiting.pop()
            real, passed = self.tree.real(at)
            links.update(passed)
            if inner := self._submodule_above(real):  # a source can be below a submodule
                self._open(inner)
                waiting.append(at)
                continue
            if real in seen:
                continue
            seen.add(real)
            submodules = []
            symlinks = dict[str, Entry]()
            for name, entry in self.tree.below(real, hidden=hidden):
                if entry.kind == "symlink":
                    symlinks[name] = entry
                elif entry.kind == "submodule":
                    submodules.append(name)
                elif suffixes is None or name == real or name.endswith(suffixes):
                    files[name] = entry
            self._fetch({self.tree.tree(real)[0]: symlinks.values()})
            waiting += symlinks
            for name in submodules:
                self._open(name)
                waiting.append(name)
            if self.tree.kind(real) == "directory":  # a symlink to a directory without sources is not broken
                (self.directory / real).mkdir(parents=True, exist_ok=True)

    def _submodule_above(self, path: str) -> str | None:
        while path:
            if self.tree.kind(path) == "submodule":
                return path
            path = posixpath.dirname(path)
        return None

    def _open(self, path: str) -> None:
        """Add the files of the submodule at `path`, from the repository checked out there."""
        if path in self.stores:
            return
        entry, top = self.tree.entry(path), self.repository.top / path
        # The working tree can differ from the revision: a symlink there could lead to any repository.
        is_real = os.path.realpath(top) == str(top)
        inner = repository_at(top, offline=self.repository.offline) if is_real else None
        if not isinstance(inner, Repository) or entry is None:
            what = "this submodule is not checked out"
            command = git_command(self.repository.top, "submodule", "update", "--init", path)
            hint = f"run '{command}', or exclude it from the cluster's sources"
            raise self.tree.refusal(path, what, hint)
        try:
            objects = self.close.enter_context(inner.objects())
            tree = CommitTree(objects, inner.revision(entry.id).commit)
        except (ProblemsError, UnreadableObjectError) as error:
            if isinstance(error, ProblemsError) and error.problem.code != "unknown-revision":
                raise
            what = f"the commit {entry.id[:12]} of this submodule is not available"
            command = git_command(top, "fetch", "origin", entry.id)
            hint = f"run '{command}', or exclude it from the cluster's sources"
            raise self.tree.refusal(path, what, hint) from None
        self.tree.trees[path] = tree
        self.stores[path] = inner

    def _write(self, files: Mapping[str, Entry], optional: Collection[str]) -> None:
        """Write `files`, leaving out those in `optional` that are Git LFS pointers without available content."""
        wanted = {name: entry for name, entry in files.items() if name not in self.written}
        by_location: dict[str, list[str]] = {}
        for name in wanted:
            by_location.setdefault(self.tree.tree(name)[0], []).append(name)
        for location, names in by_location.items():
            self._fetch({location: [wanted[name] for name in names]})
            objects = self.tree.trees[location].objects
            for name in names:
                with self.tree.readable(name):
                    found = objects.blob(wanted[name].id, LARGEST)
                self.size += found.size if found else 0
                if self.size > _MOST:
                    what = f"the sources are larger than the limit of {_MOST // MIB} MiB"
                    raise self.tree.refusal("", what, "reduce the number of files in the cluster's sources")
                self._write_one(name, found, location, optional)

    def _write_one(self, name: str, found: Found | None, location: str, optional: Collection[str]) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if found is not None and found.size > MIB:  # too large for a pointer, and for memory
            with path.open("wb") as file:
                file.writelines(found.pieces)
            with path.open("rb") as file:
                head = file.read(len(GIT_CRYPT))
            if head == GIT_CRYPT:
                raise self._refused(name, head, location)
            self.written.add(name)
            return
        data = found.whole() if found else None
        content = self._content(name, data, location)
        if content is None and name not in optional:
            raise self._refused(name, data, location)
        if content is not None:
            path.write_bytes(content)
            self.written.add(name)

    def _content(self, path: str, data: bytes | None, location: str) -> bytes | None:
        """Return the content that a checkout would have at `path`; None if it is not available."""
        if data is None or data.startswith(GIT_CRYPT):
            return None
        pointer = parse_pointer(data)
        if pointer is None:
            return data
        if location not in self.shared:
            self.shared[location] = self.stores[location].common_directory()
        digest = pointer.digest
        kept = self.shared[location] / "lfs/objects" / digest[:2] / digest[2:4] / digest
        content = pointer.content(kept)
        return pointer.content(self.repository.top / path) if content is None else content

    def _refused(self, path: str, data: bytes | None, location: str) -> ProblemsError:
        name = self.tree.revision.name
        if data is None:
            missing = self.tree.trees[location].objects.missing()
            return self.tree.refusal(path, f"the file's content {missing}", missing.hint or "")
        if data.startswith(GIT_CRYPT):
            hint = "exclude it from the cluster's sources: its content cannot be read from a revision"
            return self.tree.refusal(path, "the file is encrypted with git-crypt", hint)
        hint = f"run 'git lfs fetch origin {name}', or exclude it from the cluster's sources"
        return self.tree.refusal(path, "this is a Git LFS pointer, and the file's content is not available", hint)

    def _link(self, links: Iterable[str]) -> None:
        for name in sorted(links):
            path = self.directory / name
            if not os.path.lexists(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(self.tree.target(name) or "")
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.directory)):
                path.unlink()
                raise self.tree.refusal(name, "this symlink leads out of the repository", SYMLINK_HINT)


@contextmanager
def open_revision(repository: Repository, revision: Revision, directory: Path, budget: Budget) -> Iterator[Checkout]:
    """Open a revision whose files are written to `directory` on request. Directory entries are spent from `budget`.

    Raises ProblemsError `git-failed`, `unreadable-revision`.
    """
    with ExitStack() as close:
        tree = RevisionTree(revision, lambda entries: budget.spend("files", entries))
        with tree.readable(""):
            tree.trees[""] = CommitTree(close.enter_context(repository.objects()), revision.commit)
        yield Checkout(repository, tree, directory, close, {"": repository})
