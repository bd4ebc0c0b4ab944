"""Outputs that no cluster of a project writes to any more: a cluster was removed, or its `output` was changed.

Flux still applies such an output. It is found by its inventory, like everything that kcd-gen has written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.checkout.files import PROJECT
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.files.paths import display_path
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.model.project import Project
from kubocd_gen.output.inventory import read_records
from kubocd_gen.output.plan import OutputFile, plan_output
from kubocd_gen.output.tree import Tree
from kubocd_gen.output.writer import write
from kubocd_gen.pipeline.build import refuse_protected_removals
from kubocd_gen.pipeline.kustomizations import surroundings

_CODE = "abandoned-output"


def report_abandoned(
    project: Project, problems: Problems, *, prune: bool, only_plan: bool, allow_protected_removal: Collection[str]
) -> None:
    """Add a warning for each abandoned output of the project, or remove them with `prune` unless `only_plan` is set.

    A project made of flags alone has no abandoned outputs: it does not say which outputs there are.
    """
    for output in _abandoned(project, problems) if project.outputs else ():
        name = display_path(output, project.root)
        with problems.collect():
            plan = plan_output(output, (), _nothing, complete=True)
            count = len(plan.removed_releases())
            releases = f"{count} Release{'' if count == 1 else 's'}"
            if not prune:
                message = f"no cluster of the project writes to this directory, which has the output of {releases}"
                hint = "run 'kcd-gen build --prune-outputs' to remove it, or add the cluster to the project again"
                problems.warning(Problem(_CODE, message, Position(name), hint))
                continue
            for note in refuse_protected_removals(plan, project, allow_protected_removal):
                problems.note(note)
            if only_plan:
                problems.note(Problem(_CODE, f"the output of {releases} would be removed", Position(name)))
                continue
            write(plan)
            with contextlib.suppress(OSError):  # it has other files
                output.rmdir()
            problems.note(Problem(_CODE, f"removed the output of {releases}", Position(name)))


def _nothing(_paths: Sequence[str], _listed: bool | None) -> Sequence[OutputFile]:
    return ()


def _abandoned(project: Project, problems: Problems) -> Iterator[Path]:
    found = surroundings(project, problems)
    outputs = [*project.outputs, *(cluster.output for cluster in project.clusters)]
    for path in found.projects:
        if path.parent.resolve() != project.root.resolve():
            outputs += _outputs_of(path, project)
    used = [Path(os.path.realpath(output)) for output in outputs]
    near = [Path(os.path.realpath(project.root)), *(output.parent for output in used)]
    for directory in found.inventories:
        real = Path(os.path.realpath(directory))
        if not any(real.is_relative_to(one) for one in near):  # elsewhere in the repository, such as the data of a test
            continue
        if not any(real == one or real.is_relative_to(one) for one in used) and _has_records(directory):
            yield directory


def _has_records(directory: Path) -> bool:
    try:
        return bool(read_records(Tree(directory)))
    except ProblemsError:  # a symlink, for example: it was not written by kcd-gen
        return False


def _outputs_of(path: Path, project: Project) -> list[Path]:
    """Return the outputs of another project; its whole directory if its file can't be read."""
    try:
        text = project.files.read(path, str(path), PROJECT).decode("utf-8")
        value = read_document(text, str(path), budget=project.budget)
    except BudgetExceededError:
        raise
    except (OSError, UnicodeDecodeError, ProblemsError):
        return [path.parent]
    clusters = value.get("clusters") if isinstance(value, Mapping) else None
    if not isinstance(clusters, list):
        return []
    outputs = [one.get("output") for one in clusters if isinstance(one, Mapping)]
    return [path.parent / output for output in outputs if isinstance(output, str)]
