"""`kcd-gen diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from kubocd_gen.budget.watchdog import watched
from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.console import DIFFERENCE, echo, json_text, paint_signed, print_problems
from kubocd_gen.cli.options import CompilingOptions, FormatOptions, ProjectOptions, QuietOptions
from kubocd_gen.cli.terminal import progress
from kubocd_gen.cli.tools import checked_version, helm_of
from kubocd_gen.diagnostics.problems import Problem, Problems
from kubocd_gen.diffing.lines import View, view
from kubocd_gen.diffing.markdown import markdown
from kubocd_gen.diffing.report import comparison_report, page, text_lines
from kubocd_gen.diffing.revisions import Compared, both_sides, compare


@options
class DiffOptions(ProjectOptions, FormatOptions, QuietOptions, CompilingOptions):
    """`kcd-gen diff`."""

    ref: Annotated[
        str | None, Flag("The commit, branch or tag to compare with. [default: see above]", metavar="REV")
    ] = None
    exit_code: Annotated[bool, Flag("Exit 3 if anything differs.")] = False
    charts: Annotated[bool, Flag("Also render the charts with helm and compare their manifests.")] = False
    format: Annotated[
        Literal["text", "markdown", "json", "html"],
        Flag("The output format; markdown is for pull request comments."),
    ] = "text"


@command(DiffOptions)
def diff(options: DiffOptions) -> int:
    """Show what a change does: compile a Git revision and the working tree and compare the results.

    Resources are matched by identity and compared value by value. Dangerous changes are highlighted, and secrets are
    masked. By default, the revision is the merge base of HEAD and origin's default branch (or main or master), which is
    HEAD if nothing was committed since. Nothing is written, and the output is only read for suspended Releases.

    \b
    kcd-gen diff                                       # this branch and uncommitted changes
    kcd-gen diff --ref v1.4.0 --cluster prod           # one cluster, since a tag
    kcd-gen diff --ref HEAD --exit-code --quiet        # in a script: do my changes have an effect?
    kcd-gen diff --ref origin/main --format markdown   # for a pull request comment
    kcd-gen diff --charts                              # with the charts' manifests
    """
    problems = Problems()
    compared, seen = Compared(None, ()), None
    with problems.collect():  # errors of Git, the project or helm, without which nothing can be compared
        compared, seen = _compare(options, problems)
    every = [*problems, *compared.diagnostics]
    if text := _report(options, seen, every):
        echo(text.removesuffix("\n"))
    code = print_problems(every, quiet=options.quiet)
    differs = compared.comparison is not None and bool(compared.comparison.releases)
    return code or (DIFFERENCE if options.exit_code and differs else 0)


def _report(options: DiffOptions, seen: View | None, problems: list[Problem]) -> str:
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


def _compare(options: DiffOptions, problems: Problems) -> tuple[Compared, View | None]:
    with both_sides(options.flags(), Path.cwd(), options.ref) as (revision, old, new):
        helm = helm_of(options, new.project.budget)
        with (
            progress(wanted=not options.no_progress) as line,
            watched(new.project.budget),
            checked_version(helm, new.lock, problems, locked=new.project.locked),
        ):
            compared = compare(revision, old, new, helm, line, jobs=options.job_count, charts=options.charts)
            return compared, view(compared.comparison) if compared.comparison else None
