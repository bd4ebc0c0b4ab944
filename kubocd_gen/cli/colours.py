"""Colours of what is printed. They decide nothing: without them every text is the same, byte for byte.

Text is made `printable` before it is painted, so that no source can colour, move or clear anything. Whether paint
reaches the reader is decided here, once, and carried by click: `echo` takes it off again where nobody wants it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import click

from kubocd_gen.diagnostics.problems import printable

_STYLES: dict[str, dict[str, Any]] = {
    "place": {"bold": True},
    "code": {"bold": True},
    "error": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow", "bold": True},
    "note": {"fg": "cyan", "bold": True},
    "hint": {"fg": "cyan"},
    "added": {"fg": "green"},
    "removed": {"fg": "red"},
    "changed": {"fg": "yellow"},
    "head": {"bold": True},
}


def wanted(environment: Mapping[str, str]) -> bool | None:
    """Whether the environment wants colours: never, always, or (None) where a terminal reads them.

    https://no-color.org: any value that is not empty turns them off. https://force-color.org likewise on.
    """
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return True if environment.get("FORCE_COLOR") else None


def paint(style: str, text: str) -> str:
    """`text`, which is printable already, in the style of what it is."""
    return click.style(text, **_STYLES[style])


def paint_difference(line: str) -> str:
    """A line of a unified difference."""
    for start, style in (("--- ", "head"), ("+++ ", "head"), ("@@", "hint"), ("+", "added"), ("-", "removed")):
        if line.startswith(start):
            return paint(style, line)
    return line


def paint_signed(line: str) -> str:
    """A line of `diff` or `lock`, whose sign stands first after its indentation."""
    signs = {"+ ": "added", "- ": "removed", "~ ": "changed", "! ": "error"}
    if line == "dangers:":
        return paint("error", line)
    style = signs.get(line.lstrip(" ")[:2])
    return paint(style, line) if style else line


def echo(line: str, *, err: bool = False) -> None:
    """Print a painted line. click removes the paint next to a report that programs read: see `Options.for_machines`."""
    click.echo(line, err=err)


def choose(ctx: click.Context, value: bool) -> None:
    """What `--no-color` does, before its command or behind it, and what is done without it."""
    if value:
        ctx.color = False
    elif ctx.color is None:
        ctx.color = wanted(os.environ)


def show(error: click.ClickException) -> None:
    """Print what click found wrong with the flags, and the way to the help."""
    said = io.StringIO()
    error.show(said)
    context = getattr(error, "ctx", None)
    color = context.color if context else wanted(os.environ)
    for line in said.getvalue().splitlines():
        text = printable(line)
        if text.startswith("Error: "):
            text = paint("error", "Error:") + text.removeprefix("Error:")
        click.echo(text, err=True, color=color)
