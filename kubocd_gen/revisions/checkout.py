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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.git_objects import LINK, SUBMODULE, Entry
from kubocd_gen.revisions.git import Repository, Revision
from kubocd_gen.revisions.tree import LINK_HINT, RevisionTree, safe_listing
from kubocd_gen.sources.discovery import SUFFIXES

_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")
_POINTER_SIZE = 1024  # a pointer is smaller, says the specification of Git LFS
_ENCRYPTED = b"\0GITCRYPT\0"
_MOST = 1 << 30  # bytes of all files; sources are a thousandth of it
_BLOBS = "blobs/sha256/"


@dataclass(slots=True)
class Checkout:
    """The files of one revision that were asked for, in `folder`, at their paths from the repository's root."""

    repository: Repository
    tree: RevisionTree
    folder: Path
    stores: dict[str, Repository] = field(default_factory=dict)  # of submodules, by their path
    written: set[str] = field(default_factory=set)

    def has(self, path: str) -> bool:
        """Whether a file is at `path` in the revision."""
        return self.tree.kind(self.tree.real(path)[0]) == "file"

    def exists(self, source: str) -> bool:
        """Whether there is anything where `source`, a path or glob, would be looked for."""
        return self.tree.kind(self.tree.real(_fixed_part(source))[0]) is not None

    def read(self, path: str, *, most: int) -> bytes | None:
        """Return the content of one file without writing it, None if the revision has no file there.

        Raises KcdError `unreadable-revision` for a file over `most` bytes, and for what can't be read as it was.
        """
        real, _ = self.tree.real(path)
        if self.tree.kind(real) != "file":
            return None
        entry, store = self.tree.entries[real], self._store(real)
        if entry.size > most:
            raise self.tree.refusal(path, f"the file is larger than {most >> 20} MiB", "restore it")
        data = next(iter(_blobs(store, [entry.id])))
        content = self._content(real, data, store)
        if content is None:
            raise self._refused(path, data)
        return content

    def take_sources(self, sources: Iterable[str]) -> None:
        """Write what files, folders and globs stand for, with what their links lead to.

        Raises KcdError `unreadable-revision` for what can't be read as it was: submodules that are not here, pointers
        of Git LFS without their content, encrypted files, and links that leave the repository.
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
        if f"{real}/index.json" not in self.tree.entries:
            return False
        files, blobs = {}, []
        for name, entry in self.tree.below(real):
            below = name.removeprefix(f"{real}/")
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
        self._write(files, optional=blobs)
        self._link(links)
        return True

    def _collect(self, path: str, files: dict[str, Entry], links: set[str], *, hidden: bool) -> None:
        waiting, seen = [path], set[str]()
        while waiting:
            at = waiting.pop()
            real, passed = self.tree.real(at)
            links.update(passed)
            above = real
            while above:  # a source may lie below a submodule
                if self.tree.kind(above) == "submodule":
                    self._open(above)
                above = posixpath.dirname(above)
            if real in seen:
                continue
            seen.add(real)
            submodules = []
            for name, entry in self.tree.below(real):
                below = name[len(real) :].lstrip("/")
                if not hidden and any(part.startswith(".") for part in below.split("/")):
                    continue
                if entry.mode == LINK:
                    waiting.append(name)
                elif entry.mode == SUBMODULE:
                    submodules.append(name)
                elif not below or name.endswith(SUFFIXES):
                    files[name] = entry
            for name in submodules:
                self._open(name)
                waiting.append(name)

    def _open(self, path: str) -> None:
        """Put the files of the submodule at `path` in its place, from the repository that is checked out there."""
        entry, top = self.tree.entries[path], self.repository.top / path
        inner = Repository(top, self.repository.offline)
        if not os.path.lexists(top / ".git"):
            what = "this is a submodule that is not checked out here, so that its files can't be read"
            hint = "run 'git submodule update --init', or leave it out of the cluster's sources"
            raise self.tree.refusal(path, what, hint)
        try:
            listed = safe_listing(inner.listing(inner.revision(entry.id).commit))
        except KcdError:
            what = f"this is a submodule at the commit {entry.id[:12]}, which is not to be had here"
            hint = f"run 'git -C {path} fetch origin {entry.id}', or leave it out of the cluster's sources"
            raise self.tree.refusal(path, what, hint) from None
        entries = {name: one for name, one in self.tree.entries.items() if name != path}
        entries |= {f"{path}/{name}": one for name, one in listed.items()}
        targets = {f"{path}/{name}": text for name, text in _targets(inner, listed).items()}
        self.tree = replace(self.tree, entries=entries, targets={**self.tree.targets, **targets})
        self.stores[path] = inner

    def _store(self, path: str) -> Repository:
        inner = [one for one in self.stores if path.startswith(f"{one}/")]
        return self.stores[max(inner, key=len)] if inner else self.repository

    def _write(self, files: Mapping[str, Entry], optional: Iterable[str]) -> None:
        """Write `files`; those of `optional` are left out where they are pointers of Git LFS to what is not here."""
        wanted = {name: entry for name, entry in files.items() if name not in self.written}
        by_store: dict[Path, list[str]] = {}
        for name in wanted:
            by_store.setdefault(self._store(name).top, []).append(name)
        if sum(entry.size for entry in wanted.values()) > _MOST:
            raise self.tree.refusal("", f"the sources are larger than {_MOST >> 20} MiB", "name fewer files in them")
        for names in by_store.values():
            store = self._store(names[0])
            for name, data in zip(names, _blobs(store, [wanted[name].id for name in names]), strict=True):
                content = self._content(name, data, store)
                if content is None and name not in optional:
                    raise self._refused(name, data)
                if content is not None:
                    path = self.folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                    self.written.add(name)

    def _content(self, path: str, data: bytes | None, store: Repository) -> bytes | None:
        """What a checkout would have at `path`; None where that is not to be had."""
        if data is None or data.startswith(_ENCRYPTED):
            return None
        pointer = _POINTER.match(data) if len(data) < _POINTER_SIZE else None
        if pointer is None:
            return data
        identity = pointer[1].decode("ascii")
        kept = store.folder() / "lfs/objects" / identity[:2] / identity[2:4] / identity
        for place in (kept, self.repository.top / path):
            try:
                content = place.read_bytes()
            except OSError:
                continue
            if hashlib.sha256(content).hexdigest() == identity:
                return content
        return None

    def _refused(self, path: str, data: bytes | None) -> KcdError:
        name = self.tree.revision.name
        if data is None:
            return self.tree.refusal(path, "the file's content is not in the repository", "run 'git fetch --refetch'")
        if data.startswith(_ENCRYPTED):
            hint = "leave it out of the cluster's sources: what is in it is in no revision that can be read"
            return self.tree.refusal(path, "the file is encrypted with git-crypt", hint)
        hint = f"run 'git lfs fetch origin {name}', or leave it out of the cluster's sources"
        return self.tree.refusal(path, "this is a pointer of Git LFS, and the file's content is not here", hint)

    def _link(self, links: Iterable[str]) -> None:
        for name in sorted(links):
            path = self.folder / name
            if not os.path.lexists(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(self.tree.targets[name])
            if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.folder)):
                path.unlink()
                raise self.tree.refusal(name, "this is a link that leads out of the repository", LINK_HINT)


def open_revision(repository: Repository, revision: Revision, folder: Path) -> Checkout:
    """The revision with nothing written yet, to be written to `folder`. Raises KcdError `git-failed`."""
    entries = safe_listing(repository.listing(revision.commit))
    return Checkout(repository, RevisionTree(revision, entries, _targets(repository, entries)), folder)


def _targets(repository: Repository, entries: Mapping[str, Entry]) -> dict[str, str]:
    links = {name: entry for name, entry in entries.items() if entry.mode == LINK}
    found = _blobs(repository, [entry.id for entry in links.values()])
    return {name: (data or b"").decode("utf-8", "surrogateescape") for name, data in zip(links, found, strict=True)}


def _blobs(repository: Repository, ids: list[str]) -> Iterable[bytes | None]:
    """The content of each object, one at a time; None where the repository does not have it."""
    if not ids:
        return
    with repository.contents(ids) as stream:
        for _ in ids:
            head = stream.readline().split()
            if len(head) != 3:  # `<id> missing`
                yield None
                continue
            yield stream.read(int(head[2]))
            stream.read(1)


def _fixed_part(source: str) -> str:
    """A source without its first part with a wild card and all after it."""
    fixed = []
    for part in source.split("/"):
        if glob.has_magic(part):
            break
        fixed.append(part)
    return "/".join(fixed)
