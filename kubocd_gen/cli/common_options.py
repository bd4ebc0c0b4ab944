"""The flags that every command has."""

from __future__ import annotations

from typing import Annotated

import click

from kubocd_gen.cli.colours import apply_no_color
from kubocd_gen.cli.command import Flag, Options, options, parameters
from kubocd_gen.cli.help_format import Context
from kubocd_gen.cli.logs import Verbosity, log_to_stderr


@options
class CommonOptions(Options):
    """Flags that are handled before a command runs and not passed to it."""

    verbose: Annotated[
        int,
        Flag(
            "Log each operation with its duration; -vv: details.",
            short="-v",
            count=True,
            type=Verbosity(),
            eager=log_to_stderr,
        ),
    ] = 0
    debug: Annotated[bool, Flag("Print tracebacks.")] = False
    no_color: Annotated[bool, Flag("Disable colours.", eager=apply_no_color)] = False


def with_common_options(command: click.Command) -> click.Command:
    """Add the common flags to `command` and its subcommands, and make the help fit the terminal. Return `command`."""
    command.context_class = Context
    present = {parameter.name for parameter in command.params}
    for parameter in parameters(CommonOptions):
        if parameter.name not in present:
            parameter.expose_value = False
            command.params.append(parameter)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_common_options(inner)
    return command
