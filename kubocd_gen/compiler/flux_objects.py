"""Build the Flux resources of one Release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubocd_gen.compiler.typed import typed_spec
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.diagnostics.wording import dotted
from kubocd_gen.model.compilation import PackageSourceSpec
from kubocd_gen.model.resources import Release

MANAGED_BY = ("app.kubernetes.io/managed-by", "kcd-gen")
"""The label, as name and value, of every compiled resource."""

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
    typed = _checked(release, "OCIRepository", "ocirepository-v1", spec)
    return _document(release, "source.toolkit.fluxcd.io/v1", "OCIRepository", f"kcd-{release.name}", typed, protected)


def helm_repository(
    release: Release, repository_url: str, interval: str, index_digest: str, *, protected: bool
) -> dict[str, Any]:
    """Return the HelmRepository that serves the charts.

    Its annotation `reconcile.fluxcd.io/requestedAt` is the digest of the index: Flux rereads an index at its interval,
    or immediately if that annotation changes.
    """
    spec = {"interval": interval, "url": f"{repository_url.rstrip('/')}/hr/{release.namespace}/{release.name}"}
    typed = _checked(release, "HelmRepository", "helmrepository-v1", spec)
    document = _document(
        release, "source.toolkit.fluxcd.io/v1", "HelmRepository", f"kcd-{release.name}", typed, protected
    )
    document["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"] = index_digest
    return document


def helm_release(release: Release, name: str, spec: Mapping[str, Any], *, protected: bool) -> dict[str, Any]:
    """Return the HelmRelease `name` with a spec that is already validated."""
    return _document(release, "helm.toolkit.fluxcd.io/v2", "HelmRelease", name, spec, protected)


def add_depends_on(document: Mapping[str, Any], others: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return the HelmRelease with `others` ({name, namespace}) appended to its `dependsOn`, without duplicates."""
    depends_on = list(document["spec"].get("dependsOn", ()))
    known = {(item["name"], item.get("namespace", document["metadata"]["namespace"])) for item in depends_on}
    depends_on += [item for item in others if (item["name"], item["namespace"]) not in known]
    return (
        {**document, "spec": _sorted({**document["spec"], "dependsOn": depends_on})} if depends_on else dict(document)
    )


def _checked(release: Release, kind: str, schema_name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    typed, violations = typed_spec(schema_name, spec)
    if violations:
        raise ProblemsError(
            *(
                violation.problem(
                    f"{kind} 'kcd-{release.name}': {dotted(('spec', *violation.path))} {violation.message}",
                    release.position("spec", "package", *violation.path),
                )
                for violation in violations
            )
        )
    return typed


def _document(
    release: Release, api_version: str, kind: str, name: str, spec: Mapping[str, Any], protected: bool
) -> dict[str, Any]:
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
        "spec": _sorted(spec),
    }


def _sorted(value: Any) -> Any:
    """Return `value` with the keys of all maps sorted, because the output must not depend on the order in a source."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
