"""`kcd-gen init`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kubocd_gen.cli.colours import echo, paint_difference
from kubocd_gen.cli.guiding import Choice, Group
from kubocd_gen.cli.init_server import server
from kubocd_gen.cli.options import allow_outside_option, option, quiet_option
from kubocd_gen.cli.problems import say_problems
from kubocd_gen.cli.scaffolds import check_image, dry_run_option, exit_code, force_option, heading, image_option
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, printable
from kubocd_gen.scaffolding.clusters import name_of
from kubocd_gen.scaffolding.files import write
from kubocd_gen.scaffolding.report import file_lines, found_lines, next_lines
from kubocd_gen.scaffolding.repository import Beginning, RepositoryWish, plan_repository


@click.group(cls=Group, invoke_without_command=True)
@option(
    "--ci",
    type=Choice(["github", "gitlab", "none"]),
    help="Whose CI runs kcd-gen. [default: found by the repository's files and remote]",
)
@image_option
@option("--no-server", is_flag=True, help="Leave the server of the charts out: something else serves them.")
@option(
    "--cluster-name",
    default="default",
    show_default=True,
    metavar="NAME",
    help="What to call a cluster to which no folder gives a name.",
)
@allow_outside_option
@force_option
@dry_run_option
@quiet_option
@click.pass_context
def init(ctx: click.Context, /, **given: Any) -> int:
    """Write what a repository needs to use kcd-gen. The files are yours from then on.

    Looks for Releases, Contexts and Configs in the Git checkout, for what Flux applies from it, and for its CI. Writes
    the project file, pre-commit's hook, the CI's file, lines of .gitattributes, settings of VS Code, Flux's
    Kustomizations, and what runs the server of the charts. A project file that is there is kept, and the rest is done
    for it. Files that differ are shown and left alone, with exit code 3; --force replaces them.

    \b
    kcd-gen init --dry-run
    kcd-gen init --image registry.example.com/platform/charts
    """
    if ctx.invoked_subcommand:
        _check_before_subcommand(ctx)
        return 0
    findings = Problems()
    beginning = None
    try:
        check_image(given["image"])
        wish = RepositoryWish(given["ci"], given["image"], not given["no_server"], _cluster_name(given))
        beginning = plan_repository(Path.cwd(), wish, findings, given["allow_outside"])
        if beginning and not given["dry_run"]:
            write(beginning.files, force=given["force"])
    except ProblemsError as error:
        findings.error(error)
    if code := say_problems(findings, quiet=given["quiet"]):
        return code
    assert beginning is not None
    if not given["quiet"]:
        for line in _report(beginning, given):
            echo(paint_difference(printable(line)))
    return exit_code(beginning.files, force=given["force"])


init.add_command(server)


def _check_before_subcommand(ctx: click.Context) -> None:
    """Raises UsageError for a flag that stands before `server`, where it would say nothing: such as --dry-run."""
    for name in ctx.params:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{flag} stands before '{ctx.invoked_subcommand}'; its flags go behind it", ctx)


def _cluster_name(given: Mapping[str, Any]) -> str:
    name: str = given["cluster_name"]
    if name_of(name) != name:
        hint = "lower-case letters, digits and inner '-', at most 40 characters"
        raise ProblemsError(Problem("usage", f"--cluster-name '{name}' is not a name for a cluster", hint=hint))
    return name


def _report(beginning: Beginning, given: Mapping[str, Any]) -> Iterator[str]:
    yield "Found:"
    yield from (f"  {line}" for line in found_lines(beginning))
    yield ""
    yield from file_lines(beginning.files, force=given["force"], dry_run=given["dry_run"])
    yield ""
    yield heading(dry_run=given["dry_run"])
    yield from (f"  {line}" for line in next_lines(beginning, image=given["image"]))
