"""Validate Flux resources by the CRDs of a minor version of Flux.

`schemas/flux/` has the CRDs of all supported versions; `tests/flux_schemas.py` generates it. A file is read when its
kind is first validated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kubocd_gen.diagnostics.problems import MOST
from kubocd_gen.package_data import schema
from kubocd_gen.schema.flux_versions import FLUX_VERSIONS, FluxVersion, is_older
from kubocd_gen.schema.object_metadata import METADATA, name_violations
from kubocd_gen.schema.structural import Schema, Violation, admit

# The files of `schemas/flux/`, by API version and kind.
_FILES: Mapping[tuple[str, str], str] = {
    ("helm.toolkit.fluxcd.io/v2", "HelmRelease"): "helmrelease-v2",
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"): "kustomization-v1",
    ("source.extensions.fluxcd.io/v1beta1", "ArtifactGenerator"): "artifactgenerator-v1beta1",
    ("source.toolkit.fluxcd.io/v1", "ExternalArtifact"): "externalartifact-v1",
    ("source.toolkit.fluxcd.io/v1", "GitRepository"): "gitrepository-v1",
    ("source.toolkit.fluxcd.io/v1", "HelmRepository"): "helmrepository-v1",
    ("source.toolkit.fluxcd.io/v1", "OCIRepository"): "ocirepository-v1",
}


@functools.cache
def spec_schema(file: str, flux: FluxVersion) -> Schema | None:
    """Return the structural schema of the `spec` of a kind, or None if this version of Flux does not have the kind.

    `file` is the name of a file in `schemas/flux/`, such as `helmrelease-v2`. The versions in it are JSON merge patches
    (RFC 7386), each of the version before.
    """
    patches: Mapping[str, Any] = schema(f"flux/{file}")["schemas"]
    if flux not in patches:
        return None
    found: Any = {}
    for version in FLUX_VERSIONS[: FLUX_VERSIONS.index(flux) + 1]:
        found = _merged(found, patches.get(version, {}))
    return dict(found)


def _merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), item)
    return result


def violations(document: Mapping[str, Any], flux: FluxVersion) -> list[Violation]:
    """Return everything for which the API server rejects the resource if it has the CRDs of this version of Flux.

    Validation is strict, as Flux requests it: an unknown field is a violation. Paths begin at the root of the resource.
    Of a kind that is not Flux's, only the metadata is validated; a kind of Flux that kcd-gen does not write is a
    violation.
    """
    return _with_versions(lambda version: _found(document, version), flux)


def spec_violations(file: str, spec: Mapping[str, Any], flux: FluxVersion) -> list[Violation]:
    """Return the violations of a `spec` alone. `file` is that of `spec_schema`; paths begin at the spec."""

    def found(version: FluxVersion) -> list[Violation]:
        rules = spec_schema(file, version)
        return [_ABSENT] if rules is None else admit(spec, rules)[1]

    return _with_versions(found, flux)


_KIND = ("kind",)
_ABSENT = Violation((), "is not a kind", "unknown-field")


def _found(document: Mapping[str, Any], flux: FluxVersion) -> list[Violation]:
    api_version, kind = document.get("apiVersion"), document.get("kind")
    file = _FILES.get((str(api_version), str(kind)))
    if file is not None and spec_schema(file, flux) is None:
        return [replace(_ABSENT, path=_KIND)]
    if file is None and str(api_version).partition("/")[0].endswith(".fluxcd.io"):
        return [Violation(_KIND, "is not a kind of Flux that kcd-gen writes", "invalid-value")]
    _, found = admit(document, _resource_schema(file, flux))
    return found or name_violations(document["metadata"])


@functools.cache
def _resource_schema(file: str | None, flux: FluxVersion) -> Schema:
    """Return the schema of a resource, whose `spec` and other fields are unknown without a file."""
    text = {"type": "string"}
    opened = {"x-kubernetes-preserve-unknown-fields": True}
    spec = {"type": "object", **opened} if file is None else spec_schema(file, flux)
    return {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata"],
        "properties": {"apiVersion": text, "kind": text, "metadata": METADATA, "spec": spec},
        **(opened if file is None else {}),
    }


def _with_versions(check: Callable[[FluxVersion], list[Violation]], flux: FluxVersion) -> list[Violation]:
    """Return the violations in this version of Flux; those that another version does not have name that version."""
    found = check(flux)
    if not found:
        return found
    others = {version: check(version) for version in FLUX_VERSIONS if version != flux}
    return [_explained(violation, others, flux) for violation in found]


def _explained(violation: Violation, others: Mapping[FluxVersion, list[Violation]], flux: FluxVersion) -> Violation:
    accepting = [version for version, found in others.items() if _accepts(found, violation.path)]
    if not accepting:
        return violation
    newer = [version for version in accepting if is_older(flux, version)]
    unknown = violation.code == "unknown-field"
    remedy = "remove it" if unknown else "change it"
    if newer:
        message = f"needs Flux {newer[0]}, but the project is for Flux {flux}"
        hint = f"set 'flux: \"{newer[0]}\"' in the project file if every cluster has that version, or {remedy}"
    else:
        message = f"is valid up to Flux {accepting[-1]}, but the project is for Flux {flux}"
        hint = remedy
    reason = "" if unknown else f", where it {violation.message}"
    return Violation(violation.path, message + reason, "flux-version", hint)


def _accepts(found: list[Violation], path: tuple[str | int, ...]) -> bool:
    """Return whether there is no violation at the path, above it or below it, or of the kind."""
    return len(found) < MOST and not any(
        one.path == _KIND or one.path[: len(path)] == path[: len(one.path)] for one in found
    )
