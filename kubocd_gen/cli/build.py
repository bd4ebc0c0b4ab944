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

from kubocd_gen.cli.options import flags_of, option, project_options
from kubocd_gen.diagnostics import Findings, KcdError, KcdErrors
from kubocd_gen.helm.binary import find_helm, helm_version
from kubocd_gen.helm.engine import Helm
from kubocd_gen.pipeline.building import Built
from kubocd_gen.pipeline.building import build as run_build
from kubocd_gen.project import load_project
from kubocd_gen.report import build_report, diagnostic_lines, exit_code, text_report


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
@option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="What to print.")
@option("--jobs", "-j", type=click.IntRange(1, 64), help="How much to do at a time; the number of cores.")
@option("--quiet", "-q", is_flag=True, help="Print errors only.")
@option("--verbose", "-v", is_flag=True, help="Print what is unchanged, too.")
@option("--debug", is_flag=True, help="Print tracebacks, and keep what helm is given in .kcd-gen-debug/.")
def build(**given: Any) -> int:
    """Compile Releases into Flux resources and static Helm repositories.

    Writes flux/ (an OCIRepository, a HelmRepository and the HelmReleases of each Release) and hr/ (the charts, to be
    served under the repository URL). With an error anywhere nothing is written.

    \b
    kcd-gen build                                            # every cluster of kcd-gen.yaml
    kcd-gen build --source clusters/prod --output deploy/prod --vendor packages
    kcd-gen build --keep-going --format json > report.json   # what compiles, and a report
    """
    try:
        built, version = _build(given)
        problems = [diagnostic for one in built for diagnostic in one.diagnostics]
    except (KcdError, KcdErrors) as error:  # of the project or of helm: there is nothing to compile, or nothing with
        findings = Findings()
        findings.error(error)
        built, version, problems = [], None, list(findings)
    if given["format_"] == "json":
        click.echo(json.dumps(build_report(built, version, problems), indent=1))  # ASCII, whatever a source holds
    elif not given["quiet"]:
        for line in text_report(built, verbose=given["verbose"]):
            click.echo(line)
    for line in diagnostic_lines([one for one in problems if one.severity == "error" or not given["quiet"]]):
        click.echo(line, err=True)
    return exit_code(problems)


def _build(given: Mapping[str, Any]) -> tuple[list[Built], str | None]:
    """What the flags say, built, and helm's version where the report wants it."""
    # Threads here start and await helm and read files. By default one gets its turn only every 5 ms while another
    # computes, which adds up to more than a helm run.
    sys.setswitchinterval(0.0005)
    jobs = given["jobs"] or os.cpu_count() or 1
    project = load_project(flags_of(given), Path.cwd())
    binary = find_helm(given["helm"])
    helm = Helm(binary, jobs=jobs, debug_dir=Path(".kcd-gen-debug") if given["debug"] else None)
    with ThreadPoolExecutor(1) as beside:  # asking helm for it takes as long as a small build
        version = beside.submit(helm_version, binary) if given["format_"] == "json" else None
        built = run_build(
            project,
            helm,
            jobs=jobs,
            keep_going=given["keep_going"],
            allow_protected_removal=given["allow_protected_removal"],
        )
        return built, version.result() if version else None
