"""`kcd-gen lock`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kubocd_gen.cli.command import Argument, Flag, command, options
from kubocd_gen.cli.console import DIFFERENCE, echo, paint_signed, print_json, print_problems
from kubocd_gen.cli.option_values import complete_names
from kubocd_gen.cli.options import (
    JobsOptions,
    JsonOptions,
    ProgressOptions,
    ProjectOptions,
    QuietOptions,
    RemovalOptions,
)
from kubocd_gen.cli.terminal import progress
from kubocd_gen.diagnostics.problems import Problems, ProblemsError, has_errors, printable
from kubocd_gen.diagnostics.text import packages_report
from kubocd_gen.files.paths import shown_path
from kubocd_gen.model.project import LOCK_FILE

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.model.project import Project
    from kubocd_gen.packages.lock import Pin
    from kubocd_gen.pipeline.lock import Move, Wanted


@options
class LockOptions(ProjectOptions, RemovalOptions, JsonOptions, QuietOptions, JobsOptions, ProgressOptions):
    """`kcd-gen lock`."""

    references: Annotated[tuple[str, ...], Argument("[REF]...", complete=complete_names("images"))] = ()
    update: Annotated[bool, Flag("Pin the tags REF, or all tags, to their current digests.")] = False
    check: Annotated[bool, Flag("Write nothing; exit 3 if the lock file is out of date.")] = False
    allow_chart_change: Annotated[bool, Flag("Accept a chart that changed without a new version.")] = False
    verify: Annotated[bool, Flag("Verify the signatures that Releases require, with cosign.")] = False
    cosign: Annotated[str, Flag("The cosign binary.", metavar="PATH")] = "cosign"
    cosign_key: Annotated[
        str | None,
        Flag("The public key to use if a Release's `verify` refers to a Secret.", metavar="KEY"),
    ] = None
    helm: Annotated[str | None, Flag("The helm binary whose version is recorded in the lock file.", metavar="PATH")] = (
        None
    )


@command(LockOptions)
def lock(options: LockOptions) -> int:
    """Pin every package tag to a digest in kcd-gen.lock.

    Packages in the lock file keep their digests. Missing packages are added, and packages that no Release uses are
    removed. Builds then use the digests from the lock file and do not look up tags.

    \b
    kcd-gen lock                                # after changing sources
    kcd-gen lock --update                       # update all tags
    kcd-gen lock --update redis quay.io/acme/packages/podinfo:6.7.1-p01
    kcd-gen lock --check                        # in CI: is the lock file up to date?
    kcd-gen lock --check --update               # has a tag moved?
    """
    problems = Problems()
    outcome = Outcome()
    with problems.collect():
        if options.references and not options.update:
            hint = "add --update, or omit REF to lock all packages"
            raise ProblemsError.of("usage", f"the package '{options.references[0]}' requires --update", hint=hint)
        outcome = _lock(options, problems)
    if options.format == "json":
        print_json(packages_report("lock", _changes(outcome.moves), list(problems)))
    elif not has_errors(problems) and not options.quiet:
        command = "kcd-gen lock --update" if options.update else "kcd-gen lock"
        for line in _lines(outcome, check=options.check, command=command):
            echo(paint_signed(printable(line)))
    return print_problems(problems, quiet=options.quiet) or (DIFFERENCE if options.check and outcome.changed else 0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The lock file, the changed pins, helm's version in the file and here, and whether the file changes."""

    path: Path = Path(LOCK_FILE)
    moves: Sequence[Move] = ()
    old_helm: str | None = None
    helm: str | None = None
    changed: bool = False


def _lock(options: LockOptions, problems: Problems) -> Outcome:
    from kubocd_gen.helm.process import find_helm, helm_version
    from kubocd_gen.packages.lock import Lock
    from kubocd_gen.pipeline.helm_lock import minor
    from kubocd_gen.pipeline.lock import chosen, lock_packages, refuse_mass_removal, stale_packages, wanted_by
    from kubocd_gen.pipeline.packages import holds_lock, package_sources, project_lock, write_lock
    from kubocd_gen.sources.project_file import load_project

    project = load_project(options.flags(), Path.cwd())
    if project.locked:
        raise ProblemsError.of("usage", "--locked cannot be used with lock", hint="use --check to check the lock file")
    old = project_lock(project) or Lock()
    helm = minor(helm_version(find_helm(options.helm)))
    with progress(wanted=not options.no_progress) as line:
        wanted, is_complete = wanted_by(project, problems)
        selected = chosen(wanted, options.references)
        prune = is_complete and not options.clusters
        if options.check and not options.update:  # needs no registry
            moves = stale_packages(wanted, old, prune=prune)
            _verify(wanted, old.packages, project, options, problems)
            changed = bool(moves) or old.helm != helm or not project.lock_path.exists()
            return Outcome(project.lock_path, moves, old.helm, helm, changed)
        # The vendor layout is filled from the lock file: it may not exist yet, and it has no newer digests.
        if project.vendor and (not project.vendor.exists() or (options.update and not project.offline)):
            project = replace(project, vendor=None)
        packages = package_sources(project, line, lock=None, jobs=options.job_count)
        pins, moves = lock_packages(
            wanted,
            old,
            packages,
            problems,
            update=lambda name: options.update and (not selected or name in selected),
            prune=prune,
            allow_chart_change=options.allow_chart_change,
        )
        for warning in packages.warnings():
            problems.warning(warning)
        _verify(wanted, pins, project, options, problems)
    refuse_mass_removal(old.packages, pins, options.allow_removals, "this command")
    new = Lock(pins, helm, old.charts)
    changed = not holds_lock(project, new)
    if changed and not options.check and not has_errors(problems):
        write_lock(project, new)
    return Outcome(project.lock_path, moves, old.helm, helm, changed)


def _verify(
    wanted: Sequence[Wanted],
    pins: Mapping[str, Pin],
    project: Project,
    options: LockOptions,
    problems: Problems,
) -> None:
    from kubocd_gen.packages.cosign import Cosign
    from kubocd_gen.pipeline.lock import verify_packages
    from kubocd_gen.pipeline.packages import network

    if options.verify and not has_errors(problems):
        cosign = Cosign(options.cosign, options.cosign_key, network(project, lambda _line: None))
        verify_packages(wanted, pins, cosign, problems, jobs=options.job_count)


def _lines(outcome: Outcome, *, check: bool, command: str) -> Iterator[str]:
    for move in outcome.moves:
        if move.old is None:
            yield f"{'Missing' if check else 'Locked'} {move.name} {_short(move.new) if move.new else ''}".rstrip()
        elif move.new is None:
            yield f"{'Unused' if check else 'Removed'} {move.name}"
        else:
            yield f"{'Would move' if check else 'Moved'} {move.name} {_short(move.old)} → {_short(move.new)}"
            yield from _chart_lines(move.old, move.new)
    if outcome.old_helm is not None and outcome.old_helm != outcome.helm:
        yield f"{'Would record' if check else 'Recorded'} helm {outcome.helm}, was {outcome.old_helm}"
    lock = shown_path(outcome.path)
    if check and outcome.changed:
        yield f"{lock} is out of date; run '{command}'"
    elif not outcome.changed:
        yield f"{lock} is up to date"


def _chart_lines(old: Pin, new: Pin) -> Iterator[str]:
    from kubocd_gen.packages.lock import changed_charts

    replaced = {(chart.name, chart.version) for chart in changed_charts(old, new)}
    before = {(chart.name, chart.version) for chart in old.charts}
    after = {(chart.name, chart.version) for chart in new.charts}
    for name, version in sorted(before - after):
        yield f"  - chart {name} {version}"
    for name, version in sorted(after - before):
        yield f"  + chart {name} {version}"
    for name, version in sorted(replaced):
        yield f"  ! chart {name} {version} changed without a new version; Flux will not roll it out"


def _short(pin: Pin) -> str:
    return pin.manifest.digest[: len("sha256:") + 12]


def _changes(moves: Sequence[Move]) -> list[dict[str, Any]]:
    return [
        {
            "package": move.name,
            "old": move.old.manifest.digest if move.old else None,
            "new": move.new.manifest.digest if move.new else None,
        }
        for move in moves
    ]
