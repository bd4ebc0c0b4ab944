"""Make the moves of a write atomic with a staging directory and a journal.

All new content is complete in the staging directory, on the same file system as its target, before the first move.
Writing the journal commits the write. A write that is killed before this point has changed nothing; a write that is
killed after it is completed by the next run, which makes the remaining moves. A move that *fails* (full disk, missing
permission) rolls back the moves before it, with the old files that each step has kept. The rollback moves content back
to `new`, so a rollback that is killed can be completed, too.

A chart directory is exchanged with the existing one in one operation, so it exists at any time. Afterward `new`
holds the old directory until it is moved to `old`; the inode number identifies the new one.

    <output>/.kcd-gen/.staging/new/<index>    the file or chart directory that a step puts in place
    <output>/.kcd-gen/.staging/old/<index>    the content that it replaced
    <store>/staging.json                      {"output": …, "inode": of the staging directory}
    <store>/journal.json                      {"inode": …, "steps": […], "paths": [files that change]}

The output is part of the checkout and is not trusted. A staging directory is replayed only if there is a journal for it
in the store (see `journal_store`), where Git can't create files, and only content with the digest given in the journal.
A staging directory without a store is never touched.
"""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.files.directory import Directory, open_directory
from kubocd_gen.output.inventory import RECORDS, is_output_path, is_unit
from kubocd_gen.output.journal_store import JournalStore, make_store, stores
from kubocd_gen.output.moves import NEW, OLD, STAGING, Step, is_sound, make_move, sync_parents, undo_move
from kubocd_gen.output.tree import LARGEST_FILE, output_error, output_position

_IDENTITY = "staging.json"
_JOURNAL = "journal.json"


# Reading or writing the output reports the error that the three functions below ignore.


def is_interrupted(path: Path) -> bool:
    """Return whether the output has a staging directory: a write was killed, or is running now."""
    with contextlib.suppress(OSError), open_directory(path) as root:
        return root.status(STAGING) is not None
    return False


def interrupted_paths(path: Path) -> frozenset[str]:
    """Return the files of an interrupted write. They belong to kcd-gen even if the inventory does not list them yet."""
    with contextlib.suppress(OSError), open_directory(path) as root:
        if store := _store_of(root):
            return _read(root, store)[1]
    return frozenset()


def refuse_foreign_staging(path: Path) -> None:
    """Raise ProblemsError `foreign-staging` if there is a staging directory that no write of this user has left."""
    with contextlib.suppress(OSError), open_directory(path) as root:
        if root.status(STAGING) and not _store_of(root) and _is_filled(root) and not root.is_locked():
            raise _foreign_staging(root)


def open_staging(root: Directory) -> JournalStore:
    """Create the staging directory, which must not exist, and record in the store that it is ours."""
    store = make_store(root.real)
    try:
        store.remove(_JOURNAL)  # left by a write whose staging directory no longer exists
        root.make(RECORDS)
        root.make_one(STAGING)
    except BaseException:
        store.discard()
        root.remove_empty(RECORDS)
        raise
    try:
        status = root.status(STAGING)
        assert status is not None
        store.write(_IDENTITY, json.dumps({"output": str(root.real), "inode": status.st_ino}).encode(), durable=False)
        for directory in (NEW, OLD):
            root.make_one(directory)
        # Keeps Git from adding a staging directory that a killed write leaves in a checkout.
        root.create(f"{STAGING}/.gitignore", b"*\n")
    except BaseException:
        close_staging(root, store)
        raise
    return store


def commit(root: Directory, store: JournalStore, steps: Sequence[Step], paths: Iterable[str]) -> None:
    """Write the journal, which commits the write. Everything that is staged must be on disk already."""
    status = root.status(STAGING)
    content = {
        "inode": status.st_ino if status else None,
        "steps": [
            {"path": step.path, "replace": step.replace, "inode": step.inode, "digests": {**step.digests}}
            for step in steps
        ],
        "paths": sorted(paths),
    }
    root.sync(NEW, STAGING)
    store.write(_JOURNAL, json.dumps(content).encode(), durable=True)


def carry_out(root: Directory, store: JournalStore, steps: Sequence[Step]) -> None:
    """Make the moves in order and close the staging directory; roll back if a move fails or Ctrl-C is pressed.

    Raises ProblemsError `interrupted-output` if the rollback fails; the staging directory is kept for the next run.
    """
    started = 0
    try:
        for index, step in enumerate(steps):
            started = index + 1
            make_move(root, index, step)
        sync_parents(root, steps)
    except BaseException as cause:
        try:
            for index, step in reversed(list(enumerate(steps[:started]))):
                undo_move(root, index, step)
        except OSError as error:
            raise ProblemsError.of(
                "interrupted-output",
                f"the write was interrupted ({_reason(cause)}) and cannot be rolled back: {_reason(error)}",
                position=failure_position(root.path, error),
                hint="run the build again to complete the write",
            ) from cause
        close_staging(root, store)
        raise
    close_staging(root, store)


def complete(root: Directory) -> bool:
    """Finish a killed write: make its remaining moves if it was committed, otherwise discard it.

    Returns whether it was committed. Raises ProblemsError `foreign-staging`, `broken-journal`, or `interrupted-output`
    for a move that fails; the next run tries again.
    """
    if root.status(STAGING) is None:
        return False
    store = _store_of(root)
    if store is None:
        if _is_filled(root):
            raise _foreign_staging(root)
        for directory in (NEW, OLD, STAGING):  # empty: killed before it was recorded in the store
            root.remove_empty(directory)
        return False
    steps = _read(root, store)[0]
    try:
        # There is no rollback from here, so the replaced content is not needed.
        root.remove(OLD)
        root.make_one(OLD)
        for index, step in enumerate(steps):
            if not is_sound(root, index, step):
                raise _broken(root, store, f"the staged content of '{step.path}' does not match the journal")
        for index, step in enumerate(steps):
            make_move(root, index, step)
        sync_parents(root, steps)
    except OSError as error:
        message = "cannot complete the write of an interrupted build"
        position = failure_position(root.path, error)
        raise output_error(
            "interrupted-output", message, error, position, "; the next build completes the write"
        ) from error
    close_staging(root, store)
    return bool(steps)


def close_staging(root: Directory, store: JournalStore) -> None:
    """Remove the journal, then the staging directory. Without a journal the rest is ignored, so this can be killed."""
    store.remove(_JOURNAL)
    with contextlib.suppress(OSError):
        root.remove(STAGING)
        store.discard()
    root.remove_empty(RECORDS)


def failure_position(root: Path, error: OSError) -> Position:
    """Return the path to report for `error`: the target of a move, or the output for a path that is only staged."""
    path = Path(error.filename) if isinstance(error.filename, str) else root
    return output_position(root if path.is_relative_to(root.absolute() / STAGING) else path)


def _store_of(root: Directory) -> JournalStore | None:
    """Return the store which has recorded that kcd-gen created the staging directory of this output, or None."""
    status = root.status(STAGING)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return None
    for store in stores(root.real):
        if any(_object(store.read(name, LARGEST_FILE)).get("inode") == status.st_ino for name in (_IDENTITY, _JOURNAL)):
            return store
    return None


def _is_filled(root: Directory) -> bool:
    """Return whether the staging directory is not a directory, or holds more than empty directories.

    Git can't transport empty directories, so these are always ours.
    """
    try:
        inside = [(f"{STAGING}/{entry.name}", entry) for entry in root.entries(STAGING)]
        return any(path not in (NEW, OLD) or not entry.is_directory or root.entries(path) for path, entry in inside)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _read(root: Directory, store: JournalStore) -> tuple[tuple[Step, ...], frozenset[str]]:
    """Return the steps and paths of the journal, both empty if the write was not committed.

    Raises ProblemsError `broken-journal` if it can't be parsed or has a path that no build writes to.
    """
    content = store.read(_JOURNAL, LARGEST_FILE)
    if content is None:
        return (), frozenset()
    staging = root.status(STAGING)
    try:
        data = json.loads(content)
        steps = tuple(_step(step) for step in data["steps"])
        paths = frozenset(str(path) for path in data["paths"])
        if staging is None or data["inode"] != staging.st_ino:
            return (), frozenset()  # the journal is of an earlier write
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _broken(root, store) from None
    if not all(is_unit(step.path) for step in steps) or not all(map(is_output_path, paths)):
        raise _broken(root, store)
    return steps, paths


def _step(data: Mapping[str, object]) -> Step:
    path, replace, inode, digests = (data[key] for key in ("path", "replace", "inode", "digests"))
    if not (
        isinstance(path, str)
        and isinstance(replace, bool)
        and (inode is None or type(inode) is int)
        and isinstance(digests, dict)
        and all(isinstance(one, str) and "/" not in one for one in digests)
    ):
        raise TypeError
    return Step(path, replace, inode if isinstance(inode, int) else None, digests)


def _object(content: bytes | None) -> Mapping[str, object]:
    try:
        data = json.loads(content or b"")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _broken(
    root: Directory, store: JournalStore, message: str = "the journal of an interrupted write is damaged"
) -> ProblemsError:
    return ProblemsError.of(
        "broken-journal",
        message,
        position=output_position(store.directory.path / _JOURNAL),
        hint=f"delete {output_position(root.path / STAGING)}, restore the output from Git, and build again",
    )


def _foreign_staging(root: Directory) -> ProblemsError:
    staging = output_position(root.path / STAGING)
    return ProblemsError.of(
        "foreign-staging",
        "refusing to use a staging directory that was not created by a build on this machine",
        position=staging,
        hint=f"delete {staging}, also from Git if it is committed, and build again",
    )
