"""Selecting Releases by name: `[namespace/]name`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError, nearest
from kubocd_gen.model.compilation import Compilation


def selected(names: Collection[str], keys: Iterable[Collection[str]]) -> frozenset[str]:
    """Return the keys, `namespace/name`, that `names` select; `keys` are those of each cluster.

    Raises ProblemsError: `unknown-release` for a name that no cluster has, and `ambiguous-release` for a name without
    namespace that a cluster has in several namespaces.
    """
    clusters = [frozenset(one) for one in keys]
    known = sorted(frozenset[str]().union(*clusters))
    found: set[str] = set()
    errors = []
    for name in sorted(set(names)):
        matches = [sorted(key for key in cluster if name in (key, key.partition("/")[2])) for cluster in clusters]
        if not any(matches):
            short = [key.partition("/")[2] for key in known]
            hint = nearest("did you mean '{}'?", name, known if "/" in name else short)
            message = f"no Release '{name}' is in the sources or the output"
            errors.append(Problem("unknown-release", message, hint=hint))
        elif several := next((one for one in matches if len(one) > 1), None):
            hint = f"use one of: {', '.join(several)}"
            message = f"there are {len(several)} Releases with the name '{name}'"
            errors.append(Problem("ambiguous-release", message, hint=hint))
        found.update(key for one in matches for key in one)
    if errors:
        raise ProblemsError(*errors)
    return frozenset(found)


def restricted(compilation: Compilation, keys: Collection[str]) -> Compilation:
    """Return the compilation with only the Releases in `keys`."""
    return replace(
        compilation,
        releases=tuple(one for one in compilation.releases if one.key in keys),
        failed=tuple(key for key in compilation.failed if key in keys),
        broken={key: release for key, release in compilation.broken.items() if key in keys},
    )


def problems_of(problems: Problems, keys: Collection[str]) -> Problems:
    """Return the problems of the Releases in `keys`, and those of no Release."""
    found = Problems(problems.cluster)
    found.take(one for one in problems if one.release is None or one.release in keys)
    return found
