"""The objects of a store, read one after another with `git cat-file --batch`, and the entries of its trees.

No filter, attribute or line-ending setting applies: blobs are the committed bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from kubocd_gen.budget.limits import MIB
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.git.process import Done, Talk, run, started
from kubocd_gen.git.setup import Setup

Kind = Literal["file", "symlink", "submodule", "directory"]

_SECONDS = 60.0  # the total time that a reader waits for git
LARGEST_TREE = 32 * MIB  # one directory: half a million names
MOST_ENTRIES = 500_000  # in all directories read; the largest known repositories have as many
LARGEST_SYMLINK = 4096  # bytes of a symlink's target: the maximum length of a path on Linux
_KINDS: dict[int, Kind] = {0o10: "file", 0o12: "symlink", 0o16: "submodule", 0o04: "directory"}


_TREE_LINE = re.compile(rb"tree ([0-9a-f]+)\n")  # the first line of a commit


class UnreadableObjectError(Exception):
    """An object is missing, has the wrong type or exceeds a limit. The message is the rest of a sentence after "this".

    `hint` is the way to get a missing object.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a tree."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Found:
    """An object whose content has not been read yet: `pieces` must be read before the next object is requested."""

    id: str
    kind: str
    size: int
    pieces: Iterator[bytes]

    def whole(self) -> bytes:
        """Return the whole content."""
        return b"".join(self.pieces)


class Objects:
    """A reader of the store in the Git directory `store`, usable by one thread within its context.

    In a partial clone, `fetch` is called with the ids of missing objects and fetches them. Without `fetch`,
    `completing` is the command that fetches the missing objects of a partial clone.
    """

    def __init__(
        self,
        store: Path,
        setup: Setup,
        fetch: Callable[[Sequence[str]], None] | None = None,
        *,
        completing: str | None = None,
    ) -> None:
        self._setup = setup
        self._completing = completing
        self._options = (f"--git-dir={store}",)
        self._fetch = fetch
        self._stack = ExitStack()
        self._talk: Talk | None = None
        self._left: Iterator[bytes] = iter(())
        self._directories: dict[str, dict[str, Entry]] = {}
        self._entries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def find(self, name: str) -> Found | None:
        """Return the object that `name` (an id, or any name that Git resolves) refers to; None if it does not exist.

        Raises ProblemsError `git-failed`.
        """
        found = self._find(name)
        if found is None and self._fetch is not None:
            self._fetch([name])
            found = self._find(name)
        return found

    def blob(self, identity: str, most: int) -> Found | None:
        """Return the blob with an id; None if missing. Raises UnreadableObjectError if it is over `most` bytes."""
        found = self.find(identity)
        if found is not None and found.kind != "blob":
            raise UnreadableObjectError("is corrupt: expected a file")
        if found is not None and found.size > most:
            self._close()  # discards its content
            raise UnreadableObjectError(
                f"is larger than the limit of {most // MIB} MiB" if most >= MIB else "is too long"
            )
        return found

    def directory(self, identity: str) -> dict[str, Entry]:
        """Return the entries of the tree with an id, by name.

        Names that Git never checks out, such as `..`, are left out. Raises UnreadableObjectError.
        """
        if identity not in self._directories:
            found = self.find(identity)
            if found is None:
                raise self.missing()
            if found.kind != "tree":
                raise UnreadableObjectError("is corrupt: expected a directory")
            if found.size > LARGEST_TREE:
                self._close()
                raise UnreadableObjectError(f"has more entries than fit in the limit of {LARGEST_TREE // MIB} MiB")
            entries = _parse_tree(found.whole(), len(found.id) // 2)
            self._entries += len(entries)
            if self._entries > MOST_ENTRIES:
                raise UnreadableObjectError(f"exceeds the limit of {MOST_ENTRIES} entries for a revision")
            self._directories[identity] = entries
        return self._directories[identity]

    def root(self, name: str) -> Entry:
        """Return the root directory of a commit or tree. Raises UnreadableObjectError."""
        found = self.find(name)
        if found is None:
            raise self.missing()
        if found.kind not in ("commit", "tree"):
            raise UnreadableObjectError("is not in the repository")
        if found.kind == "tree":
            return Entry("directory", found.id)
        line = _TREE_LINE.match(next(found.pieces, b""))
        if line is None or len(line[1]) != len(found.id):
            raise UnreadableObjectError("is corrupt: expected a commit")
        return Entry("directory", line[1].decode("ascii"))

    def missing(self) -> UnreadableObjectError:
        """Return the error for an object that is not in the store, and could not be fetched."""
        if self._completing is None:
            return UnreadableObjectError("is not in the repository", "run 'git fetch --refetch --no-filter'")
        hint = f"run the command without --offline, or first run: {self._completing}"
        return UnreadableObjectError("is not in this partial clone, and --offline prevents fetching it", hint)

    def fetch_missing(self, identities: Sequence[str]) -> None:
        """Fetch these objects, as far as a partial clone lacks them, at once. Raises ProblemsError `git-failed`."""
        if self._fetch is None or not identities:
            return
        given = "".join(f"{one}\n" for one in identities).encode("ascii")
        done = run(self._setup, *self._options, "cat-file", "--batch-check", "--buffer", name="cat-file", given=given)
        missing = [line.split()[0] for line in done.stdout.decode().splitlines() if line.endswith(" missing")]
        if done.status:  # some versions of Git stop at the first missing object
            missing = list(identities)
        if missing:
            self._fetch(missing)

    def _find(self, name: str) -> Found | None:
        for _ in self._left:  # discards the unread rest of the previous object
            pass
        if self._talk is None:
            arguments = (*self._options, "cat-file", "--batch")
            self._talk = self._stack.enter_context(started(self._setup, arguments, "cat-file", _SECONDS))
        talk = self._talk
        talk.ask(f"{name}\n".encode("ascii"))
        line = talk.line()
        if line is None:
            self._close()
            if "promisor remote" in talk.messages:  # how git before 2.39.4 reports a missing object
                return None
            raise ProblemsError.of("git-failed", f"'git cat-file' failed: {Done(1, b'', talk.messages).reason}")
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
        for _ in talk.pieces(1):  # the newline after the content
            pass


def _parse_tree(data: bytes, width: int) -> dict[str, Entry]:
    """Return the entries of a tree in Git's format: mode, name, NUL, and an id of `width` bytes."""
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
