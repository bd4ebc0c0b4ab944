"""The problems of a build or of lint, and what --check finds, in the formats of CI systems."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from kubocd_gen.cli.options import Report
from kubocd_gen.diagnostics.annotations import Annotation, annotations_of, checkout_top, repository_path
from kubocd_gen.diagnostics.github import github_lines
from kubocd_gen.diagnostics.gitlab import gitlab_report
from kubocd_gen.diagnostics.junit import junit_report
from kubocd_gen.diagnostics.problems import Position, Problem, Severity, printable
from kubocd_gen.diagnostics.sarif import sarif_report
from kubocd_gen.files import hint_of, write_whole
from kubocd_gen.files.paths import display_path
from kubocd_gen.pipeline.build import Built

_WORDS = {"created": "is missing", "updated": "is not what the sources compile to", "removed": "is too many"}
_OF_RELEASE = re.compile(r"flux/([^/]+)/([^/]+)\.yaml|hr/([^/]+)/([^/]+)/.*")


def ci_report(
    kind: Literal["github", "sarif", "gitlab", "junit"],
    root: Path,
    built: Sequence[Built],
    problems: Sequence[Problem],
    *,
    mending: str = "",
    failing: tuple[Severity, ...] = ("error",),
) -> Iterator[str]:
    """The report in the format `kind`, as lines. Paths in messages begin at `root`. `mending` is the command that makes
    the output current, where that is what was checked; `failing` are the severities by which a test of JUnit fails.
    """
    findings = annotations_of(problems, root)
    if mending:
        findings += [finding for one in built for finding in _outdated(one, root, mending)]
    match kind:
        case "github":
            yield from github_lines(findings)
        case "sarif":
            yield sarif_report(findings)
        case "gitlab":
            yield gitlab_report(findings)
        case "junit":
            compiled = [one.release.key for cluster in built for one in cluster.compilation.releases]
            failed = [key for cluster in built for key in cluster.compilation.failed]
            yield junit_report(sorted({*compiled, *failed}), findings, failing).removesuffix("\n")


def write_reports(
    reports: Sequence[Report], root: Path, built: Sequence[Built], problems: Sequence[Problem], *, mending: str = ""
) -> Iterator[Problem]:
    """Write the files of `--report`; an error for each that can't be."""
    for report in reports:
        path = report.path
        text = "\n".join(ci_report(report.format, root, built, problems, mending=mending)) + "\n"
        try:
            write_whole(path, text.encode("utf-8", "replace"), make=True)
        except OSError as error:
            yield Problem(
                "unusable-file",
                f"the report can't be written: {error.strerror or error}",
                position=Position(display_path(path, Path.cwd())),
                hint=hint_of(error),
            )


def _outdated(built: Built, root: Path, mending: str) -> Iterator[Annotation]:
    """A finding for each file of the output that is not what the sources compile to; records follow the files."""
    for change in built.drift:
        if not change.is_record:
            path = display_path(built.cluster.output / change.path, Path.cwd())
            message = printable(f"{path} {_WORDS[change.change]}")
            release = None
            if found := _OF_RELEASE.fullmatch(change.path):
                release = "/".join(part for part in found.groups() if part)
            place = repository_path(path, root, checkout_top())
            yield Annotation("error", "outdated-output", message, (f"run: {mending}",), place, release=release)
