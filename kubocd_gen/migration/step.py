"""A step of a migration, with the commands that it consists of."""

from __future__ import annotations

from dataclasses import dataclass

from kubocd_gen.migration import commands

LAST = 8
"""The number of the last step in docs/migration.md."""


@dataclass(frozen=True, slots=True)
class Step:
    """The next step. `lines` are shell commands; with `stops`, each requires the success of those before.

    `number` is the section of docs/migration.md, or None. `dump` is the command that creates the next dump, or None.
    """

    name: str
    number: int | None
    title: str
    lines: tuple[str, ...]
    dump: str | None = commands.DUMP
    stops: bool = True

    @property
    def script(self) -> tuple[str, ...]:
        """The lines to paste; several run in a subshell, which exits at the first failure if `stops` is set."""
        if len(self.lines) < 2:
            return self.lines
        return ("(set -e" if self.stops else "(", *(f"  {line}" for line in self.lines), ")")
