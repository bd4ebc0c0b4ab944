"""Read the HelmReleases of a suspended Release back from the output.

While a Release is suspended, its HelmReleases are not compiled; those from an earlier build are kept. The written file
comes from the checkout and is untrusted, so its text is never copied: it is parsed, each document must be one that
kcd-gen writes for this Release, and the kept documents are emitted from the parsed values. The file is also compared
with the inventory (`check_record`) and with another revision (`differences`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubocd_gen.compiler.flux_objects import helm_release, typed_spec
from kubocd_gen.compiler.value_changes import same
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.diagnostics.wording import dotted, quoted
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.parser import YamlError
from kubocd_gen.kube_yaml.reader import read_documents
from kubocd_gen.model.resources import Release

MAX_BYTES = 16 << 20
"""The limit of a written file, as of source files; a cluster accepts HelmReleases of at most 1.5 MiB."""

MAX_DOCUMENTS = 200
"""The limit of documents in a file, which has two sources and a HelmRelease per module."""

Document = Mapping[str, Any]

_API_VERSION = "helm.toolkit.fluxcd.io/v2"
_FIELDS = frozenset({"apiVersion", "kind", "metadata", "spec"})
_SOURCE_KINDS = ("OCIRepository", "HelmRepository")
_SOURCE_GROUP = "source.toolkit.fluxcd.io/"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PRUNE = "kustomize.toolkit.fluxcd.io/prune"


class _RefusedError(Exception):
    """An invalid document, with the keys that lead to the error."""

    def __init__(self, message: str, *keys: str | int) -> None:
        super().__init__(message)
        self.keys = keys


def written_path(release: Release) -> str:
    """Return the path of the Release's Flux file, relative to the output."""
    return f"flux/{release.namespace}/{release.name}.yaml"


def kept_helm_releases(data: bytes, path: str, release: Release) -> tuple[Document, ...]:
    """Return the HelmReleases in `data`, the written file of a suspended Release.

    The Release's OCIRepository and HelmRepository are skipped because they are compiled. Raises ProblemsError
    `suspended-output` for a document that kcd-gen does not write for this Release, and for invalid YAML.
    """
    if len(data) > MAX_BYTES:
        raise ProblemsError(refused(release, f"the file is larger than {MAX_BYTES >> 20} MiB", Position(path)))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProblemsError(refused(release, "the file is not UTF-8", Position(path, line))) from None
    found: dict[tuple[str, str], Document] = {}
    try:
        for number, document in enumerate(read_documents(text, path)):
            if problem := document.error or next((fault.error for fault in document.faults), None):
                raise ProblemsError(refused(release, problem.problem.message, problem.problem.position))
            try:
                if number >= MAX_DOCUMENTS:
                    raise _RefusedError(f"the file holds more than {MAX_DOCUMENTS} documents")
                one = _checked(document.value, release)
                identity = (one["kind"], one["metadata"]["name"])
                if identity in found:
                    raise _RefusedError(f"{identity[0]} {quoted(identity[1])} is duplicated", "metadata", "name")
            except _RefusedError as error:
                keys = error.keys
                position = find_position(text, path, number, keys) if keys else Position(path, document.line)
                raise ProblemsError(refused(release, str(error), position)) from None
            found[identity] = one
    except YamlError as error:
        raise ProblemsError(refused(release, error.problem.message, error.problem.position)) from error
    return tuple(one for (kind, _), one in found.items() if kind == "HelmRelease")


def check_record(data: bytes | None, digest: str | None, path: str, release: Release) -> None:
    """Raise ProblemsError `suspended-output` if the SHA-256 of the written file is not the recorded one.

    `data` is None if there is no file, `digest` is None if it is not known. CRLF line breaks are accepted, because Git
    can convert them.
    """
    if digest is None:
        return
    if data is None:
        raise ProblemsError(refused(release, "the file was removed after kcd-gen wrote it", Position(path)))
    if digest not in (_sha256(data), _sha256(data.replace(b"\r\n", b"\n"))):
        raise ProblemsError(refused(release, "the file was changed after kcd-gen wrote it", Position(path)))


def differences(old: Sequence[Document], new: Sequence[Document]) -> Iterator[str]:
    """Yield a clause for each HelmRelease that differs: `HelmRelease 'web-main' was changed`."""
    before, after = ({one["metadata"]["name"]: one for one in side} for side in (old, new))
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"HelmRelease {quoted(name)} was added"
        elif name not in after:
            yield f"HelmRelease {quoted(name)} was removed"
        elif not same(before[name], after[name]):
            yield f"HelmRelease {quoted(name)} was changed"


def refused(release: Release, message: str, position: Position | None) -> Problem:
    """Return the error for a written file whose HelmReleases cannot be kept."""
    return Problem(
        "suspended-output",
        f"cannot keep the HelmReleases of the suspended Release {release.key}: {message}",
        position=position,
        hint="restore the file from Git (git checkout REVISION -- FILE), or remove 'suspended' and build",
    )


def _checked(value: Any, release: Release) -> Document:
    """Return the document as kcd-gen writes it: a complete HelmRelease, or only the identity of a source."""
    if not isinstance(value, dict):
        raise _RefusedError("a document is not a map")
    api_version, kind = value.get("apiVersion"), value.get("kind")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(name := metadata.get("name"), str):
        raise _RefusedError("a document has no name in its metadata", "metadata")
    if kind in _SOURCE_KINDS and str(api_version).startswith(_SOURCE_GROUP):
        if (metadata.get("namespace"), name) != (release.namespace, f"kcd-{release.name}"):
            raise _RefusedError(f"the {kind} {quoted(name)} does not belong to this Release", "metadata", "name")
        return {"kind": kind, "metadata": {"name": name}}
    if (api_version, kind) != (_API_VERSION, "HelmRelease"):
        raise _RefusedError(
            f"expected a HelmRelease of {_API_VERSION}, not {quoted(kind)} of {quoted(api_version)}", "kind"
        )
    if unknown := sorted(value.keys() - _FIELDS):
        raise _RefusedError(f"unexpected field {quoted(unknown[0])}", unknown[0])
    if not _belongs(name, release):
        message = f"the name {quoted(name)} is neither '{release.name}' nor '{release.name}-MODULE'"
        raise _RefusedError(message, "metadata", "name")
    spec = _spec(value.get("spec"), release)
    annotations = metadata.get("annotations")
    protected = isinstance(annotations, dict) and annotations.get(_PRUNE) == "disabled"
    expected = helm_release(release, name, spec, protected=protected)
    for key in sorted({*metadata, *expected["metadata"]}):
        if metadata.get(key) != expected["metadata"].get(key):
            raise _RefusedError(f"metadata.{key} is not what kcd-gen writes for {release.key}", "metadata", key)
    return expected


def _belongs(name: str, release: Release) -> bool:
    """Return whether some version of the Release's package can produce a HelmRelease of that name."""
    of_release = name == release.name or name.startswith(f"{release.name}-")
    return of_release and len(name) <= 253 and _NAME.fullmatch(name) is not None


def _spec(spec: Any, release: Release) -> dict[str, Any]:
    if not isinstance(spec, dict):
        raise _RefusedError("a HelmRelease has no spec", "spec")
    typed, violations = typed_spec("helmrelease-v2", spec)
    for violation in violations:
        raise _RefusedError(f"{dotted(('spec', *violation.path))} {violation.message}", "spec", *violation.path)
    source = {"kind": "HelmRepository", "name": f"kcd-{release.name}", "namespace": release.namespace}
    if "chart" not in typed or typed["chart"]["spec"]["sourceRef"] != source:
        message = f"the chart does not come from the Release's HelmRepository 'kcd-{release.name}'"
        raise _RefusedError(message, "spec", "chart", "spec", "sourceRef")
    return typed


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
