"""What the commands with `--watch` share: a build now and after each change, and the problems that each build changes.

On a terminal, the problems of the last build are below its result and are replaced by those of the next one. Otherwise,
only new problems are printed, and one line for each that is fixed.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from kubocd_gen.cli.console import echo, is_logging, paint, print_problems
from kubocd_gen.cli.terminal import text_width
from kubocd_gen.cli.tools import Outcome
from kubocd_gen.diagnostics.problems import Problem, Problems, has_errors, printable
from kubocd_gen.diagnostics.text import exit_code, headline, problem_lines, summary
from kubocd_gen.files.paths import shown_path
from kubocd_gen.processes.children import end_interrupted, run_until_interrupted

if TYPE_CHECKING:
    from kubocd_gen.cli.build import BuildOptions
    from kubocd_gen.model.project import Flags, Project

_USAGE = 2  # the exit code of an error that no change of the inputs fixes
_LEFT_FREE = 2  # lines of the terminal below and above the problems

Key = tuple[str, str, str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The outcome of a build, the time that it took in seconds, and the files that changed before it."""

    outcome: Outcome
    seconds: float
    changed: Sequence[str]

    def changed_line(self) -> str:
        """Return the line about the changed files."""
        more = f" and {len(self.changed) - 1} more" if len(self.changed) > 1 else ""
        return printable(f"{shown_path(Path(self.changed[0]))}{more} changed")


def rebuilds(flags: Flags, build: Callable[[Callable[[], Project]], Outcome]) -> Iterator[Rebuild]:
    """Build now and after each change of the inputs, without end. `build` gets the function that loads the project.

    Raises ProblemsError if there is no project.
    """
    from kubocd_gen.sources.project_file import load_project, project_path
    from kubocd_gen.watch.inputs import Watched, watched  # watchfiles takes 20 ms
    from kubocd_gen.watch.watcher import Watcher

    project_file = None if flags.sources else project_path(flags, Path.cwd()).absolute()
    changed: Sequence[str] = ()
    with Watcher(Watched((project_file,) if project_file else (), Path.cwd())) as watcher:

        def load() -> Project:
            project = load_project(flags, Path.cwd())
            watcher.watch(watched(project, project_file))
            return project

        while True:
            began = time.monotonic()
            outcome = build(load)
            yield Rebuild(outcome, time.monotonic() - began, changed)
            changed = watcher.wait()


class ProblemLines:
    """Prints the problems that a build adds, and those that it fixes, on standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._known: Counter[Key] = Counter()
        self._lines: dict[Key, str] = {}

    def show(self, outcome: Outcome) -> None:
        """Print what differs from the last build."""
        found = [one for one in outcome.problems if one.severity == "error" or not self._quiet]
        keys = Counter(map(_key, found))
        new, left = [], keys - self._known
        for one in found:
            if left[_key(one)] > 0:
                left[_key(one)] -= 1
                new.append(one)
        fixed = [key for key in self._known if key not in keys and _was_checked(key, outcome)]
        for key in sorted(fixed, key=lambda key: self._lines[key]):
            echo(f"{paint('added', 'fixed:')} {self._lines[key]}", err=True)
            del self._known[key], self._lines[key]
        for line in problem_lines(new, name_clusters=len(outcome.built) > 1, paint=paint):
            echo(line, err=True)
        self._known = keys | Counter({key: count for key, count in self._known.items() if key not in keys})
        self._lines.update({_key(one): headline(one) for one in found})


def _key(problem: Problem) -> Key:
    """Return what a problem has in common in two builds, between which its line can change."""
    path = problem.position.path if problem.position else None
    return problem.severity, problem.code, problem.message, path, problem.release


def _was_checked(key: Key, outcome: Outcome) -> bool:
    """Return whether a build would have found a problem of an earlier one: errors can hide others."""
    if not outcome.built or not all(one.compilation.complete for one in outcome.built):
        return not has_errors(outcome.problems)
    *_, path, release = key
    errors = [one for one in outcome.problems if one.severity == "error"]
    if key[0] != "error" and errors:  # for example warnings of the planned output
        return False
    return not any(
        release == one.release if release and one.release else path == (one.position and one.position.path)
        for one in errors
    )


class ProblemBlock:
    """Shows the problems of the last build below its result, on a terminal that is not used for anything else."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._shown: list[int] = []  # the width of each line

    def erase(self) -> None:
        """Erase the problems of the last build."""
        columns, lines = shutil.get_terminal_size()
        rows = sum(max(1, -(-width // columns)) for width in self._shown)
        if rows:
            sys.stderr.write(f"\x1b[{min(rows, lines - 1)}A\r\x1b[J")
            sys.stderr.flush()
        self._shown = []

    def show(self, outcome: Outcome) -> None:
        """Show all problems, or as many of the last ones as the terminal has lines for: the errors are last."""
        found = [one for one in outcome.problems if one.severity == "error" or not self._quiet]
        lines = list(problem_lines(found, name_clusters=len(outcome.built) > 1, paint=paint))
        if any(one.severity != "note" for one in found):
            lines.append(summary(found))
        columns, room = shutil.get_terminal_size()
        room -= _LEFT_FREE + 1
        widths = [text_width(click.unstyle(line)) for line in lines]
        kept, rows = len(lines), 0
        while kept and (rows := rows + max(1, -(-widths[kept - 1] // columns))) <= room:
            kept -= 1
        if kept:
            hidden = f"… {kept} line{'' if kept == 1 else 's'} above {'is' if kept == 1 else 'are'} not shown"
            lines, widths = [hidden, *lines[kept:]], [len(hidden), *widths[kept:]]
        for line in lines:
            echo(line, err=True)
        self._shown = widths


def is_redrawable() -> bool:
    """Return whether standard output and standard error are one terminal on which lines can be replaced."""
    terminals = sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return terminals and not is_logging()


def interrupted() -> NoReturn:
    """End a command that called `run_until_interrupted`, for example during a build."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    end_interrupted()


def build_on_change(options: BuildOptions) -> int:
    """Build now and after each change, until Ctrl-C. Return the exit code if the flags are wrong."""
    run_until_interrupted()
    problems = Problems()
    try:
        with problems.collect():
            return _build_on_change(options)
    except KeyboardInterrupt:
        interrupted()
    return print_problems(problems, quiet=options.quiet)


def _build_on_change(options: BuildOptions) -> int:
    from kubocd_gen.cli.build import built

    refused = list(_refused(options))
    if refused:
        return print_problems(refused)
    block = ProblemBlock(quiet=options.quiet) if is_redrawable() else None
    lines = ProblemLines(quiet=options.quiet)
    is_first = True
    for rebuild in rebuilds(options.flags(), lambda load: built(options, load)):
        outcome = rebuild.outcome
        code = exit_code(outcome.problems)
        if is_first and code == _USAGE and not outcome.built:
            return print_problems(outcome.problems, quiet=options.quiet)
        if block:
            block.erase()
        if not options.quiet:
            for line in _result(rebuild, options):
                echo(line)
            if is_first:
                echo("watching for changes (press Ctrl-C to stop)")
            sys.stdout.flush()
        (block or lines).show(outcome)
        is_first = False
    return 0


def _result(rebuild: Rebuild, options: BuildOptions) -> Iterator[str]:
    from kubocd_gen.pipeline.report import changed_resources, short_summary

    built, written = rebuild.outcome.built, not options.only_plan
    what = short_summary(built, written=written) if built else "nothing was compiled"
    errors = [one for one in rebuild.outcome.problems if one.severity == "error"]
    if errors:
        what += f"; {summary(errors)}"
    if rebuild.changed and options.verbose:
        yield f"{time.strftime('%H:%M:%S')}  {rebuild.changed_line()}"
    yield f"{time.strftime('%H:%M:%S')}  {what} ({rebuild.seconds:.2f} s)"
    yield from changed_resources(built, verbose=False, written=written)


def _refused(options: BuildOptions) -> Iterator[Problem]:
    """Yield an error for each flag that has no meaning in builds that follow each other."""
    from kubocd_gen.model.project import STDIN

    code = "the exit code is that of one build"
    once = {
        "--check": (options.check, code, "use --dry-run to print what a build would change, or omit --watch"),
        "--fail-on-change": (options.fail_on_change, code, "omit one of them"),
        "--fail-on-stale-image": (options.fail_on_stale_image, code, "omit one of them"),
        f"--format {options.format}": (options.format != "text", "a report is that of one build", "omit one of them"),
        "--report": (bool(options.reports), "a report is that of one build", "omit one of them"),
        "--profile": (options.profile is not None, "a profile is that of one build", "omit one of them"),
        "--push-charts": (
            options.push_charts,
            "every change would be pushed",
            "push the charts in a build without --watch, when the change is complete",
        ),
        "--prune-outputs": (
            options.prune_outputs,
            "an output whose cluster is missing for a moment would be removed",
            "remove outputs in a build without --watch",
        ),
        "--compare-helm": (options.compare_helm is not None, "it compares one compilation", "omit one of them"),
        "--source -": (STDIN in options.sources, "standard input can be read only once", "pass files or directories"),
    }
    for flag, (is_given, why, hint) in once.items():
        if is_given:
            yield Problem("usage", f"{flag} cannot be used with --watch: {why}", hint=hint)
