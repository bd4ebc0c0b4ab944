"""The HelmReleases of a suspended Release, read back from the output and kept.

While a Release is suspended its HelmReleases are not compiled: what an earlier build wrote stays. The written file
comes with the checkout, so it is untrusted input: nothing of its text is copied. It is parsed, each document must be
one that kcd-gen writes for this very Release, and what is kept is emitted from the parsed values. What the documents
hold is compared with what was recorded when they were written (`check_record`) and with another revision
(`differences`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubocd_gen.compiler.flux_objects import helm_release
from kubocd_gen.compiler.typed import typed_spec
from kubocd_gen.compiler.value_changes import same
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.diagnostics.wording import dotted, quoted
from kubocd_gen.kube_yaml.errors import YamlError
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import read_documents
from kubocd_gen.model.releases import Release

MAX_BYTES = 16 << 20
"""The limit of a source file; a HelmRelease has at most 1.5 MiB in a cluster."""

MAX_DOCUMENTS = 200
"""Documents of one file: two sources and a HelmRelease for each module."""

Document = Mapping[str, Any]

_API_VERSION = "helm.toolkit.fluxcd.io/v2"
_FIELDS = frozenset({"apiVersion", "kind", "metadata", "spec"})
_SOURCE_KINDS = ("OCIRepository", "HelmRepository")
_SOURCE_GROUP = "source.toolkit.fluxcd.io/"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PRUNE = "kustomize.toolkit.fluxcd.io/prune"


class _RefusedError(Exception):
    """What is wrong with a document, and the keys that lead there."""

    def __init__(self, message: str, *keys: str | int) -> None:
        super().__init__(message)
        self.keys = keys


def written_path(release: Release) -> str:
    """The path of the Release's Flux file, relative to the output."""
    return f"flux/{release.namespace}/{release.name}.yaml"


def kept_helm_releases(data: bytes, path: str, release: Release) -> tuple[Document, ...]:
    """Return the HelmReleases that `data`, the written file of a suspended Release, holds.

    Raises ProblemsError `suspended-output` for a document that kcd-gen does not write for this Release, and for what is
    not YAML in the reader's limits. The Release's OCIRepository and HelmRepository are passed over: they are compiled.
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
                    raise _RefusedError(f"{identity[0]} {quoted(identity[1])} is there twice", "metadata", "name")
            except _RefusedError as error:
                keys = error.keys
                position = find_position(text, path, number, keys) if keys else Position(path, document.line)
                raise ProblemsError(refused(release, str(error), position)) from None
            found[identity] = one
    except YamlError as error:
        raise ProblemsError(refused(release, error.problem.message, error.problem.position)) from error
    return tuple(one for (kind, _), one in found.items() if kind == "HelmRelease")


def check_record(data: bytes | None, digest: str | None, path: str, release: Release) -> None:
    """Raise ProblemsError `suspended-output` if the written file is not the one whose SHA-256 was recorded.

    `data` is None if there is no file, `digest` if it is not known what was written. Git can have changed line breaks.
    """
    if digest is None:
        return
    if data is None:
        raise ProblemsError(refused(release, "the file was removed since kcd-gen wrote it", Position(path)))
    if digest not in (_sha256(data), _sha256(data.replace(b"\r\n", b"\n"))):
        raise ProblemsError(refused(release, "the file was changed since kcd-gen wrote it", Position(path)))


def differences(old: Sequence[Document], new: Sequence[Document]) -> Iterator[str]:
    """What became of each HelmRelease between two versions of a written file, as predicates: `'web-main' differs`."""
    before, after = ({one["metadata"]["name"]: one for one in side} for side in (old, new))
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"HelmRelease {quoted(name)} was added"
        elif name not in after:
            yield f"HelmRelease {quoted(name)} was removed"
        elif not same(before[name], after[name]):
            yield f"HelmRelease {quoted(name)} was changed"


def refused(release: Release, message: str, position: Position | None) -> Problem:
    """The error for a written file whose HelmReleases can't be kept."""
    return Problem(
        "suspended-output",
        f"the HelmReleases of the suspended Release {release.key} can't be kept: {message}",
        position=position,
        hint="restore the file as kcd-gen wrote it: git checkout REVISION -- FILE; or remove 'suspended' and build",
    )


def _checked(value: Any, release: Release) -> Document:
    """Return the document as kcd-gen writes it: a HelmRelease whole, of a source its identity."""
    if not isinstance(value, dict):
        raise _RefusedError("a document is not a map")
    api_version, kind = value.get("apiVersion"), value.get("kind")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(name := metadata.get("name"), str):
        raise _RefusedError("a document has no name in its metadata", "metadata")
    if kind in _SOURCE_KINDS and str(api_version).startswith(_SOURCE_GROUP):
        if (metadata.get("namespace"), name) != (release.namespace, f"kcd-{release.name}"):
            raise _RefusedError(f"the {kind} {quoted(name)} is not one of this Release", "metadata", "name")
        return {"kind": kind, "metadata": {"name": name}}
    if (api_version, kind) != (_API_VERSION, "HelmRelease"):
        raise _RefusedError(f"{quoted(kind)} of {quoted(api_version)} is not a HelmRelease of {_API_VERSION}", "kind")
    if unknown := sorted(value.keys() - _FIELDS):
        raise _RefusedError(f"kcd-gen writes no field {quoted(unknown[0])} there", unknown[0])
    if not _belongs(name, release):
        message = f"the name {quoted(name)} is neither '{release.name}' nor '{release.name}-' and a module's name"
        raise _RefusedError(message, "metadata", "name")
    spec = _spec(value.get("spec"), release)
    annotations = metadata.get("annotations")
    protected = isinstance(annotations, dict) and annotations.get(_PRUNE) == "disabled"
    whole = helm_release(release, name, spec, protected=protected)
    for key in sorted({*metadata, *whole["metadata"]}):
        if metadata.get(key) != whole["metadata"].get(key):
            raise _RefusedError(f"metadata.{key} is not what kcd-gen writes for {release.key}", "metadata", key)
    return whole


def _belongs(name: str, release: Release) -> bool:
    """Whether some version of the Release's package can have compiled to a HelmRelease of that name."""
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
        message = f"the chart does not come from the HelmRepository 'kcd-{release.name}' of the Release"
        raise _RefusedError(message, "spec", "chart", "spec", "sourceRef")
    return typed


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
