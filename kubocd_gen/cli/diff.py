"""`kcd-gen diff`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kubocd_gen.budget.watchdog import watched
from kubocd_gen.cli.colours import echo, paint_signed
from kubocd_gen.cli.compiling import helm_of
from kubocd_gen.cli.guiding import Choice
from kubocd_gen.cli.options import (
    flags_of,
    jobs_option,
    option,
    progress_option,
    project_options,
    quiet_option,
)
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.cli.progress import progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diffing.markdown import markdown
from kubocd_gen.diffing.page import page
from kubocd_gen.diffing.report import comparison_report
from kubocd_gen.diffing.revisions import Compared, both_sides, compare
from kubocd_gen.diffing.text import text_lines
from kubocd_gen.diffing.view import View, view

DIFFERENCE = 3


@click.command()
@project_options
@option("--ref", metavar="REV", help="What to compare with: a commit, branch or tag. [default: see above]")
@option("--exit-code", is_flag=True, help="Exit 3 where anything differs.")
@option("--charts", is_flag=True, help="Render the charts with helm, too, and compare their manifests.")
@option("--helm", metavar="PATH", help="The helm binary to use, instead of the one installed beside kcd-gen.")
@option(
    "--format",
    "format_",
    type=Choice(["text", "markdown", "json", "html"]),
    default="text",
    help="What to print; markdown is for a comment on a pull request.",
)
@jobs_option
@quiet_option
@option("--debug", is_flag=True, help="Print tracebacks, and keep what helm is given in .kcd-gen-debug/.")
@progress_option
def diff(**given: Any) -> int:
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
    try:
        compared, seen = _compare(given)
    except ProblemsError as error:  # of Git, the project or helm: there is nothing to compare
        findings.error(error)
    problems = [*findings, *compared.diagnostics]
    if text := _printed(given, seen, problems):
        echo(text.removesuffix("\n"))
    code = say_problems(problems, quiet=given["quiet"])
    differs = compared.comparison is not None and bool(compared.comparison.releases)
    return code or (DIFFERENCE if given["exit_code"] and differs else 0)


def _printed(given: Mapping[str, Any], seen: View | None, problems: list[Problem]) -> str:
    if given["format_"] == "json":
        return json.dumps(comparison_report(seen, problems), indent=1)  # ASCII, whatever a source holds
    if seen is None or (given["quiet"] and given["format_"] == "text"):
        return ""
    match given["format_"]:
        case "markdown":
            return markdown(seen)
        case "html":
            return page(seen)
        case _:
            return "\n".join(map(paint_signed, text_lines(seen)))


def _compare(given: Mapping[str, Any]) -> tuple[Compared, View | None]:
    with both_sides(flags_of(given), Path.cwd(), given["ref"]) as (revision, old, new):
        helm, jobs = helm_of(given, new.project.budget)
        with progress(wanted=not given["no_progress"]) as line, watched(new.project.budget):
            compared = compare(revision, old, new, helm, line, jobs=jobs, charts=given["charts"])
            return compared, view(compared.comparison) if compared.comparison else None
