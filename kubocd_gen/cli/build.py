"""`kcd-gen build`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from kubocd_gen.cli.colours import echo, paint_difference
from kubocd_gen.cli.compiling import tools
from kubocd_gen.cli.options import (
    ci_format_option,
    flags_of,
    jobs_option,
    option,
    progress_option,
    project_options,
    quiet_option,
    report_option,
    writing_options,
)
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, printable
from kubocd_gen.diagnostics.text import exit_code
from kubocd_gen.files.paths import display_path
from kubocd_gen.model.project import Project
from kubocd_gen.output.drift import drift_lines, drift_summary
from kubocd_gen.output.journal import is_interrupted
from kubocd_gen.pipeline.building import Built, is_current, unknown_removals
from kubocd_gen.pipeline.building import build as run_build
from kubocd_gen.pipeline.report import build_report, text_report
from kubocd_gen.sources.project_file import load_project

DRIFT = 3


@click.command()
@project_options
@writing_options
@option("--check", is_flag=True, help="Write nothing; exit 3 where the output is not what the sources compile to.")
@option("--full-diff", is_flag=True, help="With --check: show every difference to its end.")
@option(
    "--fail-on-change",
    is_flag=True,
    help="Exit 3 where anything was written or removed, or is not known to Git: for pre-commit hooks.",
)
@option("--dry-run", is_flag=True, help="Write nothing; say what would be done.")
@option("--helm", metavar="PATH", help="The helm binary to use, instead of the one installed beside kcd-gen.")
@ci_format_option
@report_option
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
    kcd-gen build --check --report junit=report.xml          # and a file for a CI system that shows tests
    kcd-gen build --dry-run                                  # what would change
    kcd-gen build --fail-on-change                           # in a pre-commit hook: is all of it in the commit?
    """
    built, problems, version = attempt(given, lambda: load_project(flags_of(given), Path.cwd()))
    mending = _mending_command() if given["check"] else ""
    if given["reports"]:
        from kubocd_gen.cli.ci_formats import write_reports

        unwritten = Problems()
        for error in write_reports(given, built, problems, mending=mending):
            unwritten.error(error)
        problems += unwritten
    lines: Iterator[str] = iter(())
    if given["format_"] == "json":
        lines = iter([json.dumps(build_report(built, version, problems), indent=1)])  # ASCII, whatever a source holds
    elif given["format_"] != "text":
        from kubocd_gen.cli.ci_formats import ci_report

        lines = ci_report(given["format_"], given, built, problems, mending=mending)
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
    if not code and given["fail_on_change"]:
        from kubocd_gen.cli.committing import left_out

        for line in left_out(flags_of(given), built, written=not (given["check"] or given["dry_run"])):
            click.echo(line, err=True)
            code = DRIFT
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
        if is_interrupted(one.cluster.output):
            said.append("an earlier build was interrupted")
        yield printable(f"{name}{folder}: {'; '.join(said)}; run: {_mending_command()}")


def _mending_command() -> str:
    """The command that was given, without what makes it a check, or is about what it prints."""
    words = [word for word in sys.argv[1:] if word not in ("--check", "--full-diff", "--fail-on-change")]
    for name in ("--format", "--report"):
        while name in words:
            at = words.index(name)
            del words[at : at + 2]
    return shlex.join(["kcd-gen", *(word for word in words if not word.startswith(("--format=", "--report=")))])


def attempt(given: Mapping[str, Any], load: Callable[[], Project]) -> tuple[list[Built], list[Problem], str | None]:
    """What the flags say, built; every problem of it; and helm's version where the report wants it."""
    findings = Problems()  # of the run; those of a cluster's compilation come with it
    built: list[Built] = []
    version = None
    try:
        built, version = _build(given, load(), findings)
    except ProblemsError as error:  # of the project or of helm: there is nothing to compile, or nothing with
        findings.error(error)
    return built, [*findings, *(diagnostic for one in built for diagnostic in one.diagnostics)], version


def _build(given: Mapping[str, Any], project: Project, findings: Problems) -> tuple[list[Built], str | None]:
    with tools(given, project, findings) as tool:

        def waiting(output: Path) -> None:
            tool.line.clear()
            if not given["quiet"]:
                folder = display_path(output, Path.cwd())
                click.echo(printable(f"waiting for another kcd-gen that writes to {folder}"), err=True)

        built = run_build(
            project,
            tool.packages,
            tool.helm,
            jobs=tool.jobs,
            keep_going=given["keep_going"],
            allow_protected_removal=given["allow_protected_removal"],
            only_plan=given["check"] or given["dry_run"],
            compare_kept=given["check"],
            waiting=waiting,
        )
    if not given["clusters"]:  # it may be of another
        for warning in unknown_removals(built, given["allow_protected_removal"]):
            findings.warning(warning)
    return built, tool.version()
