"""Reports of problems and drift in the formats of CI systems."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import click

from kubocd_gen.cli.option_values import Report
from kubocd_gen.diagnostics.annotations import Annotation, annotations_of, current_checkout, repository_path
from kubocd_gen.diagnostics.ci_formats import github_lines, gitlab_report, junit_report, sarif_report
from kubocd_gen.diagnostics.problems import Position, Problem, Severity, printable
from kubocd_gen.files.directory import check_replaceable, write_whole
from kubocd_gen.files.paths import display_path, hint_of, shown_path
from kubocd_gen.pipeline.build import Built

_DRIFT = {"created": "is missing", "updated": "is out of date", "removed": "is obsolete"}
_OF_RELEASE = re.compile(r"flux/([^/]+)/([^/]+)\.yaml|hr/([^/]+)/([^/]+)/.*")


def ci_report(
    kind: Literal["github", "sarif", "gitlab", "junit"],
    root: Path,
    built: Sequence[Built],
    problems: Sequence[Problem],
    *,
    fix_command: str = "",
    failing: tuple[Severity, ...] = ("error",),
) -> Iterator[str]:
    """Yield the lines of the report in the format `kind`.

    Paths in `problems` are relative to `root`. `fix_command` is the command that updates the output; if it is empty,
    drift is not reported. `failing` are the severities that make a JUnit test case fail.
    """
    annotations = annotations_of(problems, root)
    if fix_command:
        annotations += [annotation for one in built for annotation in _outdated(one, root, fix_command)]
    match kind:
        case "github":
            yield from github_lines(annotations)
        case "sarif":
            yield sarif_report(annotations)
        case "gitlab":
            yield gitlab_report(annotations)
        case "junit":
            compiled = [one.key for cluster in built for one in cluster.compilation.releases]
            failed = [key for cluster in built for key in cluster.compilation.failed]
            yield junit_report(sorted({*compiled, *failed}), annotations, failing).removesuffix("\n")


def refused_reports(reports: Sequence[Report]) -> Mapping[Report, Problem]:
    """Return an error for each report whose file could not be replaced, for example because it is a device."""
    refused = {}
    for report in reports:
        if report.path is None:
            continue
        try:
            check_replaceable(report.path)
        except OSError as error:
            refused[report] = _unwritable(report.path, error)
    return refused


def write_reports(
    reports: Sequence[Report], root: Path, built: Sequence[Built], problems: Sequence[Problem], *, fix_command: str = ""
) -> Iterator[Problem]:
    """Write the reports of `--report`. Yield an error for each file that cannot be written."""
    for report in reports:
        text = "\n".join(ci_report(report.format, root, built, problems, fix_command=fix_command)) + "\n"
        if report.path is None:
            click.echo(text, nl=False)
            continue
        try:
            write_whole(report.path, text.encode("utf-8", "replace"), make=True)
        except OSError as error:
            yield _unwritable(report.path, error)


def _unwritable(path: Path, error: OSError) -> Problem:
    position = Position(display_path(path, Path.cwd()))
    hint = hint_of(error)
    if path.parent == Path("/dev"):
        hint = "use - for standard output, such as --report junit=-, or choose the path of a regular file"
    return Problem("unusable-file", f"cannot write the report: {error.strerror or error}", position, hint)


def _outdated(built: Built, root: Path, fix_command: str) -> Iterator[Annotation]:
    """Yield an annotation for each output file that is out of date. Inventory files are left out."""
    for change in built.drift:
        if not change.is_record:
            path = display_path(built.cluster.output / change.path, Path.cwd())
            message = printable(f"{shown_path(path)} {_DRIFT[change.change]}")
            release = None
            if found := _OF_RELEASE.fullmatch(change.path):
                release = "/".join(part for part in found.groups() if part)
            location = repository_path(path, root, current_checkout())
            yield Annotation("error", "outdated-output", message, (f"run: {fix_command}",), location, release=release)
