"""How a command ends: its problems on standard error, and the exit code that sums them up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from kubocd_gen.cli.colours import echo, paint
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diagnostics.text import exit_code, problem_lines

DIFFERENCE = 3  # the exit code of a command that has found something else than what is wanted


@contextmanager
def errors_into(findings: Problems) -> Iterator[None]:
    """Add an error that ends the block to `findings`, and go on after the block."""
    try:
        yield
    except ProblemsError as error:
        findings.error(error)


def json_text(document: Mapping[str, Any]) -> str:
    """Return a report as it is printed. It is ASCII, whatever the sources hold."""
    return json.dumps(document, indent=1)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a report."""
    click.echo(json_text(document))


def say_problems(problems: Iterable[Problem], *, quiet: bool = False, name_clusters: bool = False) -> int:
    """Print the problems, with `quiet` only errors. Returns the exit code, 0 without errors."""
    found = list(problems)
    shown = [one for one in found if one.severity == "error" or not quiet]
    for line in problem_lines(shown, name_clusters=name_clusters, paint=paint):
        echo(line, err=True)
    return exit_code(found)
