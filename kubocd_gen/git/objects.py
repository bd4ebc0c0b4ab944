"""The objects of one store, read one after the other through `git cat-file --batch`, and the entries of its trees.

No filter, attribute or line-ending setting has a part in it: blobs are the bytes that were committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from kubocd_gen.budget.limits import MIB
from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.git.process import Done, Talk, run, started
from kubocd_gen.git.setup import Setup

Kind = Literal["file", "link", "submodule", "folder"]

_SECONDS = 60.0  # that one reader waits for git
LARGEST_TREE = 32 * MIB  # one folder: half a million names
MOST_ENTRIES = 500_000  # of all folders that are read, each counted once; the largest repositories known have as many
LARGEST_LINK = 4096  # bytes of what a link says: Linux takes no longer path
_KINDS: dict[int, Kind] = {0o10: "file", 0o12: "link", 0o16: "submodule", 0o04: "folder"}


class UnreadableObjectError(Exception):
    """An object is not what it has to be, or beyond a limit. The text continues «the folder …»."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a name in a folder stands for."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Found:
    """An object, its content still to be read: `pieces`, before the next object is asked for."""

    id: str
    kind: str
    size: int
    pieces: Iterator[bytes]

    def whole(self) -> bytes:
        """All of the content."""
        return b"".join(self.pieces)


class Objects:
    """A reader of the store in the Git directory `store`; for one thread, and while its context lasts.

    `fetch` is given the ids of what is missing in a partial clone, and brings it.
    """

    def __init__(self, store: Path, setup: Setup, fetch: Callable[[Sequence[str]], None] | None = None) -> None:
        self._setup = setup
        self._options = (f"--git-dir={store}",)
        self._fetch = fetch
        self._stack = ExitStack()
        self._talk: Talk | None = None
        self._left: Iterator[bytes] = iter(())
        self._folders: dict[str, dict[str, Entry]] = {}
        self._entries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def find(self, name: str) -> Found | None:
        """The object of an id, or of what else Git resolves to one; None where the store does not have it.

        Raises ProblemsError `git-failed`.
        """
        found = self._find(name)
        if found is None and self._fetch is not None:
            self._fetch([name])
            found = self._find(name)
        return found

    def blob(self, identity: str, most: int) -> Found | None:
        """The blob of an id. Raises UnreadableObjectError where it is none, or larger than `most`."""
        found = self.find(identity)
        if found is not None and found.kind != "blob":
            raise UnreadableObjectError("is corrupt: expected a file")
        if found is not None and found.size > most:
            self._close()  # its content is on the way
            raise UnreadableObjectError(
                f"is larger than the limit of {most // MIB} MiB" if most >= MIB else "is too long"
            )
        return found

    def folder(self, identity: str) -> dict[str, Entry]:
        """The names in the tree of an id, and what they stand for.

        Names that Git never checks out, because they would lead elsewhere, are left out. Raises UnreadableObjectError.
        """
        if identity not in self._folders:
            found = self.find(identity)
            if found is None:
                raise UnreadableObjectError("is not in the repository")
            if found.kind != "tree":
                raise UnreadableObjectError("is corrupt: expected a directory")
            if found.size > LARGEST_TREE:
                self._close()
                raise UnreadableObjectError(f"has more entries than fit in the limit of {LARGEST_TREE // MIB} MiB")
            entries = _parse_tree(found.whole(), len(found.id) // 2)
            self._entries += len(entries)
            if self._entries > MOST_ENTRIES:
                raise UnreadableObjectError(f"exceeds the limit of {MOST_ENTRIES} entries for a revision")
            self._folders[identity] = entries
        return self._folders[identity]

    def root(self, name: str) -> Entry:
        """The root folder of a commit or tree. Raises UnreadableObjectError."""
        found = self.find(name)
        if found is None or found.kind not in ("commit", "tree"):
            raise UnreadableObjectError("is not in the repository")
        if found.kind == "tree":
            return Entry("folder", found.id)
        head = next(found.pieces, b"")[: len("tree ") + len(found.id)]  # it is the first line
        if not head.startswith(b"tree "):
            raise UnreadableObjectError("is corrupt: expected a commit")
        return Entry("folder", head[len("tree ") :].decode("ascii", "replace"))

    def bring(self, identities: Sequence[str]) -> None:
        """Fetch in one go what a partial clone lacks of these objects. Raises ProblemsError `git-failed`."""
        if self._fetch is None or not identities:
            return
        given = "".join(f"{one}\n" for one in identities).encode("ascii")
        done = run(self._setup, *self._options, "cat-file", "--batch-check", "--buffer", name="cat-file", given=given)
        missing = [line.split()[0] for line in done.stdout.decode().splitlines() if line.endswith(" missing")]
        if done.status:  # a Git that ends at the first that is missing
            missing = list(identities)
        if missing:
            self._fetch(missing)

    def _find(self, name: str) -> Found | None:
        for _ in self._left:  # what nobody wanted of the object before
            pass
        if self._talk is None:
            arguments = (*self._options, "cat-file", "--batch")
            process = self._stack.enter_context(started(self._setup, arguments, None))
            self._talk = Talk(process, _SECONDS, "cat-file")
        talk = self._talk
        talk.ask(f"{name}\n".encode("ascii"))
        line = talk.line()
        if line is None:
            self._close()
            if "promisor remote" in talk.complaints:  # as git before 2.39.4 says that it is missing
                return None
            raise ProblemsError(Problem("git-failed", f"'git cat-file' failed: {Done(1, b'', talk.complaints).said}"))
        head = line.decode("ascii", "replace").split()
        if len(head) != 3 or not head[2].isdecimal():  # `NAME missing`
            return None
        self._left = self._content(talk, int(head[2]))
        return Found(head[0], head[1], int(head[2]), self._left)

    def _close(self) -> None:
        self._stack.close()
        self._talk, self._left = None, iter(())

    @staticmethod
    def _content(talk: Talk, size: int) -> Iterator[bytes]:
        yield from talk.pieces(size)
        for _ in talk.pieces(1):  # the end of the line
            pass


def _parse_tree(data: bytes, width: int) -> dict[str, Entry]:
    """The entries of a tree as Git stores it: mode, name, NUL, and an id of `width` bytes."""
    entries: dict[str, Entry] = {}
    at = 0
    try:
        while at < len(data):
            space = data.index(b" ", at, at + 8)
            end = data.index(b"\0", space)
            mode = int(data[at:space], 8)
            identity = data[end + 1 : end + 1 + width]
            if len(identity) != width:
                raise ValueError
            name = data[space + 1 : end].decode("utf-8", "surrogateescape")
            if name not in ("", ".", "..") and "/" not in name and name.lower() != ".git":
                entries[name] = Entry(_KINDS[mode >> 12], identity.hex())
            at = end + 1 + width
    except (ValueError, KeyError):
        raise UnreadableObjectError("is corrupt: it is not a valid Git tree") from None
    return entries
