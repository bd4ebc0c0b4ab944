"""`kcd-gen vendor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click

from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.console import print_json, print_problems
from kubocd_gen.cli.options import (
    JobsOptions,
    JsonOptions,
    ProgressOptions,
    ProjectOptions,
    QuietOptions,
    RemovalOptions,
)
from kubocd_gen.cli.terminal import progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, has_errors, printable
from kubocd_gen.diagnostics.text import packages_report
from kubocd_gen.files.paths import shown_path

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.pipeline.lock import Vendored


@options
class VendorOptions(ProjectOptions, RemovalOptions, JsonOptions, QuietOptions, JobsOptions, ProgressOptions):
    """`kcd-gen vendor`."""

    prune: Annotated[bool, Flag("Remove packages that are not in the lock file.")] = False


@command(VendorOptions)
def vendor(options: VendorOptions) -> int:
    """Copy every package of kcd-gen.lock into the vendor layout.

    It is an OCI image layout, which tools such as skopeo can read and write. With a lock file and a vendor layout, a
    build needs no network. Packages that are already in the layout are verified and kept. A merge conflict in its
    index.json is resolved.

    \b
    kcd-gen vendor                                  # into `packages.vendor` of kcd-gen.yaml
    kcd-gen vendor --vendor vendor/packages
    kcd-gen vendor --prune                          # remove all other packages
    kcd-gen build --offline --locked
    """
    problems = Problems()
    outcomes: list[tuple[str, Vendored | Literal["removed"]]] = []
    with problems.collect():
        outcomes = _vendor(options, problems)
    if options.format == "json":
        entries = [{"package": name, "status": status} for name, status in outcomes]
        print_json(packages_report("vendor", entries, list(problems)))
    elif not options.quiet:
        for status, verb in (("copied", "Vendored"), ("removed", "Removed")):
            for name in (name for name, found in outcomes if found == status):
                click.echo(printable(f"{verb} {name}"))
        if not has_errors(problems):
            total = sum(status != "removed" for _, status in outcomes)
            click.echo(f"{total} package{'' if total == 1 else 's'} in {options.vendor or 'the vendor layout'}")
    return print_problems(problems, quiet=options.quiet)


def _vendor(options: VendorOptions, problems: Problems) -> list[tuple[str, Vendored | Literal["removed"]]]:
    """Return the locked and the removed packages, each with what was done with it."""
    from kubocd_gen.model.project import LOCK_FILE
    from kubocd_gen.oci.layout_writer import LayoutWriter
    from kubocd_gen.pipeline.lock import refuse_mass_removal, stale_packages, vendor_packages, wanted_by
    from kubocd_gen.pipeline.packages import project_lock, remote, vendor_layout
    from kubocd_gen.sources.project_file import load_project

    project = load_project(options.flags(), Path.cwd())
    layout = vendor_layout(project)
    if project.vendor is None or layout is None:
        hint = "set `packages.vendor` in kcd-gen.yaml, or use --vendor DIR"
        raise ProblemsError.of("usage", "no vendor layout is configured", hint=hint)
    lock = project_lock(project)
    if lock is None:
        raise ProblemsError.of(
            "missing-lock", f"{shown_path(project.lock_path)} does not exist", hint="run 'kcd-gen lock' first"
        )
    with progress(wanted=not options.no_progress) as line:
        wanted, _ = wanted_by(project, problems)
        for move in stale_packages(wanted, lock, prune=False):
            hint = "run 'kcd-gen lock' first"
            problems.warning(Problem("not-locked", f"{move.name} is not in {LOCK_FILE}", hint=hint))
        registries = remote(project, line)
        writer = LayoutWriter(project.vendor, layout.name)
        copied = vendor_packages(
            lock, wanted, layout, writer, registries, problems, limits=project.limits, jobs=options.job_count
        )
        for warning in registries.warnings():
            problems.warning(warning)
    failed = has_errors(problems)
    removed: list[str] = []
    if options.prune and not failed:

        def confirm(names: list[str]) -> None:
            refuse_mass_removal(names, lock.packages, options.allow_removals, "'--prune'")

        removed, _ = writer.keep_only(lock.packages, confirm)
    return [*copied.items(), *((name, "removed") for name in removed)]
