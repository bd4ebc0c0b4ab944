"""The moves of one write, so that they are all made or none: a staging directory, a journal, steps done and undone.

Everything new is complete in the staging directory, on the same file system as its target, before the first move. The
journal's appearance is the moment of decision: a write that dies before it has changed nothing, and one that is killed
after it is completed by the next run, which makes the moves that are still to be made. A move that *fails* (a full
disk, a permission) undoes the ones before it instead, with the old files that each step has set aside. So that even an
undoing that is killed can be completed, what it takes out of place goes back to `new`.

A chart directory changes places with the one that is there, so that there always is one. Then `new` holds the old
directory until it is set aside; the number of its inode tells which of them is new.

    <output>/.kcd-gen/.staging/new/<index>    the file or chart directory that a step puts in place
    <output>/.kcd-gen/.staging/old/<index>    what was there before
    <store>/staging.json                      {"output": …, "inode": of the staging directory}
    <store>/journal.json                      {"inode": …, "steps": […], "paths": [files that change]}

What is in the output came with the checkout, so that a staging directory alone means nothing: it is replayed only by a
journal in the store (see `journal_store`), where Git can't put one, and only what has the digest that the journal says.
A staging directory that no store knows is never touched.
"""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files import Directory, SymlinkError, open_directory
from kubocd_gen.output.inventory import RECORDS, is_output_path, is_unit
from kubocd_gen.output.journal_store import JournalStore, make_store, stores
from kubocd_gen.output.moves import NEW, OLD, STAGING, Step, is_sound, make_move, sync_parents, undo_move
from kubocd_gen.output.tree import LARGEST_FILE, advice, place, refused_symlink

_IDENTITY = "staging.json"
_JOURNAL = "journal.json"


def is_interrupted(path: Path) -> bool:
    """Whether there is a staging directory in the output: a write was killed, or is at work at this moment."""
    try:
        with open_directory(path) as root:
            return root.status(STAGING) is not None
    except OSError:
        return False  # who reads or writes the output says why


def interrupted_paths(path: Path) -> frozenset[str]:
    """The files that an interrupted write was moving: they are kcd-gen's although no inventory may list them yet."""
    try:
        with open_directory(path) as root:
            store = _store_of(root)
            return _read(root, store)[1] if store else frozenset()
    except OSError:
        return frozenset()


def refuse_foreign_staging(path: Path) -> None:
    """Raise ProblemsError `foreign-staging` for a staging directory that no write of this user has left."""
    try:
        with open_directory(path) as root:
            if root.status(STAGING) and not _store_of(root) and _is_filled(root) and not root.is_locked():
                raise ProblemsError(_foreign_staging(root))
    except OSError:
        return  # who reads or writes the output says why


def open_staging(root: Directory) -> JournalStore:
    """Make the staging directory, which must not exist, and note that it is ours."""
    store = make_store(root.real)
    try:
        store.remove(_JOURNAL)  # of a write whose staging directory is gone
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
        for folder in (NEW, OLD):
            root.make_one(folder)
        # Should a killed write leave it behind in a checkout, Git does not offer it for a commit.
        root.create(f"{STAGING}/.gitignore", b"*\n")
    except BaseException:
        close_staging(root, store)
        raise
    return store


def commit(root: Directory, store: JournalStore, steps: Sequence[Step], paths: Iterable[str]) -> None:
    """Decide: from here on the steps are to be made. Everything staged must be on disk already."""
    status = root.status(STAGING)
    content = {
        "inode": status.st_ino if status else None,
        "steps": [asdict(step) for step in steps],
        "paths": sorted(paths),
    }
    root.sync(NEW, STAGING)
    store.write(_JOURNAL, json.dumps(content).encode(), durable=True)


def carry_out(root: Directory, store: JournalStore, steps: Sequence[Step]) -> None:
    """Make the moves in order and close the staging directory; a move that fails, or a Ctrl-C, undoes those before it.

    Where that fails too the staging directory stays for the next run, and ProblemsError `interrupted-output` says so.
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
            raise ProblemsError(
                Problem(
                    "interrupted-output",
                    f"writing the output stopped half-way ({_reason(cause)}) and could not be undone: {_reason(error)}",
                    position=failed_place(root.path, error),
                    hint="run the build again: it completes the write",
                )
            ) from cause
        close_staging(root, store)
        raise
    close_staging(root, store)


def complete(root: Directory) -> bool:
    """Finish what a killed write left: make its remaining moves if it had decided, else forget it. True if it had.

    Raises ProblemsError `foreign-staging`, `broken-journal`, or `interrupted-output` for a move that fails; the next
    run tries again.
    """
    if root.status(STAGING) is None:
        return False
    store = _store_of(root)
    if store is None:
        if _is_filled(root):
            raise ProblemsError(_foreign_staging(root))
        for folder in (NEW, OLD, STAGING):  # killed before it was noted as ours, and there is nothing in it
            root.remove_empty(folder)
        return False
    steps = _read(root, store)[0]
    try:
        # What was set aside before is not needed again: from here it goes only forward.
        root.remove(OLD)
        root.make_one(OLD)
        for index, step in enumerate(steps):
            if not is_sound(root, index, step):
                what = f"what is staged for '{step.path}' is not what the journal was written for"
                raise ProblemsError(_broken(root, store, what))
        for index, step in enumerate(steps):
            make_move(root, index, step)
        sync_parents(root, steps)
    except SymlinkError as error:
        raise ProblemsError(refused_symlink(error)) from error
    except OSError as error:
        raise ProblemsError(
            Problem(
                "interrupted-output",
                f"an earlier build was interrupted while it wrote, and that can't be completed: {_reason(error)}",
                position=failed_place(root.path, error),
                hint=f"{advice(error)}; the next build completes the write",
            )
        ) from error
    close_staging(root, store)
    return bool(steps)


def close_staging(root: Directory, store: JournalStore) -> None:
    """Forget the write: without its journal the rest is refuse, whose removal may be interrupted at will."""
    store.remove(_JOURNAL)
    with contextlib.suppress(OSError):
        root.remove(STAGING)
        store.discard()
    root.remove_empty(RECORDS)


def failed_place(root: Path, error: OSError) -> Position:
    """The file that the operating system complains of: where a move leads; the output for what is only staged."""
    path = Path(error.filename) if isinstance(error.filename, str) else root
    return place(root if path.is_relative_to(root.absolute() / STAGING) else path)


def _store_of(root: Directory) -> JournalStore | None:
    """Return the store that knows the staging directory of this output as one that kcd-gen has made."""
    status = root.status(STAGING)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return None
    for store in stores(root.real):
        if any(_object(store.read(name, LARGEST_FILE)).get("inode") == status.st_ino for name in (_IDENTITY, _JOURNAL)):
            return store
    return None


def _is_filled(root: Directory) -> bool:
    """Whether the staging directory is something else, or holds more than empty directories, which Git can't carry."""
    try:
        inside = [(f"{STAGING}/{entry.name}", entry) for entry in root.entries(STAGING)]
        return any(path not in (NEW, OLD) or not entry.is_directory or root.entries(path) for path, entry in inside)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _read(root: Directory, store: JournalStore) -> tuple[tuple[Step, ...], frozenset[str]]:
    """The steps and paths of the journal, none if the write had not decided; nothing in it may lead elsewhere."""
    content = store.read(_JOURNAL, LARGEST_FILE)
    if content is None:
        return (), frozenset()
    staging = root.status(STAGING)
    try:
        data = json.loads(content)
        steps = tuple(_step(step) for step in data["steps"])
        paths = frozenset(str(path) for path in data["paths"])
        if staging is None or data["inode"] != staging.st_ino:
            return (), frozenset()  # of an earlier write
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ProblemsError(_broken(root, store)) from None
    if not all(is_unit(step.path) for step in steps) or not all(map(is_output_path, paths)):
        raise ProblemsError(_broken(root, store))
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
    root: Directory, store: JournalStore, what: str = "the journal of an interrupted write is damaged"
) -> Problem:
    return Problem(
        "broken-journal",
        what,
        position=place(store.directory.path / _JOURNAL),
        hint=f"delete {place(root.path / STAGING)}, restore the output from Git, and build again",
    )


def _foreign_staging(root: Directory) -> Problem:
    staging = place(root.path / STAGING)
    return Problem(
        "foreign-staging",
        "refusing to use a staging directory that no build on this machine has left behind",
        position=staging,
        hint=f"delete {staging}, also from Git if it is committed, and build again",
    )
