"""The table of random edits, and what they share."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.support.changing_project import Release
from tests.support.incremental import World

Edit = Callable[[World, random.Random], object]
EDITS: dict[str, Edit] = {}


def edit(function: Edit) -> Edit:
    """Add an edit to the table."""
    EDITS[function.__name__] = function
    return function


def one_of(world: World, rng: random.Random) -> Release:
    """Return a Release."""
    return rng.choice(world.project.releases)


def toggle(values: dict[str, Any], name: str, value: object, rng: random.Random) -> None:
    """Remove a value, or set it."""
    if name in values and rng.random() < 0.8:
        del values[name]
    else:
        values[name] = value
