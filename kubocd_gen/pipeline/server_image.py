"""Compare the charts of a cluster with those of its server's image, and make Flux fetch them when the image has them.

Flux reads an index when it applies a HelmRepository whose annotation `requestedAt` has changed, and then only at its
interval, for example after 30 minutes. If a commit has new charts but not yet the image with them, Flux reads the old
index, and the commit with the image would not change the annotation. Therefore the annotation also depends on the image
that was the first to have these charts (`output/chart_list.py`): a new image changes only the HelmRepositories of
Releases whose charts it was built for, and an image with another base changes none.

The pinned digest and the list are files of the checkout. They are read like the output, without following symlinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.files.paths import display_path
from kubocd_gen.kustomize import pinned_image
from kubocd_gen.kustomize.pinned_image import Pinned, bad_kustomization, read_pinned
from kubocd_gen.model.compilation import Compilation, CompiledRelease
from kubocd_gen.model.project import Project
from kubocd_gen.output import chart_list
from kubocd_gen.output.chart_list import CHART_LIST, SERVER, ChartList, charts_digest, parse_chart_list
from kubocd_gen.output.tree import Tree

KUSTOMIZATION = f"{SERVER}/kustomization.yaml"
_MOST = 5  # Releases that a message names
_REASONS = {"symlinked-output": "symlinks are not followed here", "foreign-file": "it is not a regular file"}


def charts_of(releases: Sequence[CompiledRelease]) -> dict[str, str]:
    """Return the digest of each Release's charts by its key."""
    return {
        one.key: charts_digest({path: file.sha256 for path, file in one.written_charts.items()}) for one in releases
    }


def in_step(compilation: Compilation, project: Project, problems: Problems) -> Compilation:
    """Return the compilation with `requestedAt` for the pinned image.

    If that image is known to have other charts, this is a warning; if its charts are not known, a note.
    """
    found = _read(compilation, project, problems) if compilation.cluster.delivery.has_server else None
    if found is None:
        return compilation
    pinned, known = found
    charts = charts_of(compilation.releases)
    missing = [key for key, digest in charts.items() if not known.has(key, digest)]
    if missing:
        named = ", ".join(missing[:_MOST]) + (f" and {len(missing) - _MOST} more" if len(missing) > _MOST else "")
        count = "a Release" if len(missing) == 1 else f"{len(missing)} Releases"
        message = f"the image that is pinned here does not have the charts of {count}: {named}"
        problems.warning(_stale(message, pinned, compilation, project))
    releases = (
        replace(one, finish=replace(one.finish, image=known.since(one.key, charts[one.key])))
        for one in compilation.releases
    )
    return replace(compilation, releases=tuple(releases))


def _read(compilation: Compilation, project: Project, problems: Problems) -> tuple[Pinned, ChartList] | None:
    """Return the pinned image with its charts; None if no image is pinned or its charts are not known."""
    root = compilation.cluster.output
    tree = Tree(root)
    display = display_path(root / KUSTOMIZATION, project.root)
    try:
        tree.has_directory("")
    except ProblemsError:
        return None  # planning the output reports this
    try:
        if not tree.file(KUSTOMIZATION):
            return None
        text = tree.read(KUSTOMIZATION, pinned_image.LARGEST).decode()
        pinned = read_pinned(text, display, project.budget)
        if pinned is None or pinned.digest is None:
            return None
        data = tree.read(CHART_LIST, chart_list.LARGEST) if tree.file(CHART_LIST) else None
    except BudgetExceededError:
        raise
    except ProblemsError as error:
        problems.warning(_unknown(error.problem, Position(display)))
        return None
    except UnicodeDecodeError:
        problems.warning(_unknown(bad_kustomization(display, "it is not valid UTF-8"), None))
        return None
    if data is None:
        message = f"the charts of the image that is pinned here are unknown, because there is no '{CHART_LIST}'"
        problems.note(_stale(message, pinned, compilation, project))
        return None
    charts = parse_chart_list(data)
    if charts is None:
        message = "the list of the image's charts is not as kcd-gen wrote it, for example because of a merge"
        position = Position(display_path(root / CHART_LIST, project.root))
        problems.warning(_stale(message, replace(pinned, position=position), compilation, project))
    elif charts.image != pinned.digest:
        message = f"the image that is pinned here is not the one whose charts are listed in '{CHART_LIST}'"
        problems.warning(_stale(message, pinned, compilation, project))
    else:
        return pinned, charts
    return None


def _unknown(cause: Problem, position: Position | None) -> Problem:
    message = f"the charts of the server's image are unknown: {_REASONS.get(cause.code, cause.message)}"
    hint = cause.hint or "fix the file, or restore it from Git"
    return Problem("stale-image", message, cause.position or position, hint)


def _stale(message: str, pinned: Pinned, compilation: Compilation, project: Project) -> Problem:
    selection = f" --cluster {compilation.cluster.name}" if len(project.outputs) > 1 else ""
    hint = (
        f"push an image with these charts: kcd-gen image{selection} --base BASE "
        f"--push {pinned.new_name or 'REPOSITORY'}:TAG; then run 'kcd-gen build', and commit both"
    )
    return Problem("stale-image", message, pinned.position, hint)
