"""Make, undo and verify the single moves of a write."""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubocd_gen.files.directory import Directory
from kubocd_gen.output.inventory import RECORDS
from kubocd_gen.output.tree import LARGEST_FILE

STAGING = f"{RECORDS}/.staging"
NEW = f"{STAGING}/new"
OLD = f"{STAGING}/old"


@dataclass(frozen=True, slots=True)
class Step:
    """One move: `path` is replaced by what is staged under the step's index, or removed.

    `inode` is the inode number of a staged directory. `digests` are the SHA-256 of the staged content: for a file under
    the key "", for a directory by the name of each file that changes.
    """

    path: str
    replace: bool
    inode: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict, hash=False)


def make_move(root: Directory, index: int, step: Step) -> None:
    """Make a move unless it was made already, and keep the replaced content in `old`. Raises OSError."""
    new, old = f"{NEW}/{index}", f"{OLD}/{index}"
    present = root.status(step.path)
    if not step.replace:
        if present is not None:
            root.rename(step.path, old)
        root.remove_empty(parent_of(step.path))
        return
    fresh = root.status(new)
    if fresh is None:
        return  # already made by an interrupted write
    if present is None:
        try:
            root.rename(new, step.path)
        except FileNotFoundError:
            root.make(parent_of(step.path))
            root.rename(new, step.path)
        return
    if stat.S_ISDIR(fresh.st_mode):
        if present.st_ino == step.inode or root.exchange(new, step.path):
            root.rename(new, old)
            return
        root.rename(step.path, old)
    else:
        # The rename below replaces the file atomically, so the old one is kept under a second name first.
        root.link_or_copy(step.path, old)
    root.rename(new, step.path)


def undo_move(root: Directory, index: int, step: Step) -> None:
    """Undo a move that was made partly or completely, and move its content back to the staging directory.

    Raises OSError.
    """
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
        return  # this is the step that failed: nothing was moved
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
    """Return whether the staged content of a step matches its digests; True if the move was made already."""
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
    """Sync the directories in which the moves changed entries. Raises OSError."""
    for parent in sorted({parent_of(step.path) for step in steps}):
        with contextlib.suppress(FileNotFoundError):
            root.sync(parent)


def parent_of(path: str) -> str:
    return path.rpartition("/")[0]
