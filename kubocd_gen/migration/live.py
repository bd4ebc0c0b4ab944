"""Typed records of the objects in a dump; no other module of this component reads an object's raw metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.diagnostics.wording import quoted
from kubocd_gen.kube_yaml.reader import MAX_DEPTH
from kubocd_gen.migration.dump import Raw
from kubocd_gen.model.finishing import MANAGED_BY
from kubocd_gen.schema.go_strings import trim_space

KUBOCD = "kubocd.kubotal.io"
FLUX_KINDS = ("OCIRepository", "HelmRepository", "HelmRelease")
CONTROLLER = "kubocd"
"""The field manager of KuboCD's controller, which is the name of its binary."""
KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
_SOURCE, _HELM = "source.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
RBAC_KINDS = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
# Kinds that the checks use; others are ignored.
_KINDS = {
    ("OCIRepository", _SOURCE),
    ("HelmRepository", _SOURCE),
    ("HelmRelease", _HELM),
    ("Release", KUBOCD),
    ("Context", KUBOCD),
    ("Config", KUBOCD),
    ("Kustomization", KUSTOMIZE),
    ("Deployment", "apps"),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io"),
    ("MutatingWebhookConfiguration", "admissionregistration.k8s.io"),
    ("CustomResourceDefinition", "apiextensions.k8s.io"),
    ("Namespace", "v1"),
    ("Service", "v1"),
    ("ServiceAccount", "v1"),
    *((kind, "rbac.authorization.k8s.io") for kind in RBAC_KINDS),
}
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_RBAC_NAME = re.compile(r"[^/%\0]{1,253}")  # as `system:node`; messages print them, commands do not

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
    """An entry of managedFields. `fields` is FieldsV1: nested maps of `f:<field>`; an empty map owns a whole value."""

    name: str
    operation: str
    subresource: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LiveObject:
    """An object in the cluster. `managers` is None if the dump has no managedFields.

    `generation` is 0 if the dump does not contain it. `role` (its kind and name) and `subjects` are those of a
    RoleBinding or ClusterRoleBinding.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    version: str
    labels: Mapping[str, Any]
    annotations: Mapping[str, Any]
    owners: tuple[Owner, ...]
    deleting: bool
    managers: tuple[Manager, ...] | None
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    webhooks: tuple[Any, ...]
    finalizers: tuple[str, ...] = ()
    generation: int = 0
    role: tuple[str, str] = ("", "")
    subjects: tuple[tuple[str, str, str], ...] = ()

    @property
    def identity(self) -> Identity:
        return self.kind, self.namespace, self.name

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def release_owner(self) -> Owner | None:
        """The first owner that is a Release, or None."""
        return next((owner for owner in self.owners if owner.is_release), None)

    @property
    def kustomization(self) -> tuple[str, str] | None:
        """The namespace and name of the Flux Kustomization that applied the object, or None without valid labels."""
        name, namespace = (self.labels.get(f"{KUSTOMIZE}/{field}") for field in ("name", "namespace"))
        if not (isinstance(name, str) and isinstance(namespace, str) and _is_name(name) and _is_name(namespace)):
            return None
        return namespace, name

    @property
    def helm_release(self) -> tuple[str, str] | None:
        """The namespace and name of the Helm release that the object belongs to, or None.

        Helm sets the annotations. The namespace is that of the release's objects; Helm can store the release elsewhere.
        """
        namespace, name = (
            valid_name(self.annotations.get(f"meta.helm.sh/release-{field}")) for field in ("namespace", "name")
        )
        return (namespace, name) if namespace and name else None

    @property
    def is_kept_by_helm(self) -> bool:
        """Whether Helm does not delete the object when an upgrade removes it from its release.

        Helm reads this annotation of the object in the cluster only then. `helm uninstall` reads that of the manifest.
        """
        return trim_space(str(self.annotations.get("helm.sh/resource-policy", ""))).lower() == "keep"

    @property
    def is_applied(self) -> bool:
        """Whether Flux has applied a resource that kcd-gen compiled to the object."""
        label, value = MANAGED_BY
        return self.kustomization is not None and self.labels.get(label) == value

    @property
    def is_exempt_from_pruning(self) -> bool:
        """Whether Flux deletes the object neither when it is removed from Git nor with its Kustomization."""
        setting = f"{KUSTOMIZE}/prune"
        return "disabled" in (self.annotations.get(setting), self.labels.get(setting))

    @property
    def is_created_by_kubocd(self) -> bool:
        """Whether KuboCD's controller created the object or wrote to it."""
        return self.release_owner is not None or any(one.name == CONTROLLER for one in self.managers or ())


@dataclass(frozen=True, slots=True)
class Live:
    """The objects in the dumps. `flux` are the objects of the three Flux kinds that KuboCD creates, by identity.

    `kinds` are the kinds in the dumps: whether the cluster has objects of another kind is unknown. `left_by` are
    Kustomizations that no longer exist but whose labels are still on an object; these labels are removed from the
    record, because Flux no longer applies the object. `duplicates` are objects that the dumps contain in two states;
    the newer state is used, or the later one if their versions can't be compared.
    """

    flux: Mapping[Identity, LiveObject]
    releases: Mapping[str, LiveObject]
    others: tuple[LiveObject, ...]
    kinds: frozenset[str]
    left_by: Mapping[Identity, tuple[str, str]]
    duplicates: tuple[LiveObject, ...]

    def of_kind(self, *kinds: str) -> list[LiveObject]:
        """Return the objects of `kinds`, which must not be Release or one of the kinds in `flux`."""
        return [one for one in self.others if one.kind in kinds]


def live_cluster(objects: Iterable[Raw]) -> Live:
    """Convert the objects of dumps. Raises ProblemsError `bad-dump` for an object that no API server would return."""
    found: dict[Identity, LiveObject] = {}
    duplicates: dict[Identity, LiveObject] = {}
    for raw in objects:
        api_version, kind = raw.get("apiVersion"), raw.get("kind")
        group = api_version.partition("/")[0] if isinstance(api_version, str) else ""
        if not isinstance(kind, str) or (kind, group) not in _KINDS:
            continue
        one = _object(kind, raw)
        other = found.get(one.identity)
        if other is not None and other.version != one.version:
            duplicates[one.identity] = one
            if _is_older(one.version, other.version):
                continue
        found[one.identity] = one
    left_by = _left_by(found)
    for identity in left_by:
        one = found[identity]
        kept = {name: value for name, value in one.labels.items() if not name.startswith(f"{KUSTOMIZE}/name")}
        found[identity] = replace(one, labels=kept)
    return Live(
        flux={identity: one for identity, one in found.items() if one.kind in FLUX_KINDS},
        releases={one.key: one for one in found.values() if one.kind == "Release"},
        others=tuple(one for one in found.values() if one.kind not in (*FLUX_KINDS, "Release")),
        kinds=frozenset(one.kind for one in found.values()),
        left_by=left_by,
        duplicates=tuple(duplicates.values()),
    )


def _is_older(version: str, other: str) -> bool:
    """Return whether a resourceVersion is lower than another; false if they are not decimal numbers of 64 bits."""
    both = (version, other)
    return all(one.isascii() and one.isdecimal() and len(one) < 20 for one in both) and int(version) < int(other)


def _left_by(found: Mapping[Identity, LiveObject]) -> dict[Identity, tuple[str, str]]:
    """Return Kustomizations in labels of objects that do not exist; empty if the dump contains no Kustomizations."""
    existing = {(one.namespace, one.name) for one in found.values() if one.kind == "Kustomization"}
    appliers = {identity: one.kustomization for identity, one in found.items()}
    return {identity: by for identity, by in appliers.items() if by and existing and by not in existing}


def _object(kind: str, raw: Raw) -> LiveObject:
    metadata = mapping(raw.get("metadata"))
    name, namespace = metadata.get("name"), metadata.get("namespace", "")
    is_rbac = kind in RBAC_KINDS and isinstance(name, str) and _RBAC_NAME.fullmatch(name) is not None
    for value in (*(() if is_rbac else (name,)), *((namespace,) if namespace else ())):
        if not _is_name(value):
            # Names become part of the commands that users paste into a shell.
            hint = "use the unmodified output of kubectl"
            message = f"a {kind} in the dump has the invalid name or namespace {quoted(value)}"
            raise ProblemsError.of("bad-dump", message, hint=hint)
    spec = mapping(raw.get("spec"))
    if _is_deep(spec) or _is_deep(metadata):
        raise ProblemsError.of("bad-dump", f"{kind} '{name}' is nested more than {MAX_DEPTH} levels deep")
    managed = metadata.get("managedFields")
    return LiveObject(
        kind=kind,
        namespace=_text(namespace),
        name=_text(name),
        uid=_text(metadata.get("uid")),
        version=_text(metadata.get("resourceVersion")),
        labels=mapping(metadata.get("labels")),
        annotations=mapping(metadata.get("annotations")),
        owners=tuple(_owner(one) for one in maps(metadata.get("ownerReferences"))),
        deleting=bool(metadata.get("deletionTimestamp")),
        managers=tuple(_manager(one) for one in maps(managed)) if isinstance(managed, list) else None,
        spec=spec,
        status=mapping(raw.get("status")),
        webhooks=tuple(maps(raw.get("webhooks"))),
        finalizers=tuple(one for one in items(metadata.get("finalizers")) if isinstance(one, str)),
        generation=_number(metadata.get("generation")),
        role=_role(mapping(raw.get("roleRef"))),
        subjects=tuple(_subject(one, _text(namespace)) for one in maps(raw.get("subjects"))),
    )


def _role(reference: Mapping[str, Any]) -> tuple[str, str]:
    return _text(reference.get("kind")), _text(reference.get("name"))


def _subject(one: Raw, namespace: str) -> tuple[str, str, str]:
    return _text(one.get("kind")), _text(one.get("namespace")) or namespace, _text(one.get("name"))


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _owner(one: Raw) -> Owner:
    group = _text(one.get("apiVersion")).partition("/")[0]
    return Owner(group, _text(one.get("kind")), _text(one.get("name")), _text(one.get("uid")))


def _manager(one: Raw) -> Manager:
    name, operation, subresource = (_text(one.get(field)) for field in ("manager", "operation", "subresource"))
    return Manager(name, operation, subresource, mapping(one.get("fieldsV1")))


def valid_name(value: Any) -> str:
    """Return the value if it is a name that can become part of a command, otherwise an empty string."""
    return value if _is_name(value) else ""


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


def items(value: Any) -> list[Any]:
    """Return the value if it is a list, otherwise an empty list."""
    return value if isinstance(value, list) else []


def mapping(value: Any) -> Mapping[str, Any]:
    """Return the value if it is a mapping, otherwise an empty mapping."""
    return value if isinstance(value, Mapping) else {}


def maps(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings in the value if it is a list, otherwise an empty list."""
    return [one for one in items(value) if isinstance(one, Mapping)]
