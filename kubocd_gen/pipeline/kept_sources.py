"""Verify how the kept HelmReleases of a suspended Release get their charts.

With `delivery: oci` and `artifact`, their sources name versions of charts, so they are kept together. Each is built
again from the few values that can differ between versions of a package, and must be equal to what is in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.model.finishing import SUBSTITUTE, keeping_variables, requesting

if TYPE_CHECKING:  # few builds have suspended Releases
    from kubocd_gen.model.compilation import PackageSourceSpec
    from kubocd_gen.model.delivery import Delivery
    from kubocd_gen.model.resources import Release

Document = Mapping[str, Any]

SOURCE_KINDS = ("OCIRepository", "HelmRepository", "ArtifactGenerator")
_REQUESTED = "reconcile.fluxcd.io/requestedAt"
_FREE = ("interval", "ref")  # fields of a package's OCIRepository that depend on its version
_HINT = "remove 'suspended' and build, or restore the earlier 'delivery'"


class RefusedError(Exception):
    """An invalid document, with the keys that lead to the error."""

    def __init__(self, message: str, *keys: str | int, hint: str | None = None) -> None:
        super().__init__(message)
        self.keys = keys
        self.hint = hint


def keeps_sources(delivery: Delivery) -> bool:
    """Return whether the sources of suspended Releases are kept, because they name versions of charts."""
    return delivery.mode in ("oci", "artifact")


def check_chart(spec: Mapping[str, Any], release: Release, delivery: Delivery) -> None:
    """Raise RefusedError if a HelmRelease does not get its chart as the cluster delivers charts."""
    from kubocd_gen.compiler.delivery import own_repository

    chart = spec.get("chart", {}).get("spec", {})
    reference, source = spec.get("chartRef", {}), chart.get("sourceRef")
    if delivery.mode == "server":
        if source != own_repository(release):
            message = f"the chart does not come from the Release's HelmRepository 'kcd-{release.name}'"
            raise RefusedError(message, "spec", "chart", "spec", "sourceRef", hint=_HINT)
        return
    if delivery.mode == "git":
        wanted = delivery.source
        named = {"kind": wanted.kind, "name": wanted.name, "namespace": wanted.namespace}
        below = re.escape(f"/hr/{release.namespace}/{release.name}/")
        path = str(chart.get("chart"))
        if source != named or not re.fullmatch(rf"\.(/[^/]+)*{below}[^/]+\.tgz", path) or "/../" in path:
            message = f"the chart is not a file of the Release in {wanted}"
            raise RefusedError(message, "spec", "chart", "spec", "chart", hint=_HINT)
        return
    kind = "OCIRepository" if delivery.mode == "oci" else "ExternalArtifact"
    name = reference.get("name")
    if reference != {"kind": kind, "name": name} or not str(name).startswith(f"kcd-{release.name}-"):
        raise RefusedError(f"the chart does not come from an {kind} of the Release", "spec", "chartRef", hint=_HINT)


def kept_source(value: Document, release: Release, delivery: Delivery, package: PackageSourceSpec | None) -> Document:
    """Return a source of charts as kcd-gen writes it, or only its identity if it is not kept. Raises RefusedError."""
    kind, name = value["kind"], value["metadata"]["name"]
    own = f"kcd-{release.name}"
    if value["metadata"].get("namespace") != release.namespace or not (name == own or name.startswith(f"{own}-")):
        raise RefusedError(f"the {kind} {quoted(name)} does not belong to this Release", "metadata", "name")
    if not keeps_sources(delivery):
        if name != own or kind == "ArtifactGenerator":
            message = f"the {kind} {quoted(name)} is not of 'delivery: {delivery.mode}'"
            raise RefusedError(message, "metadata", "name", hint=_HINT)
        return {"kind": kind, "metadata": {"name": name}}
    annotations = value["metadata"].get("annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    protected = annotations.get("kustomize.toolkit.fluxcd.io/prune") == "disabled"
    try:
        expected = _expected(value, name, release, delivery, package, protected=protected)
    except (KeyError, TypeError, AttributeError, IndexError, ProblemsError):
        expected = None
    if expected is None:
        raise RefusedError(
            f"the {kind} {quoted(name)} is not what kcd-gen writes for {release.key}", "spec", hint=_HINT
        )
    if kind == "OCIRepository" and isinstance(requested := annotations.get(_REQUESTED), str):
        expected = requesting(expected, requested)
    if SUBSTITUTE in annotations:
        expected = dict(keeping_variables(expected))
    for key in expected:
        if value.get(key) != expected[key]:
            message = f"{key} of the {kind} {quoted(name)} is not what kcd-gen writes for {release.key}"
            raise RefusedError(message, key, hint=_HINT)
    if unknown := sorted(value.keys() - expected.keys()):
        raise RefusedError(f"unexpected field {quoted(unknown[0])}", unknown[0])
    return expected


def check_references(documents: Sequence[Document]) -> None:
    """Raise RefusedError if a HelmRelease refers to a source that is not in the file."""
    artifacts = {
        artifact["name"]
        for one in documents
        if one["kind"] == "ArtifactGenerator"
        for artifact in one["spec"]["artifacts"]
    }
    repositories = {one["metadata"]["name"] for one in documents if one["kind"] == "OCIRepository"}
    for one in documents:
        reference = one.get("spec", {}).get("chartRef") if one["kind"] == "HelmRelease" else None
        if reference and reference["name"] not in (
            artifacts if reference["kind"] == "ExternalArtifact" else repositories
        ):
            message = f"HelmRelease {quoted(one['metadata']['name'])} refers to a source that is not in the file"
            raise RefusedError(message)


def _expected(
    value: Document,
    name: str,
    release: Release,
    delivery: Delivery,
    package: PackageSourceSpec | None,
    *,
    protected: bool,
) -> dict[str, Any] | None:
    from kubocd_gen.compiler.delivery import artifact_generator, chart_source
    from kubocd_gen.compiler.flux_objects import oci_repository
    from kubocd_gen.oci.descriptors import DIGEST

    spec: Mapping[str, Any] = value["spec"]
    if value["kind"] == "ArtifactGenerator":
        if delivery.mode != "artifact" or name != f"kcd-{release.name}":
            return None
        files = [artifact["copy"][0]["from"].rpartition("/")[2] for artifact in spec["artifacts"]]
        return artifact_generator(release, files, protected=protected)
    if value["kind"] != "OCIRepository":
        return None
    if name == f"kcd-{release.name}":
        if package is None:
            return None
        compiled = oci_repository(release, package, "1m0s", protected=protected)
        free = {key: spec[key] for key in _FREE if key in spec}
        return {**compiled, "spec": dict(sorted({**compiled["spec"], **free}.items()))}
    repository, ref = delivery.repository, spec["ref"]
    if repository is None or not DIGEST.fullmatch(ref["digest"]):
        return None
    return chart_source(
        release,
        name,
        repository,
        chart=spec["url"].rpartition("/")[2],
        tag=ref["tag"],
        digest=ref["digest"],
        interval=spec["interval"],
        protected=protected,
    )
