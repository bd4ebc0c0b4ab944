"""Build the Flux resources of one Release, with specs like those of Flux's Go types.

KuboCD merges the spec of a HelmRelease as a tree, decodes it strictly into Flux's Go type, and sends the JSON of that.
A patch can therefore have `Install:`, `9m` or `suspend: false`: the cluster gets `install`, `9m0s` and no `suspend`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubocd_gen.compiler.go_types import printed
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.diagnostics.wording import dotted
from kubocd_gen.kube_yaml.reprinting import UnreadableError, reprinted
from kubocd_gen.model.compilation import PackageSourceSpec
from kubocd_gen.model.finishing import MANAGED_BY, requesting, sorted_maps
from kubocd_gen.model.resources import Release
from kubocd_gen.schema.flux import spec_schema
from kubocd_gen.schema.flux_versions import KUBOCD_FLUX
from kubocd_gen.schema.structural import Violation, admit, canonical_fields

_LAYER = {
    "mediaType": "application/vnd.kubotal.kubocd.package.content.v1.tar+gzip",
    "operation": "extract",
}
_PASSED_ON = (
    "provider",
    "secretRef",
    "verify",
    "serviceAccountName",
    "certSecretRef",
    "proxySecretRef",
    "timeout",
    "ignore",
    "insecure",
    "suspend",
)


def oci_repository(
    release: Release, source: PackageSourceSpec, interval: str, *, protected: bool, digest: str | None = None
) -> dict[str, Any]:
    """Return the OCIRepository that pulls the package image.

    `interval` is that of the Release; the fields of a package redirect take precedence. With `digest`, Flux pulls that
    image even if the tag moves.
    """
    redirected = source.fields is not release.package
    spec = {
        "interval": source.fields.get("interval", "0s") if redirected else interval,
        "layerSelector": _LAYER,
        "ref": {"tag": source.tag, **({"digest": digest} if digest else {})},
        "url": f"oci://{source.repository}",
        **{field: source.fields[field] for field in _PASSED_ON if field in source.fields},
    }
    return source_document(release, "OCIRepository", spec, protected=protected)


def helm_repository(
    release: Release, repository_url: str, interval: str, index_digest: str, *, protected: bool
) -> dict[str, Any]:
    """Return the HelmRepository that serves the charts.

    Its annotation `reconcile.fluxcd.io/requestedAt` is the digest of the index: Flux rereads an index at its interval,
    or immediately if that annotation changes.
    """
    spec = {"interval": interval, "url": f"{repository_url.rstrip('/')}/hr/{release.namespace}/{release.name}"}
    return requesting(source_document(release, "HelmRepository", spec, protected=protected), index_digest)


def helm_release(release: Release, name: str, spec: Mapping[str, Any], *, protected: bool) -> dict[str, Any]:
    """Return the HelmRelease `name` with a spec that is already validated."""
    return flux_document(release, "helm.toolkit.fluxcd.io/v2", "HelmRelease", name, spec, protected=protected)


def source_document(
    release: Release, kind: str, spec: Mapping[str, Any], *, protected: bool, name: str | None = None
) -> dict[str, Any]:
    """Return an OCIRepository or HelmRepository with a validated spec; its default name is `kcd-<release>`.

    Raises ProblemsError with everything for which Flux rejects the spec.
    """
    name = name or f"kcd-{release.name}"
    typed, violations = typed_spec(f"{kind.lower()}-v1", spec)
    if violations:
        raise ProblemsError(
            *(
                violation.problem(
                    f"{kind} '{name}': {dotted(('spec', *violation.path))} {violation.message}",
                    release.position("spec", "package", *violation.path),
                )
                for violation in violations
            )
        )
    return flux_document(release, "source.toolkit.fluxcd.io/v1", kind, name, typed, protected=protected)


def flux_document(
    release: Release, api_version: str, kind: str, name: str, spec: Mapping[str, Any], *, protected: bool
) -> dict[str, Any]:
    """Return a resource of the Release with the labels and annotations of everything that kcd-gen compiles."""
    annotations = {"kcd-gen.kubocd.io/release": release.key}
    if protected:
        annotations["kustomize.toolkit.fluxcd.io/prune"] = "disabled"
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": release.namespace,
            "labels": dict([MANAGED_BY]),
            "annotations": annotations,
        },
        "spec": sorted_maps(spec),
    }


def _spec_schema(kind: str) -> Mapping[str, Any]:
    """Return the fields of the Go type that KuboCD is compiled with."""
    rules = spec_schema(kind, KUBOCD_FLUX)
    assert rules is not None, kind
    return rules


def typed_spec(kind: str, spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[Violation]]:
    """Return `spec` as the Go type of the Flux kind prints it, and everything for which KuboCD or Flux rejects it.

    `kind` is `helmrelease-v2`, `helmrepository-v1` or `ocirepository-v1`. The spec is empty if a field cannot be
    decoded.
    """
    fields = _spec_schema(kind)
    if kind == "helmrelease-v2":
        try:
            spec = reprinted(spec, strict=True)
        except UnreadableError as error:
            return {}, [Violation(error.path, str(error), "invalid-value", error.hint)]
    typed, violations = printed(canonical_fields(spec, fields), fields)
    if violations:
        return {}, violations
    # Only for the violations: the API server sets the defaults itself.
    _, violations = admit(typed, fields)
    return typed, violations


def normal_spec(kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec from a cluster in the same form, with the API server's defaults; invalid values stay."""
    fields = _spec_schema(kind)
    admitted, _ = admit(canonical_fields(spec, fields), fields)
    typed: dict[str, Any] = printed(admitted, fields)[0]
    return typed
