"""What commands print: colors, problems and reports, the log, and the exit code that follows from the problems.

Text must be `printable` before it is colored, so that source files cannot inject escape sequences. Whether to use
colors is decided once per run; click strips the escape sequences if colors are off.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # `--help` prints no problems and no reports
    from kubocd_gen.diagnostics.problems import Problem


DIFFERENCE = 3  # the exit code of a check that has found a difference
PUBLISHED = {"pushed": "Pushed", "written": "Wrote", "unchanged": "Unchanged"}  # what was done with an image
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


def paint(style: str, text: str) -> str:
    """Return `text`, which must be printable, in a style of `_STYLES`."""
    return click.style(text, **_STYLES[style])


def paint_difference(line: str) -> str:
    """Return a line of a unified diff in its color."""
    for start, style in (("--- ", "head"), ("+++ ", "head"), ("@@", "hint"), ("+", "added"), ("-", "removed")):
        if line.startswith(start):
            return paint(style, line)
    return line


def paint_signed(line: str) -> str:
    """Return a line of `diff` or `lock` in the color of the sign that it starts with after indentation."""
    signs = {"+ ": "added", "- ": "removed", "~ ": "changed", "! ": "error"}
    if line == "dangers:":
        return paint("error", line)
    style = signs.get(line.lstrip(" ")[:2])
    return paint(style, line) if style else line


def echo(line: str, *, err: bool = False) -> None:
    """Print a colored line. click strips colors if the command prints a report for programs."""
    click.echo(line, err=err)


def _color_setting() -> bool | None:
    """Return whether the environment turns colors on or off; None means that only a terminal gets colors.

    Any value of NO_COLOR that is not empty turns them off (https://no-color.org), and any such value of FORCE_COLOR
    turns them on (https://force-color.org). NO_COLOR takes precedence.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def apply_no_color(ctx: click.Context, value: bool) -> None:
    """Turn colors off if `--no-color` is given, before or after the command; otherwise ask the environment."""
    if value:
        ctx.color = False
    elif ctx.color is None:
        ctx.color = _color_setting()


def print_usage_error(error: click.ClickException) -> None:
    """Print a usage error of click, with its hint to `--help`."""
    import io

    from kubocd_gen.diagnostics.problems import printable

    message = io.StringIO()
    error.show(message)
    context = getattr(error, "ctx", None)
    color = context.color if context else _color_setting()
    for line in message.getvalue().splitlines():
        text = printable(line)
        if text.startswith("Error: "):
            text = paint("error", "Error:") + text.removeprefix("Error:")
        click.echo(text, err=True, color=color)


def json_text(document: Mapping[str, Any]) -> str:
    """Return a JSON report as it is printed. Characters that are not ASCII are escaped."""
    import json

    return json.dumps(document, indent=1)


def command_line(*without: str) -> str:
    """Return the command line of this run without these flags, which have no values."""
    import shlex

    return shlex.join(["kcd-gen", *(word for word in sys.argv[1:] if word not in without)])


def print_json(document: Mapping[str, Any]) -> None:
    """Print a JSON report."""
    click.echo(json_text(document))


def print_problems(problems: Iterable[Problem], *, quiet: bool = False, name_clusters: bool = False) -> int:
    """Print the problems, or only the errors if `quiet`. Return the exit code, which is 0 if there are no errors."""
    from kubocd_gen.cli.variables import set_by_variables
    from kubocd_gen.diagnostics.text import exit_code, problem_lines, summary

    found = list(problems)
    shown = [one for one in found if one.severity == "error" or not quiet]
    for line in problem_lines(shown, name_clusters=name_clusters, paint=paint):
        echo(line, err=True)
    about_flags = " ".join(one.message for one in found if one.severity == "error" and one.position is None)
    for line in set_by_variables(about_flags) if about_flags else ():
        echo(paint("hint", f"    {line}"), err=True)
    if any(one.severity != "note" for one in shown):
        echo(summary(shown), err=True)
    return exit_code(found)


class Verbosity(click.IntRange):
    """The number of `-v` flags. The variable KCD_GEN_VERBOSE also accepts booleans such as `true`, as for a switch."""

    def __init__(self) -> None:
        super().__init__(0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str) and value.lower() in ("true", "yes", "on"):
            return 1
        if isinstance(value, str) and value.lower() in ("false", "no", "off"):
            return 0
        return int(super().convert(value, param, ctx))


def log_to_stderr(ctx: click.Context, verbosity: int) -> None:
    """Set up logging to standard error: operations if `verbosity` is at least 1, details if it is at least 2."""
    if not verbosity and "logging" not in sys.modules:
        return
    import logging

    from kubocd_gen.diagnostics.problems import printable

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return printable(f"{record.levelname.lower()}: {record.getMessage()}")  # paths can contain any character

    logger = logging.getLogger("kubocd_gen")
    logger.handlers.clear()
    logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
    if verbosity:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Formatter())
        logger.addHandler(handler)


def is_logging() -> bool:
    """Return whether the log is written to standard error."""
    logging = sys.modules.get("logging")
    return logging is not None and bool(logging.getLogger("kubocd_gen").handlers)
