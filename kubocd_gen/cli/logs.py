"""The log on standard error: with `-v` one line per request, process, read and write; with `-vv` details."""

from __future__ import annotations

import sys
from typing import Any

import click


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
