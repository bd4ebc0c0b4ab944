"""`kcd-gen version`."""

from __future__ import annotations

import platform
from typing import Annotated, Any

import click

from kubocd_gen import __version__
from kubocd_gen.cli.command import Flag, command, options
from kubocd_gen.cli.console import print_json, print_problems
from kubocd_gen.cli.options import JsonOptions
from kubocd_gen.diagnostics.problems import Problems
from kubocd_gen.helm.process import find_helm, helm_version, old_helm
from kubocd_gen.schema.flux_versions import FLUX_VERSIONS


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
    found: dict[str, Any] = {
        "kcd-gen": __version__,
        "python": platform.python_version(),
        "helm": None,
        "helmPath": None,
        "flux": list(FLUX_VERSIONS),
    }
    problems = Problems()
    with problems.collect():
        binary = find_helm(options.helm)
        used = helm_version(binary)
        found |= {"helm": used, "helmPath": str(binary)}
        if problem := old_helm(used):
            problems.warning(problem)
    if options.format == "json":
        print_json(found)
    else:
        click.echo(f"kcd-gen {__version__}")
        click.echo(f"Python {found['python']}")
        click.echo(f"helm {found['helm']} ({found['helmPath']})" if found["helm"] else "helm not found")
    return print_problems(problems)
