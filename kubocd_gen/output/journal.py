"""The moves of one write, so that they are all made or none: a staging folder with a journal, steps done and undone.

Everything new lies complete in the staging folder, on the same file system as its place, before the first move. The
journal's appearance there is the moment of decision: a write that dies before it has changed nothing, and one that is
killed after it is completed by the next run, which makes the moves that are still to be made. A move that *fails* (a
full disk, a permission) undoes the ones before it instead, with the old files that each step has set aside. So that
even an undoing that is killed can be completed, what it takes out of place goes back to `new`.

A chart folder changes places with the one that stands there, so that there always is one. Then `new` holds the old
folder until it is set aside; the number of its inode tells which of them is new.

    .kcd-gen/.staging/new/<index>    the file or chart folder that a step puts in place
    .kcd-gen/.staging/old/<index>    what stood there before
    .kcd-gen/.staging/journal.json   {"steps": [{"path": …, "replace": …, "inode": …}], "paths": [files that change]}
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kubocd_gen.diagnostics import KcdError, Position
from kubocd_gen.output.exchange import exchange
from kubocd_gen.output.ownership import RECORDS
from kubocd_gen.output.tree import Tree, advice, place

STAGING = f"{RECORDS}/.staging"

_JOURNAL = f"{STAGING}/journal.json"


@dataclass(frozen=True, slots=True)
class Step:
    """One move: what is staged under the step's index takes the place of `path`, or `path` goes away.

    `inode` is that of a staged folder.
    """

    path: str
    replace: bool
    inode: int | None = None


def staged(root: Path, index: int) -> Path:
    return root / STAGING / "new" / str(index)


def is_interrupted(tree: Tree) -> bool:
    """Whether a write left a staging folder behind: it was killed, or is at work at this moment."""
    return tree.has_folder(STAGING)


def interrupted_paths(tree: Tree) -> frozenset[str]:
    """The files that an interrupted write was moving: they are kcd-gen's although no record may say so yet."""
    if not tree.file(_JOURNAL):
        return frozenset()
    return _read(tree)[1]


def open_staging(root: Path) -> None:
    for folder in ("new", "old"):
        (root / STAGING / folder).mkdir(parents=True)
    # Should a killed write leave it behind in a checkout, Git does not offer it for a commit.
    (root / STAGING / ".gitignore").write_text("*\n", encoding="utf-8")


def commit(root: Path, steps: Sequence[Step], paths: Iterable[str]) -> None:
    """Decide: from here on the steps are to be made. Everything staged must be on disk already."""
    content = json.dumps({"steps": [asdict(step) for step in steps], "paths": sorted(paths)})
    draft = root / STAGING / "journal.draft"
    with draft.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folders(root / STAGING / "new", root / STAGING)
    draft.replace(root / _JOURNAL)
    sync_folders(root / STAGING)


def carry_out(root: Path, steps: Sequence[Step]) -> None:
    """Make the moves in order and close the staging folder; a move that fails, or a Ctrl-C, undoes those before it.

    Where that fails too the staging folder stays for the next run, and KcdError `interrupted-output` says so.
    """
    started = 0
    try:
        for index, step in enumerate(steps):
            started = index + 1
            _do(root, index, step)
        _sync_parents(root, steps)
    except BaseException as cause:
        try:
            for index, step in reversed(list(enumerate(steps[:started]))):
                _undo(root, index, step)
        except OSError as error:
            raise KcdError(
                f"writing the output stopped half-way ({_reason(cause)}) and could not be undone: {_reason(error)}",
                code="interrupted-output",
                position=failed_place(root, error),
                hint="run the build again: it completes the write",
            ) from cause
        close_staging(root)
        raise
    close_staging(root)


def complete(tree: Tree) -> bool:
    """Finish what a killed write left: make its remaining moves if it had decided, else forget it. True if it had.

    Raises KcdError `broken-journal`, or `interrupted-output` for a move that fails; the next run tries again.
    """
    if not is_interrupted(tree):
        return False
    steps = _read(tree)[0] if tree.file(_JOURNAL) else ()
    for step in steps:
        tree.has_folder(step.path.rpartition("/")[0])  # raises where someone has put a link since
    try:
        # What was set aside before is not needed again: from here it goes only forward.
        shutil.rmtree(tree.root / STAGING / "old", ignore_errors=True)
        (tree.root / STAGING / "old").mkdir(parents=True, exist_ok=True)
        for index, step in enumerate(steps):
            _do(tree.root, index, step)
        _sync_parents(tree.root, steps)
    except OSError as error:
        raise KcdError(
            f"an earlier build was interrupted while it wrote, and that can't be completed: {_reason(error)}",
            code="interrupted-output",
            position=failed_place(tree.root, error),
            hint=f"{advice(error)}; the next build completes the write",
        ) from error
    close_staging(tree.root)
    return bool(steps)


def close_staging(root: Path) -> None:
    """Forget the write: without its journal the rest is refuse, whose removal may be interrupted at will."""
    (root / _JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(root / STAGING, ignore_errors=True)
    remove_empty_folders(root, RECORDS)


def remove_empty_folders(root: Path, folder: str) -> None:
    """Remove `folder` and the folders above it, below the root, as far as they are empty."""
    while folder:
        try:
            (root / folder).rmdir()
        except FileNotFoundError:
            pass  # the one above may be empty all the same
        except OSError:
            return
        folder = folder.rpartition("/")[0]


def sync_folders(*folders: Path) -> None:
    """Have the names in `folders` on disk, as fsync has a file's content."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """A second name for a file, keeping its times; a copy where the file system knows no hard links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _do(root: Path, index: int, step: Step) -> None:
    target, new, old = root / step.path, staged(root, index), root / STAGING / "old" / str(index)
    if not step.replace:
        if os.path.lexists(target):
            target.rename(old)
        remove_empty_folders(root, step.path.rpartition("/")[0])
        return
    if not os.path.lexists(new):
        return  # an interrupted write got this far
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        if new.is_dir():
            if _arrived(target, step) or exchange(new, target):
                new.rename(old)
                return
            target.rename(old)
        else:
            # A file is replaced in one step, so its old self is kept under a second name.
            link_or_copy(target, old)
    new.replace(target)


def _undo(root: Path, index: int, step: Step) -> None:
    target, new, old = root / step.path, staged(root, index), root / STAGING / "old" / str(index)
    if _arrived(target, step) and os.path.lexists(old if not os.path.lexists(new) else new):
        if not os.path.lexists(new):
            old.rename(new)
        if exchange(new, target):
            return
        new.rename(old)
    if step.replace and os.path.lexists(new) and os.path.lexists(target):
        return  # this is the step that failed: what stands there was not moved
    if os.path.lexists(old):
        if step.replace and not os.path.lexists(new):
            if old.is_dir():
                target.rename(new)
            else:
                link_or_copy(target, new)
        target.parent.mkdir(parents=True, exist_ok=True)
        old.replace(target)
    elif step.replace:
        if not os.path.lexists(new):
            target.rename(new)
        remove_empty_folders(root, step.path.rpartition("/")[0])


def _arrived(target: Path, step: Step) -> bool:
    """Whether the folder at `target` is the one that was staged for the step."""
    return step.inode is not None and os.path.lexists(target) and target.lstat().st_ino == step.inode


def _sync_parents(root: Path, steps: Sequence[Step]) -> None:
    parents = {(root / step.path).parent for step in steps}
    sync_folders(*(parent for parent in sorted(parents) if parent.is_dir()))


def _read(tree: Tree) -> tuple[tuple[Step, ...], frozenset[str]]:
    """The steps and paths of the journal. It may have come with the checkout, so nothing in it may lead elsewhere."""
    try:
        data = json.loads(tree.read(_JOURNAL))
        steps = tuple(Step(str(step["path"]), bool(step["replace"]), step.get("inode")) for step in data["steps"])
        paths = frozenset(str(path) for path in data["paths"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _broken(tree) from None
    for path in [*(step.path for step in steps), *paths]:
        top, *below = path.split("/")
        if top not in ("flux", "hr", RECORDS) or not below or any(part in ("", ".", "..") for part in below):
            raise _broken(tree)
    return steps, paths


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def failed_place(root: Path, error: OSError) -> Position:
    """The file that the operating system complains of: where a move leads; the output for what is only staged."""
    name = error.filename2 or error.filename
    path = Path(os.fsdecode(name)) if isinstance(name, (str, bytes)) else root
    return place(root if path.is_relative_to(root / STAGING) else path)


def _broken(tree: Tree) -> KcdError:
    return KcdError(
        "this is not the journal of a write that was interrupted",
        code="broken-journal",
        position=place(tree.root / _JOURNAL),
        hint=f"delete {place(tree.root / STAGING)}, restore the output from Git, and build again",
    )
