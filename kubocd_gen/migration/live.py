"""The objects of a dump as records: what raw mappings become once, at the edge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubocd_gen.diagnostics.problems import Problem, ProblemsError
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.kube_yaml.reader import MAX_DEPTH
from kubocd_gen.migration.dump import Raw

KUBOCD = "kubocd.kubotal.io"
FLUX_KINDS = ("OCIRepository", "HelmRepository", "HelmRelease")
_SOURCE, _HELM = "source.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
_KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
# What is looked at; other kinds are passed over.
_KINDS = {
    ("OCIRepository", _SOURCE),
    ("HelmRepository", _SOURCE),
    ("HelmRelease", _HELM),
    ("Release", KUBOCD),
    ("Context", KUBOCD),
    ("Config", KUBOCD),
    ("Kustomization", _KUSTOMIZE),
    ("Deployment", "apps"),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io"),
    ("MutatingWebhookConfiguration", "admissionregistration.k8s.io"),
    ("CustomResourceDefinition", "apiextensions.k8s.io"),
}
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")

Identity = tuple[str, str, str]  # kind, namespace, name


@dataclass(frozen=True, slots=True)
class Owner:
    """An ownerReference."""

    group: str
    kind: str
    name: str
    uid: str

    @property
    def is_release(self) -> bool:
        return self.kind == "Release" and self.group == KUBOCD


@dataclass(frozen=True, slots=True)
class Manager:
    """An entry of managedFields. `fields` is FieldsV1: maps of `f:<field>`, empty where a value is owned whole."""

    name: str
    operation: str
    subresource: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LiveObject:
    """An object as it is in the cluster. `managers` is None where the dump has no managedFields."""

    kind: str
    namespace: str
    name: str
    uid: str
    version: str
    labels: Mapping[str, Any]
    annotations: Mapping[str, Any]
    owners: tuple[Owner, ...]
    finalizers: tuple[str, ...]
    deleting: bool
    managers: tuple[Manager, ...] | None
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    webhooks: tuple[Any, ...]

    @property
    def identity(self) -> Identity:
        return self.kind, self.namespace, self.name

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def release_owner(self) -> Owner | None:
        """The Release that owns it."""
        return next((owner for owner in self.owners if owner.is_release), None)

    @property
    def kustomization(self) -> tuple[str, str] | None:
        """Namespace and name of the Flux Kustomization that applied it last."""
        name, namespace = (self.labels.get(f"{_KUSTOMIZE}/{field}") for field in ("name", "namespace"))
        if not (isinstance(name, str) and isinstance(namespace, str) and _is_name(name) and _is_name(namespace)):
            return None
        return namespace, name


@dataclass(frozen=True, slots=True)
class Live:
    """What the dumps hold. `flux` are the objects of KuboCD's three Flux kinds, by identity.

    `kinds` are the kinds that were met: of one that was not, it is not known whether the cluster has any.
    `left_by` are Kustomizations that are gone and whose labels objects have kept: those are taken off, since they would
    say that Flux applies the object. `twice` are objects that were met in two states, of which the newer or later is
    taken.
    """

    flux: Mapping[Identity, LiveObject]
    releases: Mapping[str, LiveObject]
    others: tuple[LiveObject, ...]
    kinds: frozenset[str]
    passed_over: int
    left_by: Mapping[Identity, tuple[str, str]]
    twice: tuple[LiveObject, ...]

    def of_kind(self, *kinds: str) -> list[LiveObject]:
        """Objects besides those of Flux's three kinds and Releases."""
        return [one for one in self.others if one.kind in kinds]


def live_cluster(objects: Iterable[Raw]) -> Live:
    """Raises ProblemsError `bad-dump` for an object that no API server has printed."""
    found: dict[Identity, LiveObject] = {}
    twice: dict[Identity, LiveObject] = {}
    passed_over = 0
    for raw in objects:
        api_version, kind = raw.get("apiVersion"), raw.get("kind")
        group = api_version.partition("/")[0] if isinstance(api_version, str) else ""
        if not isinstance(kind, str) or (kind, group) not in _KINDS:
            passed_over += 1
            continue
        one = _object(kind, raw)
        other = found.get(one.identity)
        if other is not None and other.version != one.version:
            twice[one.identity] = one
            if one.version.isdigit() and other.version.isdigit() and int(one.version) < int(other.version):
                continue
        found[one.identity] = one
    left_by = _left_by(found)
    for identity in left_by:
        one = found[identity]
        kept = {name: value for name, value in one.labels.items() if not str(name).startswith(f"{_KUSTOMIZE}/name")}
        found[identity] = replace(one, labels=kept)
    return Live(
        flux={identity: one for identity, one in found.items() if one.kind in FLUX_KINDS},
        releases={one.key: one for one in found.values() if one.kind == "Release"},
        others=tuple(one for one in found.values() if one.kind not in (*FLUX_KINDS, "Release")),
        kinds=frozenset(one.kind for one in found.values()),
        passed_over=passed_over,
        left_by=left_by,
        twice=tuple(twice.values()),
    )


def _left_by(found: Mapping[Identity, LiveObject]) -> dict[Identity, tuple[str, str]]:
    """The Kustomizations that objects name and that are not there; without any it is not known which there are."""
    there = {(one.namespace, one.name) for one in found.values() if one.kind == "Kustomization"}
    named = {identity: one.kustomization for identity, one in found.items()}
    return {identity: by for identity, by in named.items() if by and there and by not in there}


def _object(kind: str, raw: Raw) -> LiveObject:
    metadata = _map(raw.get("metadata"))
    name, namespace = metadata.get("name"), metadata.get("namespace", "")
    for text in (name, *((namespace,) if namespace else ())):
        if not _is_name(text):
            # It would stand in commands that are printed to be pasted.
            hint = "the dump must be as kubectl printed it"
            raise ProblemsError(Problem("bad-dump", f"a {kind} in the dump is named {quoted(text)}", hint=hint))
    spec = _map(raw.get("spec"))
    if _is_deep(spec) or _is_deep(metadata):
        raise ProblemsError(Problem("bad-dump", f"{kind} {name} is nested more than {MAX_DEPTH} deep"))
    managed = metadata.get("managedFields")
    return LiveObject(
        kind=kind,
        namespace=_text(namespace),
        name=_text(name),
        uid=_text(metadata.get("uid")),
        version=_text(metadata.get("resourceVersion")),
        labels=_map(metadata.get("labels")),
        annotations=_map(metadata.get("annotations")),
        owners=tuple(_owner(one) for one in _maps(metadata.get("ownerReferences"))),
        finalizers=tuple(filter(None, map(_text, _list(metadata.get("finalizers"))))),
        deleting=bool(metadata.get("deletionTimestamp")),
        managers=tuple(_manager(one) for one in _maps(managed)) if isinstance(managed, list) else None,
        spec=spec,
        status=_map(raw.get("status")),
        webhooks=tuple(_maps(raw.get("webhooks"))),
    )


def _owner(one: Raw) -> Owner:
    group = _text(one.get("apiVersion")).partition("/")[0]
    return Owner(group, _text(one.get("kind")), _text(one.get("name")), _text(one.get("uid")))


def _manager(one: Raw) -> Manager:
    return Manager(
        _text(one.get("manager")), _text(one.get("operation")), _text(one.get("subresource")), _map(one.get("fieldsV1"))
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for one in level
            for item in (one.values() if isinstance(one, Mapping) else one)
            if isinstance(item, (Mapping, list))
        ]
        if not level:
            return False
    return True


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in _list(value) if isinstance(one, Mapping)]
