"""Warnings about secrets in Git: in parameters and patches of Releases, in Contexts and in Configs.

The rules are stricter than those for masking, to avoid false alarms: the name must be unambiguous, or the value must
look like a secret. Templates and variables (`${NAME}`) are not literal values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kubocd_gen.compiler.secret_names import cover, looks_secret
from kubocd_gen.compiler.secret_shapes import is_login, is_placeholder, is_plain, literal_shape, looks_random
from kubocd_gen.compiler.secrets import assignments, follows_flag, named_values, parsed_text
from kubocd_gen.diagnostics.problems import MOST, Position, Problem
from kubocd_gen.diagnostics.wording import Path, dotted
from kubocd_gen.model.resources import Release
from kubocd_gen.sources.cluster_resources import ClusterResources

_LITERAL = ("value", "values", "literal", "plain", "plaintext", "data", "stringdata")
_NOT_LITERAL = (
    "|",
    ">",
    "{",
    "[",
    "$",
    "<",
    "null",
    "true",
    "false",
    "~",
    "*",
    "&",
)  # values in YAML and JSON that are not plain scalars
_DEEPEST = 3  # levels of documents in strings that are searched
_MOST = 1 << 20  # characters of strings that are parsed, in all sources together


@dataclass(slots=True)
class _Search:
    left: int = _MOST

    def paths(self, value: Any, path: Path = (), *, name: str = "", below: str = "", depth: int = 0) -> Iterator[Path]:
        """Yield the paths of literal secrets. `below` is the secret-like name of an ancestor that applies to `value`.

        The name applies to the items of a list, and in a map to keys such as `value`: most other keys tell where the
        secret is (`{secretRef: …, key: …}`) or describe it (`{length: …}`). A plural name applies to all keys.
        """
        if isinstance(value, Mapping):
            named = named_values(value)
            for key, item in value.items():
                kind = cover(key, name)
                inherited = below if key.lower() in _LITERAL or _holds_many(below) else ""
                secret = "" if kind == "reference" else key if kind else named.get(key, "") or inherited
                yield from self.paths(item, (*path, key), name=key, below=secret, depth=depth)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                flag = value[index - 1].lstrip("-") if follows_flag(value, index) else below
                yield from self.paths(item, (*path, index), name=name, below=flag, depth=depth)
        elif isinstance(value, str) and self._is_secret(value, name, below, depth):
            yield path

    def _is_secret(self, value: str, name: str, below: str, depth: int) -> bool:
        if not value or is_placeholder(value):
            return False
        if below and is_literal(below, value, name):
            return True
        if literal_shape(value, lambda text: depth < _DEEPEST and self._is_secret(text, "", "", depth + 1)):
            return True
        if depth < _DEEPEST and len(value) <= min(self.left, 64 << 10) and ("\n" in value or value[0] in "{["):
            self.left -= len(value)
            if (held := parsed_text(value)) is not None:
                return next(self.paths(held, depth=depth + 1), None) is not None
        return any(not text.startswith(_NOT_LITERAL) and is_literal(key, text) for key, text in assignments(value))


def literal_secrets(resources: ClusterResources) -> Iterator[tuple[Problem, str | None]]:
    """Yield a warning for each literal secret, and the key of its Release, or None."""
    search = _Search()
    for release in resources.releases:
        for problem in islice(_of_release(release, search), MOST):
            yield problem, release.key
    for context in resources.contexts:
        for path in islice(search.paths(context.context), MOST):
            label = f"variable '{dotted(path)}' of the Context '{context.ref}'"
            yield _problem(label, path, lambda *keys, one=context: one.position("spec", "context", *keys)), None
    for config in resources.configs:
        for path in islice(search.paths(config.spec), MOST):
            label = f"'spec.{dotted(path)}' of the Config '{config.name}'"
            yield _problem(label, path, lambda *keys, one=config: one.position("spec", *keys)), None


def _of_release(release: Release, search: _Search) -> Iterator[Problem]:
    for path in search.paths(release.parameters):
        label = f"parameter '{dotted(path)}'" if path else "the string 'spec.parameters'"
        yield _problem(label, path, lambda *keys: release.position("spec", "parameters", *keys))
    for index, override in enumerate(release.overrides):
        for path in search.paths(override.spec_patch):
            label = f"'{dotted(path)}' of the override of module '{override.module}'"
            at = ("spec", "moduleOverrides", index, "specPatch")
            yield _problem(label, path, lambda *keys, at=at: release.position(*at, *keys))


def is_literal(name: str, value: str, below: str = "") -> bool:
    """Return whether the string `value` named `name` is a secret; under an ambiguous name it must look like one.

    `below` is the string's own name if it differs: below `passwords`, all values are passwords.
    """
    if not value or "{{" in value or is_placeholder(value):
        return False
    if looks_secret(name):
        return True
    kind = cover(name, below)
    if not kind or kind == "reference":
        return False
    return (
        looks_random(value) if name.lower().endswith(("secret", "secrets")) else not is_plain(value) or is_login(value)
    )


def _holds_many(name: str) -> bool:
    """Return whether all values in a map of that name are secrets, such as `passwords` or `stringData`."""
    lower = name.lower()
    return lower.endswith(
        ("passwords", "passwds", "passphrases", "pwds", "tokens", "stringdata", "apikeys", "api_keys")
    )


def _problem(label: str, path: Path, position: Callable[..., Position]) -> Problem:
    return Problem(
        "literal-secret",
        f"{label} looks like a secret stored in Git",
        position=position(*path),
        hint="it ends up in the HelmRelease's values; let the chart read it from a Kubernetes Secret instead",
    )
