"""The version of helm in the lock file."""

from __future__ import annotations

import re

from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.model.project import LOCK_FILE
from kubocd_gen.packages.lock import Lock

_MINOR = re.compile(r"[0-9]+\.[0-9]+")


def other_helm(lock: Lock | None, version: str) -> Problem | None:
    """Return a problem if helm's minor version differs from the one in the lock file, otherwise None."""
    if lock is None or lock.helm is None or lock.helm == minor(version):
        return None
    return Problem(
        "other-helm",
        f"{LOCK_FILE} was written with helm {lock.helm}, but helm {version} is in use",
        hint=f"use helm {lock.helm}, or run 'kcd-gen lock' and review the changes to the output",
    )


def minor(version: str) -> str | None:
    """Return the minor version, `3.17` for `3.17.3`; None if the version has another form."""
    found = _MINOR.match(version)
    return found.group() if found else None
