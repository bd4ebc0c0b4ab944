"""The files of a commit as git lists them: modes, links and what lies below a path."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kubocd_gen.diagnostics import KcdError, Position
from kubocd_gen.revisions.git import Revision

LINK, SUBMODULE = "120000", "160000"
LINK_HINT = "put the files themselves into the repository"
_LINKS = 40  # that one path may go through, as in Linux


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, link or submodule. `size` is in bytes, 0 of a submodule."""

    mode: str
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class RevisionTree:
    """Every entry of a commit by its path from the repository's root; `targets` are what its links say."""

    revision: Revision
    entries: Mapping[str, Entry]
    targets: Mapping[str, str]

    def kind(self, path: str) -> Literal["file", "link", "submodule", "folder"] | None:
        """What is at `path`, itself no link and below none; None where there is nothing."""
        entry = self.entries.get(path)
        if entry is None:
            return "folder" if not path or any(one.startswith(f"{path}/") for one in self.entries) else None
        return "link" if entry.mode == LINK else "submodule" if entry.mode == SUBMODULE else "file"

    def below(self, path: str) -> Iterator[tuple[str, Entry]]:
        """The entry at `path`, or all entries in that folder."""
        prefix = f"{path}/" if path else ""
        for name, entry in self.entries.items():
            if name == path or name.startswith(prefix):
                yield name, entry

    def real(self, path: str) -> tuple[str, list[str]]:
        """`path` with every link on it resolved, and these links; it need not exist.

        Raises KcdError `unreadable-revision` where a link leaves the repository, or leads on for ever.
        """
        done: list[str] = []
        links: list[str] = []
        left = [part for part in reversed(path.split("/")) if part]
        while left:
            part = left.pop()
            if part == ".":
                continue
            if part == "..":
                if not done:
                    raise self.refusal(path, "it leads out of the repository", LINK_HINT)
                done.pop()
                continue
            at = "/".join((*done, part))
            if at not in self.targets:
                done.append(part)
                continue
            links.append(at)
            target = self.targets[at]
            if len(links) > _LINKS or posixpath.isabs(target):
                raise self.refusal(at, "this is a link that leads out of the repository, or in circles", LINK_HINT)
            left += [part for part in reversed(target.split("/")) if part]
        return "/".join(done), links

    def refusal(self, path: str, what: str, hint: str) -> KcdError:
        """That something of the revision can't be read as it was."""
        place = Position(f"{self.revision.name}:{path}")
        return KcdError(what, code="unreadable-revision", position=place, hint=hint)


def parse_listing(listing: bytes) -> dict[str, Entry]:
    """The entries of a listing of `git ls-tree -r -l -z`. Paths that could lead anywhere else are left out: git makes
    none, and checks none out.
    """
    entries: dict[str, Entry] = {}
    for line in listing.split(b"\0"):
        if not line:
            continue
        about, _, raw = line.partition(b"\t")
        mode, _kind, identity, size = about.decode("ascii").split()
        path = raw.decode("utf-8", "surrogateescape")
        if not {"", ".", ".."}.intersection(path.split("/")):
            entries[path] = Entry(mode, identity, 0 if size == "-" else int(size))
    return entries
