"""Generate the reference pages of the commands from click."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from kubocd_gen.cli.commands import cli
from website.prose import prose

DIRECTORY = "reference/commands"


def command_pages() -> dict[str, str]:
    """Return the Markdown of each page by path: an overview, and a page for each command."""
    with cli.make_context("kcd-gen", [], resilient_parsing=True) as context:
        names = cli.list_commands(context)
        commands = [(name, command) for name in names if (command := cli.get_command(context, name))]
        visible = [(name, command) for name, command in commands if not command.hidden]
        pages = {f"{DIRECTORY}/{name}.md": "\n".join(_page(command, name, context)) for name, command in visible}
        return {f"{DIRECTORY}/index.md": "\n".join(_overview(visible)), **pages}


def _overview(commands: list[tuple[str, click.Command]]) -> Iterator[str]:
    yield "# Commands\n"
    yield "This reference is generated from the program, like `kcd-gen --help`.\n"
    yield "| command | description |\n|---|---|"
    for name, command in commands:
        yield f"| [`kcd-gen {name}`]({name}.md) | {prose(command.get_short_help_str(400))} |"
    yield "\nEach option can also be set with an environment variable, such as `KCD_GEN_KUBOCD_NAMESPACE` for"
    yield "`--kubocd-namespace`. For repeatable options, separate paths by colons, and other values by whitespace.\n"
    yield "See also [Exit codes](../../project.md#exit-codes)."


def _page(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, parent, info_name=name)
    yield f"# {context.command_path}\n"
    yield from _about(command, context)
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            inner = command.get_command(context, sub)
            assert inner is not None
            inner_context = click.Context(inner, context, info_name=sub)
            yield f"\n## {inner_context.command_path}\n"
            yield from _about(inner, inner_context)


def _about(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the usage, the help and the options of a command."""
    yield f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):  # click's marker for paragraphs that are not rewrapped, which are examples here
            yield f"```sh\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```\n"
        else:
            yield f"{prose(paragraph)}\n"
    options = [one for one in command.get_params(context) if isinstance(one, click.Option) and not one.hidden]
    settings = [one for one in options if one.envvar]  # excludes --help and --version
    if settings:
        yield "| option, variable | description |\n|---|---|"
    for one in settings:
        names = ", ".join(f"`{text}`" for text in sorted([*one.opts, *one.secondary_opts], key=len, reverse=True))
        value = "" if one.is_flag else f" <var>{_value(one)}</var>"
        variables = [one.envvar] if isinstance(one.envvar, str) else list(one.envvar or ())
        listed = ", ".join(f"`{variable}`" for variable in variables)
        yield f"| {names}{value}<br>{listed} | {prose(one.help or '')}{_default(one, context)} |"


def _value(option: click.Option) -> str:
    """Return the placeholder of an option's value, such as `DIR`, or its choices."""
    if isinstance(option.type, click.Choice):
        return " \\| ".join(map(str, option.type.choices))
    return option.metavar or option.type.name.upper().removesuffix(" RANGE")


def _default(option: click.Option, context: click.Context) -> str:
    value = option.get_default(context)
    return f" The default is `{value}`." if isinstance(value, str | int) and not isinstance(value, bool) else ""
