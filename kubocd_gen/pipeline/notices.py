"""What is allowed, and is probably not meant: warnings that stop nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubocd_gen.compiler.settings import Settings
from kubocd_gen.compiler.wording import dotted
from kubocd_gen.diagnostics import Findings, KcdError, Position
from kubocd_gen.packages.manifest import Package
from kubocd_gen.pipeline.records import Resolved
from kubocd_gen.sources.fleet import Fleet
from kubocd_gen.sources.records import Context, ContextRef, Release

_VARIABLE = re.compile(r"(?<!\$)\$\{[A-Za-z0-9_]+\}")
# The end of a name, so that `passwordKey` and `tokenUrl`, which say where to look, are left alone.
_SECRET = re.compile(
    r"(?:password|passwd|passphrase|token|credentials?|(?:api|access|private|secret|signing|encryption)_?-?key"
    r"|client_?-?secret)$",
    re.IGNORECASE,
)


def notice(fleet: Fleet, settings: Settings, resolved: Sequence[Resolved], findings: Findings) -> None:
    """Warn of Contexts that no one uses, literal secrets in parameters, and `${NAME}` in a package's manifest."""
    packages = {one.package.reference: one.package for one in resolved}
    for package in packages.values():
        for warning in _variables(package):
            findings.warning(warning)
    for release in fleet.releases:
        for warning in _secrets(release, release.parameters, ()):
            findings.warning(warning, release=release.key)
    if len(resolved) == len(fleet.releases) > 0 and not fleet.failed:  # else a broken one may be the user
        used = {*settings.default_contexts, *(ref for one in resolved for ref in one.contexts)}
        for context in _unused(fleet.contexts, used):
            findings.warning(
                KcdError(
                    f"the context '{context.ref}' is used by no Release, Config or Context",
                    code="unused-context",
                    position=context.position("metadata", "name"),
                )
            )


def _variables(package: Package) -> Iterator[KcdError]:
    """`${NAME}` in a pulled manifest: the controller would replace it from its own environment, kcd-gen never does."""
    for match in _VARIABLE.finditer(package.text):
        before = package.text[: match.start()]
        line, column = before.count("\n") + 1, match.start() - before.rfind("\n")
        yield KcdError(
            f"package {package.label} holds '{match[0]}', which is taken as text",
            code="variable-in-manifest",
            position=Position(package.path, line, column),
            hint="KuboCD's controller would replace it from its own environment",
        )


def _secrets(release: Release, value: Any, path: tuple[str | int, ...]) -> Iterator[KcdError]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(release, item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _secrets(release, item, (*path, index))
    elif isinstance(value, str) and value and "{{" not in value and path and _SECRET.search(str(path[-1])):
        yield KcdError(
            f"parameter '{dotted(path)}' looks like a secret, and its value is written in Git",
            code="literal-secret",
            position=release.position("spec", "parameters", *path),
            hint="it is copied into the HelmRelease's values; let the chart read it from a Kubernetes Secret",
        )


def _unused(contexts: Sequence[Context], used: set[ContextRef]) -> Iterator[Context]:
    parents = {context.ref: context.parents for context in contexts}
    reached: set[ContextRef] = set()
    waiting = list(used)
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += parents.get(ref, ())
    return (context for context in contexts if context.ref not in reached)
