"""Expand `${NAME}` in files from environment variables, as the KuboCD command line does.

The author of a file chooses the names, and the values are printed in diffs and pushed in packages. In CI the
environment contains tokens. Therefore a variable that can hold a credential is never expanded, and in sources only
variables that the user has listed are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError

_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z0-9_]+)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Names of credentials in CI systems and clouds: by prefix, by a word in them, by one of their parts, by suffix.
_SECRET = re.compile(
    r"(?:KCD_OCI|KCD_GEN|CI|ACTIONS|SSH|GPG)_"
    r"|.*(?:TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|APIKEY|PRIVATE)"
    r"|(?:.*_)?KEY(?:_.*)?\Z"
    r"|(?:.*_)?(?:AUTH|AUTH_CONFIG|AUTHORIZATION|CONNECTION_STRING|COOKIE|DSN|JWT|KEYS|PASS|PAT|PW|PWD|SAS)\Z",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Return whether a variable with this name can hold a credential. False positives are accepted."""
    return _SECRET.match(name) is not None


def is_variable_name(text: str) -> bool:
    """Return whether `text` is a valid name for a shell variable."""
    return _NAME.fullmatch(text) is not None


def expand_environment(
    text: str, path: str, environment: Mapping[str, str], allowed: Collection[str] | None = None
) -> str:
    """Return `text` with each `${NAME}` expanded, also in comments; `$${NAME}`, `$NAME` and `${a-b}` are unchanged.

    `allowed` are the names that can be expanded; None allows all except those of credentials.
    Raises ProblemsError with one error for each variable that is not allowed, unset or empty, at its position.
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
    """Return why a variable is not expanded. Unless it is allowed, this does not reveal whether it is set."""
    if is_secret_name(name):
        return Problem(
            "secret-variable",
            f"refusing to expand the environment variable '{name}': its name suggests that it contains a credential",
            position=position,
            hint="write '$${…}' for a literal '${…}', or rename the variable if its value is not a secret",
        )
    if allowed is not None and name not in allowed:
        return Problem(
            "unlisted-variable",
            f"refusing to expand the environment variable '{name}': not listed in --expand-env",
            position=position,
            hint=f"if its value can be published, add --expand-env {name}",
        )
    if not environment.get(name):
        return Problem(
            "unset-variable",
            f"the environment variable '{name}' is not set or is empty",
            position=position,
            hint=f"set it: export {name}=…",
        )
    return None
