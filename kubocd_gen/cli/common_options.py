"""What every command has, whether or not its file says so."""

from __future__ import annotations

import click

from kubocd_gen.cli.colours import choose
from kubocd_gen.cli.guiding import Context
from kubocd_gen.cli.options import option


def with_common_options(command: click.Command) -> click.Command:
    """The command with what every command has: `--debug`, `--no-color`, and help that fits the terminal."""
    command.context_class = Context
    there = {parameter.name for parameter in command.params}
    if "debug" not in there:
        option("--debug", is_flag=True, expose_value=False, help="Print tracebacks.")(command)
    if "no_color" not in there:
        option(
            "--no-color", is_flag=True, expose_value=False, is_eager=True, callback=choose, help="Print no colours."
        )(command)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_common_options(inner)
    return command
