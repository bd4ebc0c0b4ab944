"""What a build does with dependencies between Releases. Flags need it before anything of a project is known."""

from __future__ import annotations

from typing import Literal

Dependencies = Literal["order", "ignore"]
