"""Carry out a plan atomically, with one kcd-gen process at a time."""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.directory import Directory, made_directory, open_directory
from kubocd_gen.output import journal
from kubocd_gen.output.known import Inode, KnownOutput, inode_of
from kubocd_gen.output.moves import NEW, Step
from kubocd_gen.output.plan import FileChange, Plan, ReleaseOutput, SharedFiles, plan_output
from kubocd_gen.output.tree import output_error
from kubocd_gen.processes.timing import counted, timed

_log = logging.getLogger(__name__)

# fsync waits for the disk, not the CPU, and file systems commit many waiting threads at once.
_WRITERS = 8


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a write: the plan as carried out, and whether an interrupted earlier write was completed first."""

    plan: Plan
    completed_earlier: bool = False


def plan_at_rest(
    root: Path,
    releases: Sequence[ReleaseOutput],
    shared: SharedFiles,
    *,
    complete: bool,
    known: KnownOutput | None = None,
    waiting: Callable[[], None] | None = None,
) -> Plan:
    """Return the plan of `plan_output`. While another process writes, its files seem to belong to nobody, or vanish.

    Therefore, an output with such files is planned again when no process writes to it. If one does, `waiting` is called
    before waiting for it. Raises what `plan_output` raises.
    """
    try:
        return plan_output(root, releases, shared, complete=complete, known=known)
    except ProblemsError as error:
        if error.problem.code not in ("foreign-file", "unreadable-output"):
            raise
        try:
            with open_directory(root) as directory, directory.locked(waiting):
                return plan_output(root, releases, shared, complete=complete, known=known)
        except OSError:
            raise error from None


def write(plan: Plan, *, waiting: Callable[[], None] | None = None) -> Written:
    """Write the changes of `plan` to the output; if there are none, nothing is touched, opened or locked.

    The write is atomic: an error leaves contents and times unchanged, and a killed write is completed by the next one.
    If another kcd-gen process is writing to this output, `waiting` is called before waiting for it. That process, or
    completing a killed write, can change the output, so the plan is computed again under the lock.

    Raises ProblemsError `unwritable-output`, what `plan_output` raises, and rarely `interrupted-output` or
    `broken-journal`.
    """
    if plan.is_clean and not journal.is_interrupted(plan.root):
        return Written(plan)
    try:
        with made_directory(plan.root) as root, root.locked(waiting):
            completed = journal.complete(root)
            plan = plan_output(plan.root, plan.releases, plan.shared, complete=plan.complete, known=plan.known)
            if not plan.is_clean:
                with timed(_log, f"write {plan.root}") as details:
                    _write(root, plan.pending, plan.known)
                    for change in plan.pending:
                        _log.debug("%s %s", change.change, change.path)
                    details.append(counted(len(plan.pending), "file"))
            return Written(plan, completed)
    except OSError as error:
        message = "cannot write the output, which is unchanged"
        raise output_error("unwritable-output", message, error, journal.failure_position(plan.root, error)) from error


def _write(root: Directory, changes: Sequence[FileChange], known: KnownOutput) -> None:
    store = journal.open_staging(root)
    staged: dict[str, Inode] = {}
    try:
        steps = _stage(root, changes, staged)
        journal.commit(root, store, steps, (change.path for change in changes))
    except BaseException:
        journal.close_staging(root, store)
        raise
    journal.carry_out(root, store, steps)
    for change in changes:
        if change.path in staged and change.sha256 and (status := root.status(change.path)):
            known.note_written(change.path, status, staged[change.path], change.sha256)


def _stage(root: Directory, changes: Sequence[FileChange], staged_as: dict[str, Inode]) -> list[Step]:
    """Write all new content to the staging directory and return the moves in order.

    `staged_as` gets the inodes of the new files by their path in the output.
    """
    units: dict[str, list[FileChange]] = {}
    for change in changes:
        # A chart directory is one unit, so a reader never sees an index and charts of different builds together.
        unit = change.path.rpartition("/")[0] if change.path.startswith("hr/") else change.path
        units.setdefault(unit, []).append(change)
    remaining = {unit: _remains(root, unit, several) for unit, several in units.items()}
    # Charts are added before the resources that refer to them, and removed after them.
    order = sorted(units, key=lambda unit: (not remaining[unit], unit.startswith("hr/") != remaining[unit], unit))
    contents: list[tuple[str, bytes]] = []  # by the path in NEW
    paths: dict[str, str] = {}  # in the output, by the path in NEW
    steps = []
    for index, unit in enumerate(order):
        if not remaining[unit]:
            steps.append(Step(unit, replace=False))
            continue
        staged = f"{NEW}/{index}"
        inode = _stage_directory(root, unit, units[unit], staged) if unit.startswith("hr/") else None
        # The key is "" for a file, and the name of each file in a chart directory.
        names = {
            change.path[len(unit) + 1 :]: content for change in units[unit] if (content := change.after) is not None
        }
        contents += ((f"{index}/{name}" if name else f"{index}", content) for name, content in names.items())
        paths |= {f"{index}/{name}" if name else f"{index}": f"{unit}/{name}" if name else unit for name in names}
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in names.items()}
        steps.append(Step(unit, replace=True, inode=inode, digests=digests))
    with ThreadPoolExecutor(_WRITERS) as writers:
        shares = (contents[first::_WRITERS] for first in range(min(_WRITERS, len(contents))))
        for inodes in writers.map(lambda share: _write_files(root, share), shares):
            staged_as |= {paths[path]: inode for path, inode in inodes.items()}
    root.sync(*(f"{NEW}/{index}" for index, step in enumerate(steps) if step.inode is not None))
    return steps


def _remains(root: Directory, unit: str, changes: list[FileChange]) -> bool:
    """Return whether `unit` exists after its changes. A chart directory also remains for files that do not change."""
    if any(change.new is not None for change in changes):
        return True
    touched = {change.path for change in changes}
    return unit not in touched and any(f"{unit}/{entry.name}" not in touched for entry in root.entries(unit))


def _stage_directory(root: Directory, unit: str, changes: list[FileChange], staged: str) -> int:
    """Create the chart directory of a step, with hard links to unchanged files, and return its inode."""
    present = root.status(unit)
    if present is not None and stat.S_ISDIR(present.st_mode):
        root.copy_tree(unit, staged, without={change.path.rpartition("/")[2] for change in changes})
    else:
        root.make_one(staged)
    status = root.status(staged)
    assert status is not None
    return status.st_ino


def _write_files(root: Directory, files: Iterable[tuple[str, bytes]]) -> dict[str, Inode]:
    with root.subdirectory(NEW) as staging:  # opened once, not for each file
        return {path: inode_of(staging.create(path, content)) for path, content in files}
