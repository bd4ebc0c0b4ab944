"""`kcd-gen version`."""

from __future__ import annotations

import platform
from typing import Annotated

import click

from kubocd_gen import __version__
from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.options import JsonOptions
from kubocd_gen.cli.problems import print_json
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.helm.process import find_helm, helm_version


@options
class VersionOptions(JsonOptions):
    """`kcd-gen version`."""

    helm: Annotated[str | None, Flag("The helm binary to use.", metavar="PATH")] = None


@command(VersionOptions)
def version(options: VersionOptions) -> int:
    """Print the versions of kcd-gen, Python and helm in use.

    \b
    kcd-gen version
    kcd-gen version --format json
    """
    found: dict[str, str | None] = {"kcd-gen": __version__, "python": platform.python_version()}
    problem = None
    try:
        binary = find_helm(options.helm)
        found |= {"helm": helm_version(binary), "helmPath": str(binary)}
    except ProblemsError as error:
        problem = error
        found |= {"helm": None, "helmPath": None}
    if options.format == "json":
        print_json(found)
    else:
        click.echo(f"kcd-gen {__version__}")
        click.echo(f"Python {found['python']}")
        click.echo(f"helm {found['helm']} ({found['helmPath']})" if found["helm"] else "helm not found")
    if problem is not None:
        click.echo(f"error[{problem.problem.code}]: {problem.problem.message}", err=True)
        if problem.problem.hint:
            click.echo(f"    {problem.problem.hint}", err=True)
        return 1
    return 0
