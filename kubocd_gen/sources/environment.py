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
    errors = []
    for match in _VARIABLE.finditer(text):
        if not environment.get(match[1]):
            before = text[: match.start()]
            position = Position(path, before.count("\n") + 1, match.start() - before.rfind("\n"))
            errors.append(
                KcdError(
                    f"the environment variable '{match[1]}' is not set or is empty",
                    code="unset-variable",
                    position=position,
                    hint="write '$${" + match[1] + "}' for the text itself",
                )
            )
    if errors:
        raise KcdErrors(errors)
    return _VARIABLE.sub(lambda match: environment[match[1]], text)
