"""`kcd-gen lint`."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from kubocd_gen.cli.colours import echo, paint
from kubocd_gen.cli.compiling import tools
from kubocd_gen.cli.guiding import Choice
from kubocd_gen.cli.options import (
    ci_format_option,
    flags_of,
    jobs_option,
    option,
    progress_option,
    project_options,
)
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, Severity, printable
from kubocd_gen.diagnostics.text import distinct_problems, exit_code, problem_lines
from kubocd_gen.pipeline.building import Built
from kubocd_gen.pipeline.linting import RULES
from kubocd_gen.pipeline.linting import lint as run_lint
from kubocd_gen.pipeline.report import build_report
from kubocd_gen.sources.project_file import load_project

_FAILING: tuple[Severity, ...] = ("error", "warning")


@click.command()
@project_options
@option(
    "--ignore",
    multiple=True,
    type=Choice(RULES),
    metavar="CODE",
    help="Do not tell of this; repeatable. An error is always told.",
)
@option("--helm", metavar="PATH", help="The helm binary to use, instead of the one installed beside kcd-gen.")
@ci_format_option
@jobs_option
@option("--quiet", "-q", is_flag=True, help="Print errors and warnings only.")
@option("--verbose", "-v", is_flag=True, help="Name every Release that was looked at, too.")
@option("--debug", is_flag=True, help="Print tracebacks, and keep what helm is given in .kcd-gen-debug/.")
@progress_option
def lint(**given: Any) -> int:
    """Find what compiles here and now, and would not work everywhere, or not tomorrow.

    Compiles the sources as a build does, and looks at all of each template, also at what no rendering comes to today:
    for functions of the clock, of chance, of DNS or of newer versions of helm. And for tags that move, and names that
    are too long for Helm or Flux. What a build says of the sources is told, too; nothing is written, and no output
    needed.

    Exit codes: 0 where there is nothing, or only notes; 1 for errors and warnings.

    \b
    kcd-gen lint                                       # every cluster of kcd-gen.yaml
    kcd-gen lint --source clusters/prod --vendor packages
    kcd-gen lint --ignore literal-secret --quiet       # all but one rule, without notes
    kcd-gen lint --format github                       # in CI: annotations of a pull request
    """
    built, problems, version = _attempt(given)
    told = [one for one in problems if one.severity in _FAILING or not given["quiet"]]
    if given["format_"] == "json":
        click.echo(json.dumps(build_report(built, version, problems, command="lint"), indent=1))
    elif given["format_"] != "text":
        from kubocd_gen.cli.ci_formats import ci_report

        for line in ci_report(given["format_"], given, built, told, failing=_FAILING):
            click.echo(line)
    else:
        for line in _lines(given, built, told):
            echo(line)
    if given["format_"] not in ("text", "github"):  # which have said it all
        say_problems(told, name_clusters=len(built) > 1)
    return exit_code(problems) or int(any(one.severity in _FAILING for one in problems))


def _attempt(given: Mapping[str, Any]) -> tuple[list[Built], list[Problem], str | None]:
    findings = Problems()
    built: list[Built] = []
    version = None
    flags = flags_of(given)
    if flags.sources and flags.output is None:
        flags = replace(flags, output=Path(os.devnull))  # what is there is no source; here nothing is
    try:
        project = load_project(flags, Path.cwd())
        with tools(given, project, findings) as tool:
            built = run_lint(project, tool.packages, tool.helm, lock=tool.lock, jobs=tool.jobs, ignore=given["ignore"])
        version = tool.version()
    except ProblemsError as error:  # of the project or of helm: there is nothing to look at, or nothing with
        findings.error(error)
    return built, [*findings, *(one for cluster in built for one in cluster.diagnostics)], version


def _lines(given: Mapping[str, Any], built: Sequence[Built], problems: Sequence[Problem]) -> Iterator[str]:
    if given["verbose"]:
        for cluster in built:
            for one in cluster.compilation.releases:
                name = f"{cluster.cluster.name}: " if len(built) > 1 else ""
                yield printable(f"{name}{one.release.key}: package {one.release.image} looked at")
    yield from problem_lines(problems, name_clusters=len(built) > 1, paint=paint)
    if built and not given["quiet"]:
        yield _summary(built, problems)


def _summary(built: Sequence[Built], problems: Sequence[Problem]) -> str:
    releases = sum(len(one.compilation.releases) + len(one.compilation.failed) for one in built)
    counts = Counter(one.problem.severity for one in distinct_problems(problems))
    found = [
        f"{count} {severity}{'' if count == 1 else 's'}"
        for severity in ("error", "warning", "note")
        if (count := counts[severity])
    ]
    return f"{releases} Release{'' if releases == 1 else 's'} looked at: {', '.join(found) or 'nothing found'}"
