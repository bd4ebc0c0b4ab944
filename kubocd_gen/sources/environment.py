"""`${NAME}` in files from disk, replaced from the environment as the KuboCD command line does it.

Whoever writes the file chooses the name, and what replaces it is printed in diffs and pushed in packages. In CI the
environment holds tokens; so a variable that can be one is never expanded, and in sources only the variables are that
the user has listed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError

_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z0-9_]+)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What holds credentials in CI systems and clouds: by its beginning, by a word in it, by one of its parts, by its end.
_SECRET = re.compile(
    r"(?:KCD_OCI|KCD_GEN|CI|ACTIONS|SSH|GPG)_"
    r"|.*(?:TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|APIKEY|PRIVATE)"
    r"|(?:.*_)?KEY(?:_.*)?\Z"
    r"|(?:.*_)?(?:AUTH|AUTHORIZATION|CONNECTION_STRING|COOKIE|DSN|JWT|KEYS|PASS|PAT|PW|PWD|SAS)\Z",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Whether a variable of that name can hold a credential; harmless ones of such names are taken for one, too."""
    return _SECRET.match(name) is not None


def is_variable_name(text: str) -> bool:
    """Whether a shell takes `text` for a variable's name."""
    return _NAME.fullmatch(text) is not None


def expand_environment(
    text: str, path: str, environment: Mapping[str, str], allowed: Collection[str] | None = None
) -> str:
    """`text` with each `${NAME}` replaced, in comments too; `$${NAME}`, `$NAME` and `${a-b}` stay as they are.

    `allowed` are the names that can be expanded; None: all but those of credentials.
    Raises ProblemsError with one error for each variable that is not allowed, unset or empty, at its place.
    """
    errors = [
        error
        for number, line in enumerate(text.split("\n"), 1)
        for match in _VARIABLE.finditer(line)
        if (error := _refusal(match[1], Position(path, number, match.start() + 1), environment, allowed))
    ]
    if errors:
        raise ProblemsError(*errors)
    return _VARIABLE.sub(lambda match: environment[match[1]], text)


def _refusal(
    name: str, position: Position, environment: Mapping[str, str], allowed: Collection[str] | None
) -> Problem | None:
    """Why the variable is not expanded; the same whether or not it is set, unless it is allowed."""
    if is_secret_name(name):
        return Problem(
            "secret-variable",
            f"the environment variable '{name}' is not expanded: by its name it can hold a credential",
            position=position,
            hint="write '$${…}' for the text itself; if the value is no secret, give the variable another name",
        )
    if allowed is not None and name not in allowed:
        return Problem(
            "unlisted-variable",
            f"the environment variable '{name}' is not expanded: it is not among those of --expand-env",
            position=position,
            hint=f"if its value can be published, add --expand-env {name}",
        )
    if not environment.get(name):
        return Problem(
            "unset-variable",
            f"the environment variable '{name}' is not set or is empty",
            position=position,
            hint=f"set it, as with: export {name}=…",
        )
    return None
