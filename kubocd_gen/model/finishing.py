"""What the rest of a cluster changes in the Flux resources of a Release, after they are compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubocd_gen.kustomize.substitution import has_variable

MANAGED_BY = ("app.kubernetes.io/managed-by", "kcd-gen")
"""The label, as name and value, of every compiled resource."""

REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"

SUBSTITUTE = "kustomize.toolkit.fluxcd.io/substitute"
"""The annotation that, with the value `disabled`, turns off Flux's variable substitution in a resource."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The changes of a Release's resources.

    `depends_on` are the HelmReleases ({name, namespace}) that its own wait for. `image` is the digest of the server's
    image that was the first with its charts. `keep_variables` is set if Flux substitutes variables in the output.
    """

    depends_on: tuple[Mapping[str, str], ...] = ()
    image: str | None = None
    keep_variables: bool = False

    def applied(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the resource with the changes."""
        if document["kind"] == "HelmRelease":
            document = add_depends_on(document, self.depends_on)
        if self.keep_variables:
            document = keeping_variables(document)
        if self.image is not None and document["kind"] == "HelmRepository":
            document = requesting(document, requested_at(document["metadata"]["annotations"][REQUESTED_AT], self.image))
        return document


NO_FINISH = Finish()


def requested_at(index_digest: str, image: str | None) -> str:
    """Return the value of `requestedAt` for an index, if `image` was the first that had it."""
    return f"sha256:{hashlib.sha256(f'{index_digest} {image}'.encode()).hexdigest()}" if image else index_digest


def requesting(document: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """Return the source with the annotation that makes Flux fetch it at once whenever `digest` changes."""
    metadata = document["metadata"]
    annotations = {**metadata["annotations"], REQUESTED_AT: digest}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def add_depends_on(document: Mapping[str, Any], others: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the HelmRelease with `others` ({name, namespace}) appended to its `dependsOn`, without duplicates."""
    depends_on = list(document["spec"].get("dependsOn", ()))
    known = {(item["name"], item.get("namespace", document["metadata"]["namespace"])) for item in depends_on}
    depends_on += [item for item in others if (item["name"], item["namespace"]) not in known]
    return (
        {**document, "spec": sorted_maps({**document["spec"], "dependsOn": depends_on})}
        if depends_on
        else dict(document)
    )


def keeping_variables(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the resource with the annotation that turns off Flux's variable substitution, if it has a `${`.

    Flux would replace the variable, by nothing if it has no value.
    """
    if not has_variable(document):
        return document
    metadata = document["metadata"]
    annotations = {**metadata["annotations"], SUBSTITUTE: "disabled"}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def sorted_maps(value: Any) -> Any:
    """Return `value` with the keys of all maps sorted, because the output must not depend on the order in a source."""
    if type(value) is dict or isinstance(value, Mapping):
        result: dict[str, Any] = {}
        for key in sorted(value):
            item = value[key]
            result[key] = item if type(item) in _SCALARS else sorted_maps(item)
        return result
    if isinstance(value, list | tuple):
        return [item if type(item) in _SCALARS else sorted_maps(item) for item in value]
    return value


_SCALARS = frozenset({str, bool, int, float, type(None)})
