"""A source file, and the position at which the project file names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kubocd_gen.diagnostics.problems import Position

Places = Mapping[str, Callable[[], Position]]
"""The positions of sources in the project file, computed only when a message needs them."""


NOWHERE: Places = {}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text file of the checkout. `path` is its name in messages: relative to the project's root if it is below it."""

    path: str
    text: str
