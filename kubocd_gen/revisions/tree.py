"""The files of a commit as git lists them: modes, links and what lies below a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kubocd_gen.diagnostics import KcdError, Position
from kubocd_gen.git_objects import LINK, SUBMODULE, Entry, LeadsOut, parse_listing, real_path
from kubocd_gen.revisions.git import Revision

LINK_HINT = "put the files themselves into the repository"


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
        try:
            return real_path(path, self.targets.get)
        except LeadsOut as error:
            what = "this is a link that leads out of the repository, or in circles"
            if error.link is None:
                what = "it leads out of the repository"
            raise self.refusal(error.link or path, what, LINK_HINT) from None

    def refusal(self, path: str, what: str, hint: str) -> KcdError:
        """That something of the revision can't be read as it was."""
        place = Position(f"{self.revision.name}:{path}")
        return KcdError(what, code="unreadable-revision", position=place, hint=hint)


def safe_listing(listing: bytes) -> dict[str, Entry]:
    """The entries of a listing of `git ls-tree -r -l -z`. Paths that could lead anywhere else are left out: git makes
    none, and checks none out.
    """
    unsafe = {"", ".", ".."}
    return {path: entry for path, entry in parse_listing(listing).items() if unsafe.isdisjoint(path.split("/"))}
