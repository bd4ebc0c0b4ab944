"""How a command ends: its problems on standard error, and the exit code that sums them up."""

from __future__ import annotations

from collections.abc import Sequence

import click

from kubocd_gen.diagnostics import Diagnostic
from kubocd_gen.report import diagnostic_lines

USAGE = 2


def say_problems(problems: Sequence[Diagnostic], *, quiet: bool = False) -> int:
    """Print the problems, with `quiet` only errors. Returns the exit code, 0 without errors.

    2 for flags that lead to nothing; else the errors' own codes, one in the sources before one of the network.
    """
    for line in diagnostic_lines([one for one in problems if one.severity == "error" or not quiet]):
        click.echo(line, err=True)
    errors = [one for one in problems if one.severity == "error"]
    if any(one.code in ("usage", "unknown-cluster", "missing-project") for one in errors):
        return USAGE
    return min((one.exit_code for one in errors), default=0)
