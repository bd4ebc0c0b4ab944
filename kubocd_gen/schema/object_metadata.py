"""Validate the metadata of a namespaced resource as the API server does.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set and
https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.schema.names import LABEL, LABEL_HINT, SUBDOMAIN, SUBDOMAIN_HINT, is_label, is_subdomain
from kubocd_gen.schema.structural import Schema, Violation

_STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_BY_SERVER = (
    *("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generateName", "generation"),
    *("managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"),
)
METADATA: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "namespace": {"type": "string", "minLength": 1},
        "labels": _STRINGS,
        "annotations": _STRINGS,
        "finalizers": {"type": "array", "items": {"type": "string"}},
        **{field: {"x-kubernetes-preserve-unknown-fields": True} for field in _BY_SERVER},
    },
}
"""The structural schema of `metadata`. Fields that usually the API server sets are known, but not validated."""

_ANNOTATIONS = 256 * 1024  # bytes in all names and values
_LONGEST_NAME = 253 + 1 + 63  # characters of a subdomain, a slash and a name
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def name_violations(metadata: Mapping[str, Any]) -> list[Violation]:
    """Return the violations of Kubernetes' rules for names, labels and annotations, in metadata valid by METADATA."""
    return list(_violations(metadata))


def _violations(metadata: Mapping[str, Any]) -> Iterator[Violation]:
    if not is_subdomain(metadata["name"]):
        message = f"must be {SUBDOMAIN}, not {quoted(metadata['name'])}"
        yield Violation(("metadata", "name"), message, "invalid-value", SUBDOMAIN_HINT)
    if not is_label(metadata.get("namespace", "default")):
        message = f"must be {LABEL}, not {quoted(metadata['namespace'])}"
        yield Violation(("metadata", "namespace"), message, "invalid-value", LABEL_HINT)
    labels: Mapping[str, str] = metadata.get("labels") or {}
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    for field, names in (("labels", labels), ("annotations", annotations)):
        for name in names:
            # The API server accepts uppercase letters in the prefix of annotations, but not of labels.
            if not _is_qualified(name if field == "labels" else name.lower()):
                yield Violation(("metadata", field, name), "must have a qualified name", "invalid-value", _NAME_HINT)
    for name, value in labels.items():
        if value and not (len(value) <= 63 and _NAME.fullmatch(value)):
            message = f"must be empty or like a name, not {quoted(value)}"
            yield Violation(("metadata", "labels", name), message, "invalid-value", _VALUE_HINT)
    if sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items()) > _ANNOTATIONS:
        yield Violation(("metadata", "annotations"), "must have at most 256 KiB", "invalid-value")


_NAME_HINT = "use at most 63 letters, digits and '-_.', and an optional prefix such as example.com/"
_VALUE_HINT = "use at most 63 letters, digits and '-_.'"


def _is_qualified(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and _is_qualified_name(name)


@functools.lru_cache(maxsize=256)  # most resources have the same few
def _is_qualified_name(name: str) -> bool:
    prefix, slash, rest = name.rpartition("/")
    return (not slash or is_subdomain(prefix)) and len(rest) <= 63 and _NAME.fullmatch(rest) is not None
