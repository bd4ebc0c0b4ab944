"""Changes to click: help that fits narrow terminals, and suggestions for misspelled commands and choices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # takes no type before click 8.2

_NARROWEST = 20


class _Formatter(click.HelpFormatter):
    """A formatter for narrow terminals; click's own needs 50 columns for text and 42 for a list."""

    def __init__(self, width: int | None = None, max_width: int | None = None) -> None:
        import shutil  # only help needs it

        columns = min(shutil.get_terminal_size().columns, max_width or 80)
        super().__init__(width=max(width or columns - 2, _NARROWEST))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        room = self.width - self.current_indent
        folded = [(_folded(first, room, " " * self.current_indent), second) for first, second in rows]
        super().write_dl(folded, col_max if self.width > 60 else self.width // 3, col_spacing)


def _folded(text: str, columns: int, indentation: str) -> str:
    """Return text such as `--format [text|json]`, broken into several lines if it is too long for one."""
    lines = [""]
    for part in text.replace(" ", " \0").replace("|", "|\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > columns:
            lines.append("    ")
        lines[-1] += part
    return f"\n{indentation}".join(line.rstrip() for line in lines)


class Context(click.Context):
    """The context of every command."""

    formatter_class = _Formatter


class Group(click.Group):
    """A command with subcommands, which suggests a similar name for an unknown subcommand."""

    context_class = Context

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message}{suggestion(args[0], self.list_commands(ctx))}", ctx) from error


class Choice(_Choice):
    """A choice of strings, which suggests a similar one for an unknown value."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            raise click.BadParameter(f"{error.message}{suggestion(str(value), self.choices)}", ctx, param) from error


class NumberRange(click.IntRange):
    """A range of integers, whose errors are sentences."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter as error:
            message = f"'{value}' is not a number from {self.min} to {self.max}"
            raise click.BadParameter(message, ctx, param) from error


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the last sentence of a usage error, `` Did you mean 'build'?``, or an empty string if none is similar."""
    from kubocd_gen.diagnostics.problems import nearest

    return nearest(" Did you mean '{}'?", word, known) or ""
