"""`kcd-gen build`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from kubocd_gen.cli.colours import echo, paint_difference
from kubocd_gen.cli.options import (
    ci_format_option,
    flags_of,
    jobs_option,
    option,
    progress_option,
    project_options,
    quiet_option,
    writing_options,
)
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.cli.progress import progress
from kubocd_gen.diagnostics import Diagnostic, Findings, KcdError, KcdErrors, printable
from kubocd_gen.helm.binary import find_helm, helm_version
from kubocd_gen.helm.engine import Helm
from kubocd_gen.output.drift import drift_lines, drift_summary
from kubocd_gen.output.journal import is_interrupted
from kubocd_gen.output.tree import Tree
from kubocd_gen.pipeline.building import Built, is_current
from kubocd_gen.pipeline.building import build as run_build
from kubocd_gen.pipeline.locking import other_helm
from kubocd_gen.pipeline.packages import package_sources, project_lock
from kubocd_gen.problems import exit_code
from kubocd_gen.project import Project, load_project
from kubocd_gen.report import build_report, text_report
from kubocd_gen.sources.discovery import display_path

DRIFT = 3


@click.command()
@project_options
@writing_options
@option("--check", is_flag=True, help="Write nothing; exit 3 where the output is not what the sources compile to.")
@option("--full-diff", is_flag=True, help="With --check: show every difference to its end.")
@option("--dry-run", is_flag=True, help="Write nothing; say what would be done.")
@option("--helm", metavar="PATH", help="The helm binary to use, instead of the one installed beside kcd-gen.")
@ci_format_option
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
    kcd-gen build --check                                    # in CI: is the output up to date? with the differences
    kcd-gen build --check --format github                    # the same, as annotations of a pull request
    kcd-gen build --dry-run                                  # what would change
    """
    built, problems, version = attempt(given, lambda: load_project(flags_of(given), Path.cwd()))
    lines: Iterator[str] = iter(())
    if given["format_"] == "json":
        lines = iter([json.dumps(build_report(built, version, problems), indent=1)])  # ASCII, whatever a source holds
    elif given["format_"] != "text":
        from kubocd_gen.cli.ci_formats import ci_report

        lines = ci_report(given, built, problems, _mending_command())
    elif given["check"] and not any(one.severity == "error" for one in problems):
        lines = _drift(built, full=given["full_diff"], quiet=given["quiet"])
    elif not given["quiet"]:
        lines = text_report(built, verbose=given["verbose"], written=not (given["check"] or given["dry_run"]))
    for line in lines:
        echo(line)
    if given["format_"] == "github":  # has said it all, and a runner shows both streams
        code = exit_code(problems)
    else:
        code = say_problems(problems, quiet=given["quiet"], name_clusters=len(built) > 1)
    return code or (DRIFT if given["check"] and not all(map(is_current, built)) else 0)


def _drift(built: Sequence[Built], *, full: bool, quiet: bool) -> Iterator[str]:
    """What --check has found, and the command that mends it."""
    for one in built:
        name = f"{one.cluster.name}: " if len(built) > 1 else ""
        folder = display_path(one.cluster.output, Path.cwd())
        if is_current(one):
            if not quiet:
                yield printable(f"{name}{folder} is what the sources compile to")
            continue
        changes = one.drift
        if not quiet:
            for line in drift_lines(changes, folder, full=full):
                yield paint_difference(printable(line))
        said = [drift_summary(changes)] if changes else []
        if is_interrupted(Tree(one.cluster.output)):
            said.append("an earlier build was interrupted")
        yield printable(f"{name}{folder}: {'; '.join(said)}; run: {_mending_command()}")


def _mending_command() -> str:
    """The command that was given, without what makes it a check, or is about what it prints."""
    words = [word for word in sys.argv[1:] if word not in ("--check", "--full-diff")]
    if "--format" in words:
        at = words.index("--format")
        del words[at : at + 2]
    return shlex.join(["kcd-gen", *(word for word in words if not word.startswith("--format="))])


def attempt(given: Mapping[str, Any], load: Callable[[], Project]) -> tuple[list[Built], list[Diagnostic], str | None]:
    """What the flags say, built; every problem of it; and helm's version where the report wants it."""
    findings = Findings()  # of the run; those of a cluster's compilation come with it
    built: list[Built] = []
    version = None
    try:
        built, version = _build(given, load(), findings)
    except (KcdError, KcdErrors) as error:  # of the project or of helm: there is nothing to compile, or nothing with
        findings.error(error)
    return built, [*findings, *(diagnostic for one in built for diagnostic in one.diagnostics)], version


def _build(given: Mapping[str, Any], project: Project, findings: Findings) -> tuple[list[Built], str | None]:
    # Threads here start and await helm and read files. By default one gets its turn only every 5 ms while another
    # computes, which adds up to more than a helm run.
    sys.setswitchinterval(0.0005)
    jobs = given["jobs"] or os.cpu_count() or 1
    lock = project_lock(project)
    binary = find_helm(given["helm"])
    helm = Helm(binary, jobs=jobs, debug_dir=Path(".kcd-gen-debug") if given["debug"] else None)

    def waiting(output: Path) -> None:
        line.clear()
        if not given["quiet"]:
            click.echo(
                printable(f"waiting for another kcd-gen that writes to {display_path(output, Path.cwd())}"), err=True
            )

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
            only_plan=given["check"] or given["dry_run"],
            waiting=waiting,
        )
        for warning in packages.warnings():
            findings.warning(warning)
        if version and (problem := other_helm(lock, version.result())):
            findings.warning(problem)
        return built, version.result() if version else None
