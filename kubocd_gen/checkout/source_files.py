"""A file of a checkout that was read, and where the project file names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kubocd_gen.diagnostics.problems import Position

Places = Mapping[str, Callable[[], Position]]
"""Where the project file names each source; found when a message needs it."""


NOWHERE: Places = {}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text file of the checkout. `path` is how messages name it: relative to the project's root if it lies below."""

    path: str
    text: str
