"""The moves of one write: how one is made, undone, and checked before another run makes it."""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubocd_gen.files import Directory
from kubocd_gen.output.inventory import RECORDS
from kubocd_gen.output.tree import LARGEST_FILE

STAGING = f"{RECORDS}/.staging"
NEW = f"{STAGING}/new"
OLD = f"{STAGING}/old"


@dataclass(frozen=True, slots=True)
class Step:
    """One move: what is staged under the step's index takes the place of `path`, or `path` is removed.

    `inode` is that of a staged directory. `digests` are the SHA-256 of what is staged: of a file by "", of the files of
    a directory that change by their names.
    """

    path: str
    replace: bool
    inode: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict, hash=False)


def make_move(root: Directory, index: int, step: Step) -> None:
    """Make a move, if it is not made yet, and set aside what was there. Raises OSError."""
    new, old = f"{NEW}/{index}", f"{OLD}/{index}"
    present = root.status(step.path)
    if not step.replace:
        if present is not None:
            root.rename(step.path, old)
        root.remove_empty(parent_of(step.path))
        return
    fresh = root.status(new)
    if fresh is None:
        return  # an interrupted write got this far
    root.make(parent_of(step.path))
    if present is not None:
        if stat.S_ISDIR(fresh.st_mode):
            if present.st_ino == step.inode or root.exchange(new, step.path):
                root.rename(new, old)
                return
            root.rename(step.path, old)
        else:
            # A file is replaced in one step, so its old self is kept under a second name.
            root.link_or_copy(step.path, old)
    root.rename(new, step.path)


def undo_move(root: Directory, index: int, step: Step) -> None:
    """Undo a move that was made in part or whole; what it had put in place is staged again. Raises OSError."""
    new, old = f"{NEW}/{index}", f"{OLD}/{index}"
    target, fresh, aside = root.status(step.path), root.status(new), root.status(old)
    arrived = step.inode is not None and target is not None and target.st_ino == step.inode
    if arrived and (fresh or aside):
        if not fresh:
            root.rename(old, new)
        if root.exchange(new, step.path):
            return
        root.rename(new, old)
        fresh, aside = None, root.status(old)
    if step.replace and fresh and target:
        return  # this is the step that failed: what is there was not moved
    if aside:
        if step.replace and not fresh:
            if stat.S_ISDIR(aside.st_mode):
                root.rename(step.path, new)
            else:
                root.link_or_copy(step.path, new)
        root.make(parent_of(step.path))
        root.rename(old, step.path)
    elif step.replace:
        if not fresh:
            root.rename(step.path, new)
        root.remove_empty(parent_of(step.path))


def is_sound(root: Directory, index: int, step: Step) -> bool:
    """Whether what is staged for a step, if the move is still to be made, is what it was written for."""
    new = f"{NEW}/{index}"
    fresh, present = root.status(new), root.status(step.path)
    if not step.replace or fresh is None or (present is not None and present.st_ino == step.inode):
        return True
    try:
        return step.inode in (None, fresh.st_ino) and all(
            hashlib.sha256(root.read(f"{new}/{name}" if name else new, LARGEST_FILE)).hexdigest() == digest
            for name, digest in step.digests.items()
        )
    except OSError:
        return False


def sync_parents(root: Directory, steps: Sequence[Step]) -> None:
    """Have the names that the moves have changed on the disk. Raises OSError."""
    for parent in sorted({parent_of(step.path) for step in steps}):
        with contextlib.suppress(FileNotFoundError):
            root.sync(parent)


def parent_of(path: str) -> str:
    return path.rpartition("/")[0]
