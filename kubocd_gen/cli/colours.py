"""Colours of the output. Without colours, the output is the same text.

Text must be `printable` before it is coloured, so that source files cannot inject escape sequences. Whether to use
colours is decided once per run; click strips the escape sequences if colours are off.
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


def color_setting(environment: Mapping[str, str]) -> bool | None:
    """Return whether the environment turns colours on or off; None means that only a terminal gets colours.

    Any value of NO_COLOR that is not empty turns them off (https://no-color.org), and any such value of FORCE_COLOR
    turns them on (https://force-color.org). NO_COLOR takes precedence.
    """
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return True if environment.get("FORCE_COLOR") else None


def paint(style: str, text: str) -> str:
    """Return `text`, which must be printable, in a style of `_STYLES`."""
    return click.style(text, **_STYLES[style])


def paint_difference(line: str) -> str:
    """Return a line of a unified diff in its colour."""
    for start, style in (("--- ", "head"), ("+++ ", "head"), ("@@", "hint"), ("+", "added"), ("-", "removed")):
        if line.startswith(start):
            return paint(style, line)
    return line


def paint_signed(line: str) -> str:
    """Return a line of `diff` or `lock` in the colour of the sign that it starts with after indentation."""
    signs = {"+ ": "added", "- ": "removed", "~ ": "changed", "! ": "error"}
    if line == "dangers:":
        return paint("error", line)
    style = signs.get(line.lstrip(" ")[:2])
    return paint(style, line) if style else line


def echo(line: str, *, err: bool = False) -> None:
    """Print a coloured line. click strips colours if the command prints a report for programs."""
    click.echo(line, err=err)


def apply_no_color(ctx: click.Context, value: bool) -> None:
    """Turn colours off if `--no-color` is given, before or after the command; otherwise ask the environment."""
    if value:
        ctx.color = False
    elif ctx.color is None:
        ctx.color = color_setting(os.environ)


def print_usage_error(error: click.ClickException) -> None:
    """Print a usage error of click, with its hint to `--help`."""
    message = io.StringIO()
    error.show(message)
    context = getattr(error, "ctx", None)
    color = context.color if context else color_setting(os.environ)
    for line in message.getvalue().splitlines():
        text = printable(line)
        if text.startswith("Error: "):
            text = paint("error", "Error:") + text.removeprefix("Error:")
        click.echo(text, err=True, color=color)
