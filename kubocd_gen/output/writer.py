"""Carry a plan out: all of it or nothing, one kcd-gen at a time."""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.files import Directory, SymlinkError, made_directory
from kubocd_gen.output import journal
from kubocd_gen.output.moves import NEW, Step
from kubocd_gen.output.plan import FileChange, Plan, plan_output
from kubocd_gen.output.tree import advice, refused_symlink
from kubocd_gen.processes.timing import timed

_log = logging.getLogger(__name__)

# fsync waits for the disk, not for the processor, and file systems commit many waiters at once.
_WRITERS = 8


@dataclass(frozen=True, slots=True)
class Written:
    """What was done: the plan as carried out, and whether an interrupted earlier write was completed first."""

    plan: Plan
    completed_earlier: bool = False


def write(plan: Plan, *, waiting: Callable[[], None] | None = None) -> Written:
    """Make the output what the plan says; where it already is, nothing is touched, opened or locked.

    All files appear or none: an error leaves contents and times as they were, and a write that is killed is completed
    by the next. Another kcd-gen at work in this output is waited for, after a call of `waiting`. As it, or the
    completion of a killed write, may change what the plan was made from, the plan is made again under the lock.

    Raises ProblemsError `unwritable-output`, what `plan_output` raises, and rarely `interrupted-output` or
    `broken-journal`.
    """
    if plan.is_clean and not journal.is_interrupted(plan.root):
        return Written(plan)
    try:
        with made_directory(plan.root) as root, root.locked(waiting):
            completed = journal.complete(root)
            plan = plan_output(plan.root, plan.releases, plan.shared, complete=plan.complete)
            if not plan.is_clean:
                with timed(_log, f"write {plan.root}") as details:
                    _write(root, plan)
                    details.append(f"files: {_log_changes(plan)}")
            return Written(plan, completed)
    except SymlinkError as error:
        raise ProblemsError(refused_symlink(error)) from error
    except OSError as error:
        raise ProblemsError(
            Problem(
                "unwritable-output",
                f"the output can't be written: {error.strerror or error}; it is as it was",
                position=journal.failed_place(plan.root, error),
                hint=advice(error),
            )
        ) from error


def _log_changes(plan: Plan) -> int:
    """Log each change that was made, and return their number."""
    changes = [change for change in plan.changes if change.change != "unchanged"]
    for change in changes:
        _log.debug("%s %s", change.change, change.path)
    return len(changes)


def _write(root: Directory, plan: Plan) -> None:
    store = journal.open_staging(root)
    try:
        steps = _stage(root, plan)
        changed = (change.path for change in plan.changes if change.change != "unchanged")
        journal.commit(root, store, steps, changed)
    except BaseException:
        journal.close_staging(root, store)
        raise
    journal.carry_out(root, store, steps)


def _stage(root: Directory, plan: Plan) -> list[Step]:
    """Write everything new into the staging directory and return the moves, in the order in which they are made."""
    units: dict[str, list[FileChange]] = {}
    for change in plan.changes:
        if change.change != "unchanged":
            # A chart folder is one unit: a reader never sees the index of one build beside the charts of another.
            unit = change.path.rpartition("/")[0] if change.path.startswith("hr/") else change.path
            units.setdefault(unit, []).append(change)
    staying = {unit: _stays(root, unit, changes) for unit, changes in units.items()}
    # Charts come before the resources that name them, and go after them.
    order = sorted(units, key=lambda unit: (not staying[unit], unit.startswith("hr/") != staying[unit], unit))
    contents: list[tuple[str, bytes]] = []
    steps = []
    for index, unit in enumerate(order):
        if not staying[unit]:
            steps.append(Step(unit, replace=False))
            continue
        staged = f"{NEW}/{index}"
        inode = _stage_folder(root, unit, units[unit], staged) if unit.startswith("hr/") else None
        # The content of a file by "", that of a chart folder's files by their names.
        names = {change.path[len(unit) + 1 :]: change.after for change in units[unit] if change.after is not None}
        contents += ((f"{staged}/{name}" if name else staged, content) for name, content in names.items())
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in names.items()}
        steps.append(Step(unit, replace=True, inode=inode, digests=digests))
    with ThreadPoolExecutor(_WRITERS) as writers:
        shares = (contents[first::_WRITERS] for first in range(min(_WRITERS, len(contents))))
        list(writers.map(lambda share: _write_files(root, share), shares))
    root.sync(*(f"{NEW}/{index}" for index, step in enumerate(steps) if step.inode is not None))
    return steps


def _stays(root: Directory, unit: str, changes: list[FileChange]) -> bool:
    """Whether anything is at `unit` when its changes are made: for a chart folder also what kcd-gen did not change."""
    if any(change.after is not None for change in changes):
        return True
    touched = {change.path for change in changes}
    return unit not in touched and any(f"{unit}/{entry.name}" not in touched for entry in root.entries(unit))


def _stage_folder(root: Directory, unit: str, changes: list[FileChange], staged: str) -> int:
    """Make the chart folder of a step, with what stays in it under second names; returns its inode."""
    present = root.status(unit)
    if present is not None and stat.S_ISDIR(present.st_mode):
        root.copy_tree(unit, staged, without={change.path.rpartition("/")[2] for change in changes})
    else:
        root.make_one(staged)
    status = root.status(staged)
    assert status is not None
    return status.st_ino


def _write_files(root: Directory, files: Iterable[tuple[str, bytes]]) -> None:
    for path, content in files:
        root.create(path, content)
