"""Documents that SOPS has encrypted. kcd-gen does not decrypt: its output would have the secrets in clear text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.diagnostics.problems import Problem
from kubocd_gen.diagnostics.wording import KeyPath, dotted
from kubocd_gen.model.resources import Resource

_ENCRYPTED = "ENC["
_HINT = (
    "kcd-gen does not decrypt, because its output would have the value in clear text: keep the resource in clear text, "
    "and move the secret to a Kubernetes Secret that the chart reads"
)


def encrypted(resource: Resource) -> Problem | None:
    """Return the error for a resource of KuboCD with encrypted values, or one that can be of KuboCD; otherwise None.

    If the kind itself is encrypted, the resource can be a Release. Other resources are none of kcd-gen's business.
    """
    if _ENCRYPTED not in resource.file.text:
        return None
    value = resource.value
    if not isinstance(value, Mapping):
        return None
    if str(value.get("kind", "")).startswith(_ENCRYPTED):
        message = "SOPS has encrypted this document, including its kind, so it can be a Release"
        return Problem("encrypted-source", message, resource.position("kind"), f"{_HINT}; or exclude the file")
    if not resource.is_kubocd:
        return None
    path = next(_paths(value, ()), None)
    if path is None:
        return None
    message = f"the value of '{dotted(path)}' is encrypted with SOPS"
    return Problem("encrypted-source", message, resource.position(*path), _HINT)


def _paths(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths(item, (*path, index))
    elif isinstance(value, str) and value.startswith(_ENCRYPTED) and path[:1] != ("sops",):
        yield path
