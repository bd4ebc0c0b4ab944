"""`kcd-gen build --shard`: print the problems of a part of the Releases, and where the results are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kubocd_gen.cli.ci_formats import ci_report, refused_reports, write_reports
from kubocd_gen.cli.console import echo, json_text, print_problems
from kubocd_gen.cli.tools import tools
from kubocd_gen.cli.variables import set_by_variables
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, printable
from kubocd_gen.diagnostics.text import exit_code
from kubocd_gen.files.directory import check_replaceable
from kubocd_gen.files.paths import hint_of, shown_path
from kubocd_gen.packages.cache import cache_directory
from kubocd_gen.pipeline.build import Built
from kubocd_gen.pipeline.report import build_report
from kubocd_gen.pipeline.shards import SUFFIX, BuiltShard, Shard, build_shard
from kubocd_gen.pipeline.unknown_hosts import unknown_hosts_note
from kubocd_gen.sources.project_file import load_project, messages_root
from kubocd_gen.state.store import StateDoubtError

if TYPE_CHECKING:
    from kubocd_gen.cli.build import BuildOptions

# Flags of a build that have no meaning for a shard, which has no output.
_OF_OUTPUT = (
    "check",
    "full_diff",
    "fail_on_change",
    "fail_on_stale_image",
    "dry_run",
    "watch",
    "releases",
    "push_charts",
    "compare_helm",
    "prune_outputs",
    "allow_removals",
    "allow_protected_removal",
    "keep_going",
)
_NOT_MERGED = ("full", "watch", "compare_helm")
_NAMES = {"releases": "release"}


def misused(options: BuildOptions) -> Problem | None:
    """Return the error for flags that exclude each other."""
    if options.shard and options.merge:
        return _usage("--shard and --merge cannot be used together", "first run all shards, then merge their files")
    if options.shard and not options.shard_file:
        example = f"--shard-file shards, for shards/{Shard(*options.shard).file_name}"
        return _usage("--shard needs --shard-file PATH, the file for the results", f"for example: {example}")
    if options.shard_file and not options.shard:
        return _usage("--shard-file has no effect without --shard", "add --shard I/N")
    for name in _OF_OUTPUT if options.shard else _NOT_MERGED:
        if getattr(options, name):
            flag = f"--{_NAMES.get(name, name).replace('_', '-')}"
            if options.shard:
                return _usage(f"{flag} cannot be used with --shard, which writes no output", "use it with --merge")
            return _usage(f"{flag} cannot be used with --merge", f"omit {flag}, or omit --merge")
    return None


def _usage(message: str, hint: str) -> Problem:
    origin = "; ".join(set_by_variables(message))
    return Problem("usage", message, hint=f"{hint} ({origin})" if origin else hint)


def shard(options: BuildOptions) -> int:
    """Run `kcd-gen build --shard`, and return the exit code."""
    assert options.shard and options.shard_file
    one = Shard(*options.shard)
    path = options.shard_file
    path = path if path.suffix == SUFFIX else path / one.file_name
    root = messages_root(options.flags())
    problems = Problems()
    built: Sequence[Built] = ()
    kept, version = None, None
    refused = refused_reports(options.reports)
    with problems.collect():
        _check(path)
        if refused:
            raise ProblemsError(*refused.values())
        try:
            result, version = _compiled(options, one, path, problems, use_state=not options.full)
        except StateDoubtError:
            result, version = _compiled(options, one, path, problems, use_state=False)
        built, kept = result.built, result.kept
        for note in unknown_hosts_note(each.compilation for each in built):
            problems.note(note)
    found = [*problems, *(problem for each in built for problem in each.diagnostics)]
    reports = [report for report in options.reports if report not in refused]
    found += write_reports(reports, root, built, found)
    _print(options, one, path, built, found, kept, version, root)
    if options.format == "github":  # already printed all problems
        return exit_code(found)
    return print_problems(found, quiet=options.quiet, name_clusters=len(built) > 1)


def _compiled(
    options: BuildOptions, one: Shard, path: Path, problems: Problems, *, use_state: bool
) -> tuple[BuiltShard, str | None]:
    """Return the shard and helm's version. Raises ProblemsError and StateDoubtError."""
    project = load_project(options.flags(), Path.cwd())
    with tools(options, project, problems, report_version=options.format == "json") as tool:
        cache = cache_directory(os.environ, project.cache) if use_state else None
        result = build_shard(project, tool.packages, tool.helm, one, path, jobs=options.job_count, state_cache=cache)
        return result, tool.version()


def _check(path: Path) -> None:
    try:
        check_replaceable(path)
    except OSError as error:
        message = f"cannot write the shard {shown_path(path)}: {error.strerror or error}"
        raise ProblemsError(Problem("unusable-file", message, hint=hint_of(error))) from error


def _print(
    options: BuildOptions,
    one: Shard,
    path: Path,
    built: Sequence[Built],
    found: Sequence[Problem],
    kept: int | None,
    version: str | None,
    root: Path,
) -> None:
    if options.format == "json":
        echo(json_text(build_report(built, version, found)), err=options.prints_report)
    elif options.format != "text":
        for line in ci_report(options.format, root, built, found):
            echo(line, err=options.prints_report)
    elif not options.quiet and built:
        compiled = sum(len(each.compilation.releases) for each in built)
        total = compiled + sum(len(each.compilation.failed) for each in built)
        line = f"shard {one}: {compiled} of {total} Release{'' if total == 1 else 's'} compiled; "
        if kept is None:
            line += "nothing was written"
        else:
            left = f", {total - kept} left to the merge" if total > kept else ""
            line += f"{kept} in {shown_path(path)}{left}"
        echo(printable(line), err=options.prints_report)
