"""How a command ends: it prints its problems to standard error and returns an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from kubocd_gen.cli.colours import echo, paint
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.diagnostics.text import exit_code, problem_lines

DIFFERENCE = 3  # the exit code of a check that has found a difference


@contextmanager
def collect_errors(findings: Problems) -> Iterator[None]:
    """Add a ProblemsError that ends the block to `findings`, and continue after the block."""
    try:
        yield
    except ProblemsError as error:
        findings.error(error)


def json_text(document: Mapping[str, Any]) -> str:
    """Return a JSON report as it is printed. Characters that are not ASCII are escaped."""
    return json.dumps(document, indent=1)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a JSON report."""
    click.echo(json_text(document))


def print_problems(problems: Iterable[Problem], *, quiet: bool = False, name_clusters: bool = False) -> int:
    """Print the problems, or only the errors if `quiet`. Return the exit code, which is 0 if there are no errors."""
    found = list(problems)
    shown = [one for one in found if one.severity == "error" or not quiet]
    for line in problem_lines(shown, name_clusters=name_clusters, paint=paint):
        echo(line, err=True)
    return exit_code(found)
