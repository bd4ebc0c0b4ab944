"""Warnings about sources that are valid but probably not intended.

The rules for secrets are stricter than those for masking, to avoid false alarms: the name must be unambiguous, or the
value must look like a secret. Templates and variables (`${NAME}`) are not literal values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from kubocd_gen.compiler.secret_names import cover, looks_secret
from kubocd_gen.compiler.secret_shapes import is_login, is_placeholder, is_plain, literal_shape, looks_random
from kubocd_gen.compiler.secrets import assignments, follows_flag, named_values, parsed_text
from kubocd_gen.diagnostics.problems import MOST, Position, Problem, Problems
from kubocd_gen.diagnostics.wording import KeyPath, dotted
from kubocd_gen.kube_yaml.parser import position_at
from kubocd_gen.model.compilation import Resolved
from kubocd_gen.model.package import Package
from kubocd_gen.model.resources import Release
from kubocd_gen.pipeline.rendering import packages_of
from kubocd_gen.pipeline.secret_search import LONGEST, SecretSearch
from kubocd_gen.sources.cluster_resources import ClusterResources

_VARIABLE = re.compile(r"(?<!\$)\$\{[A-Za-z0-9_]+\}")
_LITERAL = ("value", "values", "literal", "plain", "plaintext", "data", "stringdata")
_NOT_LITERAL = (*"|>{[$<~*&", "null", "true", "false")  # values in YAML and JSON that are not plain scalars
_DEEPEST = 3  # levels of documents in strings that are searched


def warn_of_variables(resolved: Sequence[Resolved], problems: Problems) -> None:
    """Warn of `${NAME}` in the manifests of packages."""
    for package in packages_of(resolved).values():
        for warning in variables_in(package):
            problems.warning(warning)


def variables_in(package: Package) -> Iterator[Problem]:
    """Warn of `${NAME}` in a package's manifest, which only the controller expands, from its own environment."""
    for match in islice(_VARIABLE.finditer(package.text), MOST):
        message = f"'{match[0]}' in package {package.label} is not expanded"
        hint = "rebuild the package with the value; the KuboCD controller would expand it from its own environment"
        position = position_at(package.text, package.path, match.start())
        yield Problem("variable-in-manifest", message, position, hint)


class _Finder:
    """Finds literal secrets in values, with the budget of a search."""

    def __init__(self, search: SecretSearch) -> None:
        self._search = search

    def paths(
        self, value: Any, path: KeyPath = (), *, name: str = "", below: str = "", depth: int = 0
    ) -> Iterator[KeyPath]:
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
        if below and _is_literal(below, value, name):
            return True
        if literal_shape(value, lambda text: depth < _DEEPEST and self._is_secret(text, "", "", depth + 1)):
            return True
        if depth < _DEEPEST and len(value) <= min(self._search.left, LONGEST) and ("\n" in value or value[0] in "{["):
            self._search.left -= len(value)
            if (held := parsed_text(value)) is not None:
                return next(self.paths(held, depth=depth + 1), None) is not None
        return any(not text.startswith(_NOT_LITERAL) and _is_literal(key, text) for key, text in assignments(value))


def secrets_in_release(release: Release, search: SecretSearch) -> Iterator[Problem]:
    """Yield a warning for each literal secret in a Release."""
    return islice(_of_release(release, search), MOST)


def secrets_in_definitions(resources: ClusterResources, search: SecretSearch) -> Iterator[Problem]:
    """Yield a warning for each literal secret in Contexts and Configs."""
    for context in resources.contexts:
        for path in islice(_Finder(search).paths(context.context), MOST):
            label = f"variable '{dotted(path)}' of the Context '{context.ref}'"
            yield _literal_secret(label, context.position("spec", "context", *path))
    for config in resources.configs:
        for path in islice(_Finder(search).paths(config.spec), MOST):
            label = f"'spec.{dotted(path)}' of the Config '{config.name}'"
            yield _literal_secret(label, config.position("spec", *path))


def _of_release(release: Release, search: SecretSearch) -> Iterator[Problem]:
    finder = _Finder(search)
    for path in finder.paths(release.parameters):
        label = f"parameter '{dotted(path)}'" if path else "the string 'spec.parameters'"
        yield _literal_secret(label, release.position("spec", "parameters", *path))
    for index, override in enumerate(release.overrides):
        for path in finder.paths(override.spec_patch):
            label = f"'{dotted(path)}' of the override of module '{override.module}'"
            yield _literal_secret(label, release.position("spec", "moduleOverrides", index, "specPatch", *path))


def _is_literal(name: str, value: str, below: str = "") -> bool:
    """Return whether the string `value` named `name` is a secret; under an ambiguous name it must look like one.

    `below` is the string's own name if it differs: below `passwords`, all values are passwords.
    """
    if not value or "{{" in value or is_placeholder(value):
        return False
    if looks_secret(name):
        return True
    if cover(name, below) in (None, "", "reference"):
        return False
    if name.lower().endswith(("secret", "secrets")):
        return looks_random(value)
    return not is_plain(value) or is_login(value)


def _holds_many(name: str) -> bool:
    """Return whether all values in a map of that name are secrets, such as `passwords` or `stringData`."""
    plurals = ("passwords", "passwds", "passphrases", "pwds", "tokens", "stringdata", "apikeys", "api_keys")
    return name.lower().endswith(plurals)


def _literal_secret(label: str, position: Position) -> Problem:
    hint = "its value is written to the HelmRelease; read it from a Kubernetes Secret in the chart instead"
    return Problem("literal-secret", f"{label} looks like a secret stored in Git", position, hint)
