"""Random edits of a project, its packages, its output, and the state of its builds."""

from __future__ import annotations

from tests.support.edits import definitions, healing, output, packages, sources, state
from tests.support.edits.table import EDITS

__all__ = ["EDITS", "definitions", "healing", "output", "packages", "sources", "state"]
