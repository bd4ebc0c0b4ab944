"""`kcd-gen lint`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kubocd_gen.cli.command import Flag, command, options, verbose_flag
from kubocd_gen.cli.console import echo, json_text, paint, print_problems
from kubocd_gen.cli.help_format import Choice
from kubocd_gen.cli.options import CIFormatOptions, CompilingOptions, SourceOptions, VerboseOptions
from kubocd_gen.cli.profile_options import ProfileOptions
from kubocd_gen.diagnostics.problems import Problem, Problems, Severity, printable
from kubocd_gen.diagnostics.text import distinct_problems, exit_code, problem_lines
from kubocd_gen.model.lint_rules import RULES

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.cli.tools import Outcome
    from kubocd_gen.pipeline.build import Built

_FAILING: tuple[Severity, ...] = ("error", "warning")


@options
class LintOptions(SourceOptions, CIFormatOptions, VerboseOptions, CompilingOptions, ProfileOptions):
    """`kcd-gen lint`."""

    ignore: Annotated[
        tuple[str, ...],
        Flag("Do not report this code; repeatable. Errors are always reported.", metavar="CODE", type=Choice(RULES)),
    ] = ()
    quiet: Annotated[bool, Flag("Print errors and warnings only.", short="-q")] = False
    verbose: Annotated[int, verbose_flag("Also list every checked Release, and log each operation; -vv: details.")] = 0


@command(LintOptions)
def lint(options: LintOptions) -> int:
    """Find sources that compile today but are not reproducible or portable.

    Compiles the sources as a build does and checks every template, including branches that are not rendered today, for
    functions that use the clock, random numbers, DNS or newer versions of helm. Also finds moving tags, and names that
    are too long for Helm or Flux. The problems that a build reports are included. Nothing is written, and no output is
    needed.

    Exit codes: 0 if there are no findings, or only notes; 1 if there are errors or warnings.

    \b
    kcd-gen lint                                       # every cluster of kcd-gen.yaml
    kcd-gen lint --source clusters/prod --vendor packages
    kcd-gen lint --ignore literal-secret --quiet       # without one rule, and without notes
    kcd-gen lint --format github                       # in CI: pull request annotations
    """
    outcome = _lint(options)
    reported = [one for one in outcome.problems if one.severity in _FAILING or not options.quiet]
    for line in _lines(outcome, reported, options):
        echo(line)
    if options.format not in ("text", "github"):  # which already contain all problems
        print_problems(reported, name_clusters=len(outcome.built) > 1)
    return exit_code(outcome.problems) or int(any(one.severity in _FAILING for one in outcome.problems))


def _lint(options: LintOptions) -> Outcome:
    from kubocd_gen.cli.tools import Outcome, tools
    from kubocd_gen.pipeline.lint import lint as run_lint
    from kubocd_gen.pipeline.unknown_hosts import unknown_hosts_note
    from kubocd_gen.sources.project_file import load_project

    problems = Problems()
    built: Sequence[Built] = ()
    version = None
    flags = options.flags_without_output(Path(os.devnull))  # the output is excluded from the sources; lint has none
    with problems.collect():  # errors of the project or of helm, without which nothing can be checked
        project = load_project(flags, Path.cwd())
        with tools(options, project, problems, report_version=options.format == "json") as tool:
            built = run_lint(
                project, tool.packages, tool.helm, lock=tool.lock, jobs=options.job_count, ignore=options.ignore
            )
        version = tool.version()
    for note in unknown_hosts_note(one.compilation for one in built):
        problems.note(note)
    return Outcome(built, [*problems, *(one for cluster in built for one in cluster.diagnostics)], version)


def _lines(outcome: Outcome, reported: Sequence[Problem], options: LintOptions) -> Iterator[str]:
    """Yield the lines of standard output."""
    from kubocd_gen.pipeline.report import build_report
    from kubocd_gen.sources.project_file import messages_root

    built = outcome.built
    if options.format == "json":
        yield json_text(build_report(built, outcome.helm_version, outcome.problems, command="lint"))
    elif options.format != "text":
        from kubocd_gen.cli.ci_formats import ci_report

        yield from ci_report(options.format, messages_root(options.flags()), built, reported, failing=_FAILING)
    else:
        yield from _text_lines(outcome, reported, options)


def _text_lines(outcome: Outcome, reported: Sequence[Problem], options: LintOptions) -> Iterator[str]:
    several = len(outcome.built) > 1
    if options.verbose:
        for cluster in outcome.built:
            for one in cluster.compilation.releases:
                name = f"{cluster.cluster.name}: " if several else ""
                yield printable(f"{name}{one.key}: checked with package {one.summary.image}")
    yield from problem_lines(reported, name_clusters=several, paint=paint)
    if outcome.built and not options.quiet:
        yield _summary(outcome.built, reported)


def _summary(built: Sequence[Built], problems: Sequence[Problem]) -> str:
    releases = sum(len(one.compilation.releases) + len(one.compilation.failed) for one in built)
    counts = Counter(one.problem.severity for one in distinct_problems(problems))
    found = [
        f"{count} {severity}{'' if count == 1 else 's'}"
        for severity in ("error", "warning", "note")
        if (count := counts[severity])
    ]
    return f"{releases} Release{'' if releases == 1 else 's'} checked: {', '.join(found) or 'no problems found'}"
