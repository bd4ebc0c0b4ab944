"""The pages of the commands, from what click knows of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from kubocd_gen.cli import cli
from website.prose import prose

FOLDER = "reference/commands"


def command_pages() -> dict[str, str]:
    """The Markdown of each page by its path: an overview, and one a command."""
    with cli.make_context("kcd-gen", [], resilient_parsing=True) as context:
        names = cli.list_commands(context)
        commands = [(name, command) for name in names if (command := cli.get_command(context, name))]
        shown = [(name, command) for name, command in commands if not command.hidden]
        pages = {f"{FOLDER}/{name}.md": "\n".join(_page(command, name, context)) for name, command in shown}
        return {f"{FOLDER}/index.md": "\n".join(_overview(shown)), **pages}


def _overview(commands: list[tuple[str, click.Command]]) -> Iterator[str]:
    yield "# Commands\n"
    yield "Made from the program itself, as `kcd-gen --help` is.\n"
    yield "| command | what it does |\n|---|---|"
    for name, command in commands:
        yield f"| [`kcd-gen {name}`]({name}.md) | {prose(command.get_short_help_str(400))} |"
    yield "\nEvery option is also a variable: `--kubocd-namespace` is `KCD_GEN_KUBOCD_NAMESPACE`. Of an option that"
    yield "can be repeated it holds several values: paths are separated by colons, all others by white space.\n"
    yield "[What the exit codes mean](../../project.md#exit-codes)"


def _page(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, parent, info_name=name)
    yield f"# {context.command_path}\n"
    yield from _about(command, context)
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            inner = command.get_command(context, sub)
            assert inner is not None
            inside = click.Context(inner, context, info_name=sub)
            yield f"\n## {inside.command_path}\n"
            yield from _about(inner, inside)


def _about(command: click.Command, context: click.Context) -> Iterator[str]:
    """How a command is called, its help, and its options."""
    yield f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):  # click's mark: left as it is, which here is for examples
            yield f"```sh\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```\n"
        else:
            yield f"{prose(paragraph)}\n"
    options = [one for one in command.get_params(context) if isinstance(one, click.Option) and not one.hidden]
    settings = [one for one in options if one.envvar]  # --help and --version are none
    if settings:
        yield "| option, and its variable | what it does |\n|---|---|"
    for one in settings:
        names = ", ".join(f"`{text}`" for text in sorted([*one.opts, *one.secondary_opts], key=len, reverse=True))
        taken = "" if one.is_flag else f" <var>{_taken(one)}</var>"
        variables = [one.envvar] if isinstance(one.envvar, str) else list(one.envvar or ())
        listed = ", ".join(f"`{variable}`" for variable in variables)
        yield f"| {names}{taken}<br>{listed} | {prose(one.help or '')}{_default(one, context)} |"


def _taken(option: click.Option) -> str:
    """What is given with an option: DIR, or one of several words."""
    if isinstance(option.type, click.Choice):
        return " \\| ".join(map(str, option.type.choices))
    return option.metavar or option.type.name.upper().removesuffix(" RANGE")


def _default(option: click.Option, context: click.Context) -> str:
    value = option.get_default(context)
    return f" The default is `{value}`." if isinstance(value, str | int) and not isinstance(value, bool) else ""
