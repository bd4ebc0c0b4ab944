"""How much a search for literal secrets in the sources may read."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 64 << 10
"""Characters of a string that is parsed."""

_MOST = 1 << 20  # characters of strings that are parsed, in all sources together


@dataclass(slots=True)
class SecretSearch:
    """A search for literal secrets in the sources. `left` are the characters of strings that it may still parse."""

    left: int = _MOST

    @property
    def is_complete(self) -> bool:
        """Whether no string was left out, so that the result does not depend on the order of the sources."""
        return self.left >= LONGEST
