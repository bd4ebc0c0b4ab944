"""Carry a plan out: all of it or nothing, one kcd-gen at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kubocd_gen.diagnostics import KcdError
from kubocd_gen.files import locked_folder
from kubocd_gen.output import journal
from kubocd_gen.output.journal import Step, link_or_copy, staged, sync_folders
from kubocd_gen.output.plan import FileChange, Plan, plan_output
from kubocd_gen.output.tree import Tree, advice

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

    Raises KcdError `unwritable-output`, what `plan_output` raises, and rarely `interrupted-output` or `broken-journal`.
    """
    if plan.is_clean and not journal.is_interrupted(Tree(plan.root)):
        return Written(plan)
    try:
        with _made(plan.root), locked_folder(plan.root, waiting):
            completed = journal.complete(Tree(plan.root))
            plan = plan_output(plan.root, plan.releases, plan.shared, complete=plan.complete)
            if not plan.is_clean:
                _write(plan)
            return Written(plan, completed)
    except OSError as error:
        raise KcdError(
            f"the output can't be written: {error.strerror or error}; it is as it was",
            code="unwritable-output",
            position=journal.failed_place(plan.root, error),
            hint=advice(error),
        ) from error


def _write(plan: Plan) -> None:
    root = plan.root
    try:
        journal.open_staging(root)
        steps = _stage(plan)
        journal.commit(root, steps, (change.path for change in plan.changes if change.change != "unchanged"))
    except BaseException:
        journal.close_staging(root)
        raise
    journal.carry_out(root, steps)


def _stage(plan: Plan) -> list[Step]:
    """Write everything new into the staging folder and return the moves, in the order in which they are made."""
    tree = Tree(plan.root)
    units: dict[str, list[FileChange]] = {}
    for change in plan.changes:
        if change.change != "unchanged":
            # A chart folder is one unit: a reader never sees the index of one build beside the charts of another.
            unit = change.path.rpartition("/")[0] if change.path.startswith("hr/") else change.path
            units.setdefault(unit, []).append(change)
    steps = [Step(unit, replace=_stays(tree, unit, changes)) for unit, changes in units.items()]
    # Charts come before the resources that name them, and go after them.
    steps.sort(key=lambda step: (not step.replace, step.path.startswith("hr/") != step.replace, step.path))
    files: list[tuple[Path, bytes]] = []
    for index, step in enumerate(steps):
        if step.replace:
            files += _contents(plan.root, index, step, units[step.path])
    with ThreadPoolExecutor(_WRITERS) as writers:
        list(writers.map(_write_files, (files[first::_WRITERS] for first in range(min(_WRITERS, len(files))))))
    folders = {index: folder for index in range(len(steps)) if (folder := staged(plan.root, index)).is_dir()}
    sync_folders(*folders.values())
    return [
        replace(step, inode=folders[index].stat().st_ino) if index in folders else step
        for index, step in enumerate(steps)
    ]


def _stays(tree: Tree, unit: str, changes: list[FileChange]) -> bool:
    """Whether anything is at `unit` when its changes are made: for a chart folder also what kcd-gen did not change."""
    if any(change.after is not None for change in changes):
        return True
    touched = {change.path for change in changes}
    return unit not in touched and any(f"{unit}/{entry.name}" not in touched for entry in tree.entries(unit))


def _contents(root: Path, index: int, step: Step, changes: list[FileChange]) -> list[tuple[Path, bytes]]:
    """The files to write for a step. A chart folder is made here, with what stays in it under second names."""
    target = staged(root, index)
    if changes[0].path == step.path:
        return [(target, change.after) for change in changes if change.after is not None]
    touched = {change.path.rpartition("/")[2] for change in changes}
    present = root / step.path
    if present.is_dir():
        shutil.copytree(
            present,
            target,
            symlinks=True,
            ignore=lambda folder, names: touched.intersection(names) if Path(folder) == present else (),
            copy_function=link_or_copy,
        )
    else:
        target.mkdir()
    return [(target / change.path.rpartition("/")[2], change.after) for change in changes if change.after is not None]


def _write_files(files: Iterable[tuple[Path, bytes]]) -> None:
    for path, content in files:
        with path.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())


@contextmanager
def _made(root: Path) -> Iterator[None]:
    """Have `root`, and take away again what had to be made for it when it stays empty."""
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    root.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            try:
                folder.rmdir()
            except OSError:
                break
        raise
