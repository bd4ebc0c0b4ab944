"""`kcd-gen vendor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click

from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.console import print_problems
from kubocd_gen.cli.options import JobsOptions, ProgressOptions, ProjectOptions, QuietOptions, RemovalOptions
from kubocd_gen.cli.terminal import progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, has_errors, printable
from kubocd_gen.files.paths import shown_path
from kubocd_gen.model.project import LOCK_FILE
from kubocd_gen.oci.layout_writer import LayoutWriter
from kubocd_gen.pipeline.lock import refuse_mass_removal, stale_packages, vendor_packages, wanted_by
from kubocd_gen.pipeline.packages import project_lock, remote, vendor_layout
from kubocd_gen.sources.project_file import load_project


@options
class VendorOptions(ProjectOptions, RemovalOptions, QuietOptions, JobsOptions, ProgressOptions):
    """`kcd-gen vendor`."""

    prune: Annotated[bool, Flag("Remove packages that are not in the lock file.")] = False


@command(VendorOptions)
def vendor(options: VendorOptions) -> int:
    """Copy every package of kcd-gen.lock into the vendor layout.

    It is an OCI image layout, which tools such as skopeo can read and write. With a lock file and a vendor layout, a
    build needs no network. Packages that are already in the layout are verified and kept.

    \b
    kcd-gen vendor                                  # into `packages.vendor` of kcd-gen.yaml
    kcd-gen vendor --vendor vendor/packages
    kcd-gen vendor --prune                          # remove all other packages
    kcd-gen build --offline --locked
    """
    problems = Problems()
    with problems.collect():
        copied, removed, total = _vendor(options, problems)
        if not options.quiet:
            for verb, names in (("Vendored", copied), ("Removed", removed)):
                for name in names:
                    click.echo(printable(f"{verb} {name}"))
            if not has_errors(problems):
                click.echo(f"{total} package{'' if total == 1 else 's'} in {options.vendor or 'the vendor layout'}")
    return print_problems(problems, quiet=options.quiet)


def _vendor(options: VendorOptions, problems: Problems) -> tuple[list[str], list[str], int]:
    """Return the names of the copied and of the removed packages, and the number of packages in the lock file."""
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
    return copied, removed, len(lock.packages)
