"""`kcd-gen diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from kubocd_gen.budget.watchdog import watched
from kubocd_gen.cli.colours import echo, paint_signed
from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.options import CompilingOptions, FormatOptions, ProjectOptions, QuietOptions
from kubocd_gen.cli.problems import DIFFERENCE, errors_into, json_text, say_problems
from kubocd_gen.cli.progress import progress
from kubocd_gen.cli.tools import helm_of
from kubocd_gen.diagnostics.problems import Problem, Problems
from kubocd_gen.diffing.lines import View, view
from kubocd_gen.diffing.markdown import markdown
from kubocd_gen.diffing.page import page
from kubocd_gen.diffing.report import comparison_report
from kubocd_gen.diffing.revisions import Compared, both_sides, compare
from kubocd_gen.diffing.text import text_lines


@options
class DiffOptions(ProjectOptions, FormatOptions, QuietOptions, CompilingOptions):
    """`kcd-gen diff`."""

    ref: Annotated[
        str | None, Flag("What to compare with: a commit, branch or tag. [default: see above]", metavar="REV")
    ] = None
    exit_code: Annotated[bool, Flag("Exit 3 where anything differs.")] = False
    charts: Annotated[bool, Flag("Render the charts with helm, too, and compare their manifests.")] = False
    format: Annotated[
        Literal["text", "markdown", "json", "html"],
        Flag("What to print; markdown is for a comment on a pull request."),
    ] = "text"


@command(DiffOptions)
def diff(options: DiffOptions) -> int:
    """Show what a change does: what differs between a Git revision and the working tree, once both are compiled.

    Resources are compared by identity and value by value; dangerous changes are called out, and secrets are masked.
    Without --ref it is the commit where the branch left origin's default branch (else main or master), which is HEAD
    where nothing was committed since. Nothing is written; the output is read for suspended Releases only.

    \b
    kcd-gen diff                                       # this branch, and what is not committed yet
    kcd-gen diff --ref v1.4.0 --cluster prod           # since a release, one cluster
    kcd-gen diff --ref HEAD --exit-code --quiet        # in a script: does what I changed make a difference?
    kcd-gen diff --ref origin/main --format markdown   # for a bot that comments on pull requests
    kcd-gen diff --charts                              # with what the charts make of it
    """
    findings = Problems()
    compared, seen = Compared(None, ()), None
    with errors_into(findings):  # of Git, the project or helm: there is nothing to compare
        compared, seen = _compare(options)
    problems = [*findings, *compared.diagnostics]
    if text := _printed(options, seen, problems):
        echo(text.removesuffix("\n"))
    code = say_problems(problems, quiet=options.quiet)
    differs = compared.comparison is not None and bool(compared.comparison.releases)
    return code or (DIFFERENCE if options.exit_code and differs else 0)


def _printed(options: DiffOptions, seen: View | None, problems: list[Problem]) -> str:
    if options.format == "json":
        return json_text(comparison_report(seen, problems))
    if seen is None or (options.quiet and options.format == "text"):
        return ""
    match options.format:
        case "markdown":
            return markdown(seen)
        case "html":
            return page(seen)
        case _:
            return "\n".join(map(paint_signed, text_lines(seen)))


def _compare(options: DiffOptions) -> tuple[Compared, View | None]:
    with both_sides(options.flags(), Path.cwd(), options.ref) as (revision, old, new):
        helm = helm_of(options, new.project.budget)
        with progress(wanted=not options.no_progress) as line, watched(new.project.budget):
            compared = compare(revision, old, new, helm, line, jobs=options.job_count, charts=options.charts)
            return compared, view(compared.comparison) if compared.comparison else None
