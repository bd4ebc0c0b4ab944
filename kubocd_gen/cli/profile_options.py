"""The flag of commands that can record what takes how long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from kubocd_gen.cli.command import Flag, Options, option_group
from kubocd_gen.cli.option_values import parse_file


@option_group
class ProfileOptions(Options):
    """Options of a command that can record what takes how long."""

    profile: Annotated[
        Path | None,
        Flag(
            "Write a trace of the phases, helm and git runs and requests to a file, for ui.perfetto.dev.",
            metavar="FILE",
            parse=parse_file,
        ),
    ] = None

    def around(self, name: str, run: Callable[[], int]) -> int:
        if self.profile is None:
            return run()
        from kubocd_gen.cli.profile import profiled

        return profiled(self.profile, name, run)
