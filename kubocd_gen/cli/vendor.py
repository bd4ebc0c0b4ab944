"""`kcd-gen vendor`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kubocd_gen.cli.options import flags_of, jobs_option, option, progress_option, project_options, quiet_option
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.cli.progress import progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, printable
from kubocd_gen.model.project import LOCK_FILE
from kubocd_gen.oci.layout_writer import LayoutWriter
from kubocd_gen.pipeline.locking import stale_packages, vendor_packages, wanted_by
from kubocd_gen.pipeline.packages import project_lock, remote, vendor_layout
from kubocd_gen.sources.project_file import load_project


@click.command()
@project_options
@option("--prune", is_flag=True, help="Take away what the lock does not name.")
@jobs_option
@quiet_option
@progress_option
def vendor(**given: Any) -> int:
    """Copy every package of kcd-gen.lock into the vendor layout.

    The layout is an OCI image layout, which skopeo and others read and write. A build with lock and layout opens no
    socket. What the layout has already is checked and kept.

    \b
    kcd-gen vendor                                  # into `packages.vendor` of kcd-gen.yaml
    kcd-gen vendor --vendor vendor/packages
    kcd-gen vendor --prune                          # and nothing else is left in it
    kcd-gen build --offline --locked
    """
    findings = Problems()
    try:
        copied, removed, total = _vendor(given, findings)
        if not given["quiet"]:
            for verb, names in (("Vendored", copied), ("Removed", removed)):
                for name in names:
                    click.echo(printable(f"{verb} {name}"))
            if not any(one.severity == "error" for one in findings):
                click.echo(f"{total} package{'' if total == 1 else 's'} in {given['vendor'] or 'the vendor layout'}")
    except ProblemsError as error:
        findings.error(error)
    return say_problems(findings, quiet=given["quiet"])


def _vendor(given: Mapping[str, Any], findings: Problems) -> tuple[list[str], list[str], int]:
    """The names of the packages that were copied, and of those removed, and how many the lock has."""
    project = load_project(flags_of(given), Path.cwd())
    layout = vendor_layout(project)
    if project.vendor is None or layout is None:
        hint = "set `packages.vendor` in kcd-gen.yaml, or give --vendor DIR"
        raise ProblemsError(Problem("usage", "no vendor layout is named", hint=hint))
    lock = project_lock(project)
    if lock is None:
        raise ProblemsError(
            Problem(
                "missing-lock",
                f"there is no {LOCK_FILE}, and it says what is vendored",
                hint="run 'kcd-gen lock' first",
            )
        )
    with progress(wanted=not given["no_progress"]) as line:
        wanted, _ = wanted_by(project, findings)
        for move in stale_packages(wanted, lock, prune=False):
            hint = "run 'kcd-gen lock' first"
            findings.warning(Problem("not-locked", f"{move.name} is not in {LOCK_FILE}", hint=hint))
        far = remote(project, line)
        jobs = given["jobs"] or os.cpu_count() or 1
        writer = LayoutWriter(project.vendor, str(layout.path))
        copied = vendor_packages(lock, wanted, layout, writer, far, findings, limits=project.limits, jobs=jobs)
        for warning in far.warnings():
            findings.warning(warning)
    failed = any(one.severity == "error" for one in findings)
    removed, _ = writer.keep_only(lock.packages) if given["prune"] and not failed else ([], 0)
    return copied, removed, len(lock.packages)
