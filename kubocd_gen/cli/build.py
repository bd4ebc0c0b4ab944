"""`kcd-gen build`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import click

from kubocd_gen.cli.colours import echo, paint_difference
from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.options import CommonBuildOptions, ReportOptions
from kubocd_gen.cli.problems import DIFFERENCE, errors_into, json_text, say_problems
from kubocd_gen.cli.tools import Outcome, tools
from kubocd_gen.diagnostics.problems import Problems, printable
from kubocd_gen.diagnostics.text import exit_code
from kubocd_gen.files.paths import display_path
from kubocd_gen.model.project import Project
from kubocd_gen.output.drift import drift_lines, drift_summary
from kubocd_gen.output.journal import is_interrupted
from kubocd_gen.pipeline.build import Built, is_current, unknown_removals
from kubocd_gen.pipeline.build import build as run_build
from kubocd_gen.pipeline.report import build_report, text_report
from kubocd_gen.sources.project_file import load_project, messages_root


@options
class BuildOptions(CommonBuildOptions, ReportOptions):
    """`kcd-gen build`."""

    check: Annotated[bool, Flag("Write nothing; exit 3 where the output is not what the sources compile to.")] = False
    full_diff: Annotated[bool, Flag("With --check: show every difference to its end.")] = False
    fail_on_change: Annotated[
        bool, Flag("Exit 3 where anything was written or removed, or is not known to Git: for pre-commit hooks.")
    ] = False
    dry_run: Annotated[bool, Flag("Write nothing; say what would be done.")] = False

    @property
    def only_plan(self) -> bool:
        """Whether nothing is written."""
        return self.check or self.dry_run


@command(BuildOptions)
def build(options: BuildOptions) -> int:
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
    outcome = attempt(
        options,
        lambda: load_project(options.flags(), Path.cwd()),
        only_plan=options.only_plan,
        compare_kept=options.check,
        report_version=options.format == "json",
    )
    root = messages_root(options.flags())
    mending = _mending_command() if options.check else ""
    outcome = _with_reports(outcome, options, root, mending)
    for line in _lines(outcome, options, root, mending):
        echo(line)
    if options.format == "github":  # has said it all, and a runner shows both streams
        code = exit_code(outcome.problems)
    else:
        code = say_problems(outcome.problems, quiet=options.quiet, name_clusters=len(outcome.built) > 1)
    if not code and options.fail_on_change:
        from kubocd_gen.cli.uncommitted import left_out

        for line in left_out(root, outcome.built, written=not options.only_plan):
            click.echo(line, err=True)
            code = DIFFERENCE
    return code or (DIFFERENCE if options.check and not all(map(is_current, outcome.built)) else 0)


def _with_reports(outcome: Outcome, options: BuildOptions, root: Path, mending: str) -> Outcome:
    """Write the files of `--report`, and return the outcome with the problems of that."""
    if not options.reports:
        return outcome
    from kubocd_gen.cli.ci_formats import write_reports

    unwritten = Problems()
    for error in write_reports(options.reports, root, outcome.built, outcome.problems, mending=mending):
        unwritten.error(error)
    return replace(outcome, problems=[*outcome.problems, *unwritten])


def _lines(outcome: Outcome, options: BuildOptions, root: Path, mending: str) -> Iterator[str]:
    """What is printed on standard output."""
    built, problems = outcome.built, outcome.problems
    if options.format == "json":
        yield json_text(build_report(built, outcome.helm_version, problems))
    elif options.format != "text":
        from kubocd_gen.cli.ci_formats import ci_report

        yield from ci_report(options.format, root, built, problems, mending=mending)
    elif options.check and not any(one.severity == "error" for one in problems):
        yield from _drift(built, full=options.full_diff, quiet=options.quiet)
    elif not options.quiet:
        yield from text_report(built, verbose=options.verbose > 0, written=not options.only_plan)


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


def attempt(
    options: CommonBuildOptions,
    load: Callable[[], Project],
    *,
    only_plan: bool = False,
    compare_kept: bool = False,
    report_version: bool = False,
) -> Outcome:
    """Build the project that `load` returns. Errors are in the outcome; with an error of the project nothing else is.

    With `only_plan` nothing is written; with `compare_kept` files that are kept are compared, too; with
    `report_version` helm is asked for its version.
    """
    findings = Problems()  # of the run; those of a cluster's compilation come with it
    built: Sequence[Built] = ()
    version = None
    with errors_into(findings):
        project = load()
        with tools(options, project, findings, report_version=report_version) as tool:

            def waiting(output: Path) -> None:
                tool.line.clear()
                if not options.quiet:
                    folder = display_path(output, Path.cwd())
                    click.echo(printable(f"waiting for another kcd-gen that writes to {folder}"), err=True)

            compiled = run_build(
                project,
                tool.packages,
                tool.helm,
                jobs=options.job_count,
                keep_going=options.keep_going,
                allow_protected_removal=options.allow_protected_removal,
                only_plan=only_plan,
                compare_kept=compare_kept,
                waiting=waiting,
            )
        if not options.clusters:  # it may be of another
            for warning in unknown_removals(compiled, options.allow_protected_removal):
                findings.warning(warning)
        built, version = compiled, tool.version()
    return Outcome(built, [*findings, *(diagnostic for one in built for diagnostic in one.diagnostics)], version)
