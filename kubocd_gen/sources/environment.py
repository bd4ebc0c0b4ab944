"""`${NAME}` in files from disk, replaced from the environment as the KuboCD command line does it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kubocd_gen.diagnostics import KcdError, KcdErrors, Position

_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z0-9_]+)\}")


def expand_environment(text: str, path: str, environment: Mapping[str, str]) -> str:
    """`text` with each `${NAME}` replaced, in comments too; `$${NAME}`, `$NAME` and `${a-b}` stay as they are.

    Raises KcdErrors with one error for each variable that is unset or empty, at its place.
    """
    errors = [
        KcdError(
            f"the environment variable '{match[1]}' is not set or is empty",
            code="unset-variable",
            position=Position(path, number, match.start() + 1),
            hint=f"set it, as with: export {match[1]}=…",
        )
        for number, line in enumerate(text.split("\n"), 1)
        for match in _VARIABLE.finditer(line)
        if not environment.get(match[1])
    ]
    if errors:
        raise KcdErrors(errors)
    return _VARIABLE.sub(lambda match: environment[match[1]], text)
