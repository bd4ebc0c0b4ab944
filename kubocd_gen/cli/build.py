"""`kcd-gen build`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from kubocd_gen.cli.options import (
    flags_of,
    format_option,
    jobs_option,
    option,
    progress_option,
    project_options,
    quiet_option,
)
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.cli.progress import progress
from kubocd_gen.diagnostics import Findings, KcdError, KcdErrors
from kubocd_gen.helm.binary import find_helm, helm_version
from kubocd_gen.helm.engine import Helm
from kubocd_gen.pipeline.building import Built
from kubocd_gen.pipeline.building import build as run_build
from kubocd_gen.pipeline.locking import other_helm
from kubocd_gen.pipeline.packages import package_sources, project_lock
from kubocd_gen.project import load_project
from kubocd_gen.report import build_report, text_report


@click.command()
@project_options
@option("--keep-going", is_flag=True, help="Write the Releases that compile, though others fail; still exit 1.")
@option(
    "--allow-protected-removal",
    multiple=True,
    metavar="NAME",
    help="Let this protected Release vanish from the output; repeatable.",
)
@option("--helm", metavar="PATH", help="The helm binary to use, instead of the one installed beside kcd-gen.")
@format_option
@jobs_option
@quiet_option
@option("--verbose", "-v", is_flag=True, help="Print what is unchanged, too.")
@option("--debug", is_flag=True, help="Print tracebacks, and keep what helm is given in .kcd-gen-debug/.")
@progress_option
def build(**given: Any) -> int:
    """Compile Releases into Flux resources and static Helm repositories.

    Writes flux/ (an OCIRepository, a HelmRepository and the HelmReleases of each Release) and hr/ (the charts, to be
    served under the repository URL). With an error anywhere nothing is written.

    \b
    kcd-gen build                                            # every cluster of kcd-gen.yaml
    kcd-gen build --source clusters/prod --output deploy/prod --vendor packages
    kcd-gen build --keep-going --format json > report.json   # what compiles, and a report
    """
    findings = Findings()  # of the run; those of a cluster's compilation come with it
    built: list[Built] = []
    version = None
    try:
        built, version = _build(given, findings)
    except (KcdError, KcdErrors) as error:  # of the project or of helm: there is nothing to compile, or nothing with
        findings.error(error)
    problems = [*findings, *(diagnostic for one in built for diagnostic in one.diagnostics)]
    if given["format_"] == "json":
        click.echo(json.dumps(build_report(built, version, problems), indent=1))  # ASCII, whatever a source holds
    elif not given["quiet"]:
        for line in text_report(built, verbose=given["verbose"]):
            click.echo(line)
    return say_problems(problems, quiet=given["quiet"], name_clusters=len(built) > 1)


def _build(given: Mapping[str, Any], findings: Findings) -> tuple[list[Built], str | None]:
    """What the flags say, built, and helm's version where the report wants it."""
    # Threads here start and await helm and read files. By default one gets its turn only every 5 ms while another
    # computes, which adds up to more than a helm run.
    sys.setswitchinterval(0.0005)
    jobs = given["jobs"] or os.cpu_count() or 1
    project = load_project(flags_of(given), Path.cwd())
    lock = project_lock(project)
    binary = find_helm(given["helm"])
    helm = Helm(binary, jobs=jobs, debug_dir=Path(".kcd-gen-debug") if given["debug"] else None)
    with ThreadPoolExecutor(1) as beside, progress(wanted=not given["no_progress"]) as line:
        # Asking helm for its version takes as long as a small build.
        version = beside.submit(helm_version, binary) if given["format_"] == "json" or (lock and lock.helm) else None
        if version and project.locked and (problem := other_helm(lock, version.result())):
            raise problem
        packages = package_sources(project, line, lock=lock, jobs=jobs)
        built = run_build(
            project,
            packages,
            helm,
            jobs=jobs,
            keep_going=given["keep_going"],
            allow_protected_removal=given["allow_protected_removal"],
        )
        for warning in packages.warnings():
            findings.warning(warning)
        if version and (problem := other_helm(lock, version.result())):
            findings.warning(problem)
        return built, version.result() if version else None
