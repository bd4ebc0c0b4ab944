"""What click says of its own accord: help that fits the terminal, and what was meant by a word that it doesn't know."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # takes no type before click 8.2

_NARROWEST = 20


class _Formatter(click.HelpFormatter):
    """Click's never takes less than 50 columns for prose, and 42 for a list."""

    def __init__(self, width: int | None = None, max_width: int | None = None) -> None:
        columns = min(shutil.get_terminal_size().columns, max_width or 80)
        super().__init__(width=max(width or columns - 2, _NARROWEST))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        room = self.width - self.current_indent
        folded = [(_folded(first, room, " " * self.current_indent), second) for first, second in rows]
        super().write_dl(folded, col_max if self.width > 60 else self.width // 3, col_spacing)


def _folded(text: str, columns: int, indentation: str) -> str:
    """`--format [text|json]` over several lines where it is too long for one."""
    lines = [""]
    for part in text.replace(" ", " \0").replace("|", "|\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > columns:
            lines.append("    ")
        lines[-1] += part
    return f"\n{indentation}".join(line.rstrip() for line in lines)


class Context(click.Context):
    """Of every command."""

    formatter_class = _Formatter


class Group(click.Group):
    """A command of commands, which says what may have been meant by one that it doesn't have."""

    context_class = Context

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message}{meant(args[0], self.list_commands(ctx))}", ctx) from error


class Choice(_Choice):
    """One of several words, likewise."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            raise click.BadParameter(f"{error.message}{meant(str(value), self.choices)}", ctx, param) from error


def meant(word: str, known: Iterable[str]) -> str:
    """The sentence that ends a usage error: `` Did you mean 'build'?``, or nothing where none comes near."""
    from kubocd_gen.diagnostics.problems import nearest

    return nearest(" Did you mean '{}'?", word, known) or ""
