"""How a command ends: its problems on standard error, and the exit code that sums them up."""

from __future__ import annotations

from collections.abc import Iterable

from kubocd_gen.cli.colours import echo, paint
from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.diagnostics.text import exit_code, problem_lines


def say_problems(problems: Iterable[Problem], *, quiet: bool = False, name_clusters: bool = False) -> int:
    """Print the problems, with `quiet` only errors. Returns the exit code, 0 without errors."""
    found = list(problems)
    shown = [one for one in found if one.severity == "error" or not quiet]
    for line in problem_lines(shown, name_clusters=name_clusters, paint=paint):
        echo(line, err=True)
    return exit_code(found)
