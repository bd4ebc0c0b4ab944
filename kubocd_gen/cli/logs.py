"""The log on standard error: one line for each operation at a border, with `-v`; details with `-vv`."""

from __future__ import annotations

import sys
from typing import Any

import click


class Verbosity(click.IntRange):
    """How often `-v` was given. The variable KCD_GEN_VERBOSE can also hold a word, as that of a switch."""

    def __init__(self) -> None:
        super().__init__(0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str) and value.lower() in ("true", "yes", "on"):
            return 1
        if isinstance(value, str) and value.lower() in ("false", "no", "off"):
            return 0
        return int(super().convert(value, param, ctx))


def log_to_stderr(ctx: click.Context, verbosity: int) -> None:
    """Log to standard error what kcd-gen does: operations from 1 on, details from 2 on."""
    if not verbosity and "logging" not in sys.modules:
        return
    import logging

    from kubocd_gen.diagnostics.problems import printable

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return printable(f"{record.levelname.lower()}: {record.getMessage()}")  # paths can hold anything

    logger = logging.getLogger("kubocd_gen")
    logger.handlers.clear()
    logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
    if verbosity:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Formatter())
        logger.addHandler(handler)


def is_logging() -> bool:
    """Whether lines of the log go to standard error."""
    logging = sys.modules.get("logging")
    return logging is not None and bool(logging.getLogger("kubocd_gen").handlers)
