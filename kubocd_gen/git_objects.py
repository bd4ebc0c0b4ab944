"""The files of a commit as `git ls-tree` lists them, and where the links among them lead."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass

LINK, SUBMODULE, FOLDER = "120000", "160000", "040000"
_LINKS = 40  # that one path may go through, as in Linux


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, link, submodule or folder. `size` is in bytes, 0 of a submodule or folder."""

    mode: str
    id: str
    size: int


class LeadsOut(Exception):
    """A path leaves the repository or goes in circles, by its `link`, or by its own `..` where that is None."""

    def __init__(self, link: str | None) -> None:
        super().__init__(link)
        self.link = link


def parse_listing(listing: bytes) -> dict[str, Entry]:
    """The entries of a listing of `git ls-tree -r -l -z` by path, in its order."""
    entries: dict[str, Entry] = {}
    for line in listing.split(b"\0"):
        if line:
            about, _, path = line.partition(b"\t")
            mode, _kind, identity, size = about.decode("ascii").split()
            entries[path.decode("utf-8", "surrogateescape")] = Entry(mode, identity, 0 if size == "-" else int(size))
    return entries


def real_path(path: str, target: Callable[[str], str | None]) -> tuple[str, list[str]]:
    """`path` with every link on it resolved, and these links; it need not exist. Raises LeadsOut.

    `target` says what the link at a path says, None where there is no link. Paths begin at the repository's root.
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
                raise LeadsOut(links[-1] if links else None)
            done.pop()
            continue
        at = "/".join((*done, part))
        to = target(at)
        if to is None:
            done.append(part)
            continue
        links.append(at)
        if len(links) > _LINKS or posixpath.isabs(to):
            raise LeadsOut(at)
        left += [part for part in reversed(to.split("/")) if part]
    return "/".join(done), links
