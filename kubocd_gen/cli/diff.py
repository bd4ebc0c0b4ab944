"""`kcd-gen diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from kubocd_gen.budget.watchdog import watched
from kubocd_gen.cli.command import Argument, Flag, command, options
from kubocd_gen.cli.console import DIFFERENCE, echo, json_text, paint_signed, print_problems
from kubocd_gen.cli.option_values import complete_names
from kubocd_gen.cli.options import CompilingOptions, FormatOptions, ProjectOptions, QuietOptions
from kubocd_gen.cli.profile_options import ProfileOptions
from kubocd_gen.cli.terminal import progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.diffing.lines import View
    from kubocd_gen.diffing.revisions import Compared
    from kubocd_gen.diffing.sides import Ends


@options
class DiffOptions(ProjectOptions, FormatOptions, QuietOptions, CompilingOptions, ProfileOptions):
    """`kcd-gen diff`."""

    ref: Annotated[
        str | None, Flag("The commit, branch or tag to compare with. [default: see above]", metavar="REV")
    ] = None
    start: Annotated[
        Path | None,
        Flag("Compare with the project in this directory, such as another checkout.", name="--from", metavar="DIR"),
    ] = None
    stat: Annotated[bool, Flag("Print only one line for each Release.")] = False
    keep_going: Annotated[bool, Flag("Compare the Releases that compile even if others fail.")] = False
    names: Annotated[tuple[str, ...], Argument("[A..B] [RELEASE]...", complete=complete_names("releases"))] = ()
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

    A..B compares two revisions, and A...B compares B with the merge base of both. RELEASE is [NAMESPACE/]NAME; without
    it, all Releases are compared.

    \b
    kcd-gen diff                                       # this branch and uncommitted changes
    kcd-gen diff --ref v1.4.0 --cluster prod           # one cluster, since a tag
    kcd-gen diff --ref HEAD --exit-code --quiet        # in a script: do my changes have an effect?
    kcd-gen diff --ref origin/main --format markdown   # for a pull request comment
    kcd-gen diff --charts                              # with the charts' manifests
    kcd-gen diff v1.4.0..v1.5.0 --stat                 # two revisions; one line for each Release
    kcd-gen diff --from ../other-checkout redis1       # one Release, compared with another directory
    """
    from kubocd_gen.diffing.revisions import Compared

    problems = Problems()
    compared, seen = Compared(None, ()), None
    with problems.collect():  # errors of Git, the project or helm, without which nothing can be compared
        compared, seen = _compare(options, problems)
    every = [*problems, *compared.diagnostics]
    if text := _report(options, seen, every):
        echo(text.removesuffix("\n"))
    code = print_problems(every, quiet=options.quiet)
    differs = compared.comparison is not None and compared.comparison.differs
    return code or (DIFFERENCE if options.exit_code and differs else 0)


def _report(options: DiffOptions, seen: View | None, problems: list[Problem]) -> str:
    from kubocd_gen.diffing.markdown import markdown
    from kubocd_gen.diffing.report import comparison_report, page, stat_lines, text_lines

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
            lines = stat_lines(seen) if options.stat else text_lines(seen)
            return "\n".join(map(paint_signed, lines))


def _ends(options: DiffOptions) -> tuple[Ends, list[str]]:
    """Return what is compared, and the names of Releases. Raises ProblemsError `usage`."""
    from kubocd_gen.diffing.sides import Ends, parse_range

    ranges = [(name, ends) for name in options.names if (ends := parse_range(name)) is not None]
    names = [name for name in options.names if ".." not in name]
    given = [name for name, _ in ranges]
    given += ["--ref"] * (options.ref is not None) + ["--from"] * (options.start is not None)
    if len(given) > 1:
        hint = "use only one of A..B, --ref and --from"
        raise ProblemsError.of("usage", f"{' and '.join(given)} cannot be combined", hint=hint)
    return (ranges[0][1] if ranges else Ends(options.ref, directory=options.start)), names


def _compare(options: DiffOptions, problems: Problems) -> tuple[Compared, View | None]:
    from kubocd_gen.cli.tools import checked_version, helm_of
    from kubocd_gen.diffing.lines import view
    from kubocd_gen.diffing.revisions import compare
    from kubocd_gen.diffing.sides import both_sides

    ends, names = _ends(options)
    with both_sides(options.flags(), Path.cwd(), ends) as sides:
        new = sides.new
        helm = helm_of(options, new.project.budget)
        with (
            progress(wanted=not options.no_progress) as line,
            watched(new.project.budget),
            checked_version(helm, new.lock, problems, locked=new.project.locked),
        ):
            compared = compare(
                sides,
                helm,
                line,
                jobs=options.job_count,
                charts=options.charts,
                releases=names,
                keep_going=options.keep_going,
            )
            return compared, view(compared.comparison) if compared.comparison else None
