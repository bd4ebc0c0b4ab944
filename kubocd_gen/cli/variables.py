"""Environment variables: each flag is also `KCD_GEN_<NAME>`. Others with this prefix are reported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from kubocd_gen.diagnostics.problems import Problem

PREFIX = "KCD_GEN_"
_OF_COMMENTS = frozenset({"KCD_GEN_COMMENT_NAME", "KCD_GEN_COMMENT_TOKEN"})  # read by `kcd-gen-ci`


def variable_of(flag: str) -> str:
    """Return the environment variable of a flag, `KCD_GEN_KUBOCD_NAMESPACE` for `--kubocd-namespace`."""
    return PREFIX + flag.lstrip("-").replace("-", "_").upper()


def unknown_variables(names: Iterable[str], command: click.Command) -> Iterator[Problem]:
    """Yield a warning for each of the environment variables `names` that has the prefix and is no flag of any command.

    The other commands are only imported, which takes 200 ms, if a variable is not a flag of `command`.
    """
    own = _variables(command)
    others = [name for name in sorted(names) if name.startswith(PREFIX) and name not in own]
    if not others:
        return
    from kubocd_gen.diagnostics.problems import Problem, nearest, shown

    known = _all_variables()
    for name in others:
        if name not in known:
            yield Problem(
                "unknown-variable",
                f"the environment variable {shown(name)} has no effect, because kcd-gen has no such flag",
                hint=nearest(f"did you mean '{PREFIX}{{}}'?", name.removeprefix(PREFIX), _short(known))
                or f"use the name of a flag, such as {variable_of('--kubocd-namespace')} for --kubocd-namespace",
                severity="warning",
            )


def _short(names: Iterable[str]) -> list[str]:
    return sorted(name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX))


def _all_variables() -> frozenset[str]:
    from kubocd_gen.cli.commands import cli  # imports this module

    return _variables(cli) | _OF_COMMENTS


def _variables(command: click.Command) -> frozenset[str]:
    """Return the variables of a command and its subcommands."""
    found = {name for parameter in command.params for name in _names(parameter)}
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        inner = (command.get_command(ctx, name) for name in command.list_commands(ctx))
        found.update(*(_variables(one) for one in inner if one))
    return frozenset(found)


def _names(parameter: click.Parameter) -> list[str]:
    names = parameter.envvar
    return [names] if isinstance(names, str) else list(names or ())


def source_variable(parameter: click.Parameter, ctx: click.Context | None) -> str | None:
    """Return the environment variable that sets a flag in this run; None if it is set otherwise or not at all."""
    if ctx is None or parameter.name is None:
        return None
    if ctx.get_parameter_source(parameter.name) is not ParameterSource.ENVIRONMENT:
        return None
    return next((name for name in _names(parameter) if os.environ.get(name)), None)


def set_by_variables(message: str) -> Iterator[str]:
    """Yield the origin of each flag that a message names, or whose value it quotes, if a variable sets the flag."""
    ctx = click.get_current_context(silent=True)
    words = message.replace(",", " ").replace("'", " ").split()
    for parameter in ctx.command.params if ctx else ():
        flag = next((one for one in parameter.opts if one.startswith("--")), None)
        variable = source_variable(parameter, ctx)
        if flag and variable:
            text = os.environ[variable]
            if flag in words or any(
                f"'{value}'" in message for value in {text, *text.split(), *text.split(os.pathsep)}
            ):
                yield f"{flag} is set by the environment variable {variable}"
