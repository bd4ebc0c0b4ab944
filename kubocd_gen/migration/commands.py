"""The commands that are printed to be pasted. Every name in them has been checked, and is quoted all the same."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence

from kubocd_gen.migration.live import LiveObject
from kubocd_gen.migration.presence import CONTROLLER

_PLURAL = {
    "OCIRepository": "ocirepositories",
    "HelmRepository": "helmrepositories",
    "HelmRelease": "helmreleases",
    "Release": "releases.kubocd.kubotal.io",
}
_FLUX = "helmreleases,helmrepositories,ocirepositories"
_OURS = (
    "kustomizations.kustomize.toolkit.fluxcd.io,deployments,"
    "validatingwebhookconfigurations,mutatingwebhookconfigurations"
)
_PRINTED = "-A -o json --show-managed-fields"
DUMP = f"kubectl get releases.kubocd.kubotal.io,{_FLUX},{_OURS} {_PRINTED}"
"""All that a check can use while KuboCD's CRDs are there."""
DUMP_AFTER = f"kubectl get {_FLUX},{_OURS},customresourcedefinitions {_PRINTED}"
"""The same once there are no Releases: asked for a kind that does not exist, kubectl prints nothing at all."""
BACKUP = (
    "kubectl get releases.kubocd.kubotal.io,contexts.kubocd.kubotal.io,configs.kubocd.kubotal.io,"
    f"{_FLUX} -A -o yaml > before-kcd-gen-$(date +%s).yaml"
)
"""A file of its own each time: a copy of what is left later must not take the place of the first one."""
DELETE_CRDS = (
    # What a dump does not show (of one namespace, or without Releases) would go with the CRD, and all that it owns.
    "left=$(kubectl get crd releases.kubocd.kubotal.io --ignore-not-found -o name)",
    'test -z "$left" || left=$(kubectl get releases.kubocd.kubotal.io -A -o name)',
    'test -z "$left" || { echo "nothing deleted: Releases are left, and take what they own along" >&2; exit 1; }',
    "kubectl delete crd --ignore-not-found "
    + " ".join(f"{name}.kubocd.kubotal.io" for name in ("releases", "contexts", "configs")),
)


def scale_down(deployments: Iterable[tuple[str, str]]) -> Iterator[str]:
    """For namespace and name of each."""
    for namespace, name in deployments:
        yield f"kubectl -n {shlex.quote(namespace)} scale deployment {shlex.quote(name)} --replicas=0"


def delete_webhooks(configurations: Iterable[LiveObject]) -> Iterator[str]:
    for one in configurations:
        yield f"kubectl delete {one.kind.lower()} {shlex.quote(one.name)}"


def cure(kinds: Sequence[str], managers: Sequence[str], *, plain: bool) -> list[str]:
    """Give the fields of `managers` to managers that kustomize-controller takes over.

    That is the name `kubectl` where it is one manager, which was measured. Of several each needs a name of its own, or
    the API server keeps the fields of one only; kustomize-controller goes by the beginning `kubectl`.
    """
    name = '"kubectl"' if plain else '"kubectl-\\(.manager)"'
    chosen = f"IN(.manager; {', '.join(map(json.dumps, managers))})"
    # `?`: of an object whose managedFields somebody has emptied there are none.
    program = (
        f".items |= map(select(any(.metadata.managedFields[]?; {chosen})))"
        f" | (.items[].metadata.managedFields[] | select({chosen})) |= (.manager = {name})"
    )
    return [
        f"for kind in {' '.join(_PLURAL[kind] for kind in kinds)}; do",
        '  kubectl get "$kind" -A -l app.kubernetes.io/managed-by=kcd-gen --show-managed-fields -o json |',
        f"    jq {shlex.quote(program)} |",
        "    kubectl replace -f -",
        "done",
    ]


def reconcile(
    kustomizations: Iterable[tuple[str, str]], suspended: Container[tuple[str, str]] = frozenset()
) -> Iterator[str]:
    """Have Flux look again, and wait until it has: a Kustomization stays Ready while it does not.

    One that is suspended is resumed; else one would wait in vain.
    """
    for namespace, name in kustomizations:
        of, object_ = shlex.quote(namespace), _kustomization(name)
        handled = "--for=jsonpath='{.status.lastHandledReconcileAt}'=\"$now\""
        if (namespace, name) in suspended:
            yield _resume(of, object_)
        yield "now=$(date +%s)"
        yield f'kubectl -n {of} annotate {object_} reconcile.fluxcd.io/requestedAt="$now" --overwrite'
        yield f"kubectl -n {of} wait {object_} {handled} --timeout=15m"
        yield f"kubectl -n {of} wait {object_} --for=condition=Ready --timeout=15m"


def publish(
    build: Sequence[str], output: str, kustomization: tuple[str, str], suspended: Container[tuple[str, str]]
) -> Iterator[str]:
    """Put what the command `build` makes into Git, and wait until Flux has applied that commit."""
    of, object_ = shlex.quote(kustomization[0]), _kustomization(kustomization[1])
    revision = '"$(git rev-parse --abbrev-ref HEAD)@sha1:$(git rev-parse HEAD)"'
    yield shlex.join(build)
    yield f"git add {shlex.quote(output)}"
    yield "git diff --cached --quiet || git commit -m 'Releases compiled by kcd-gen'"
    yield "git push"
    if kustomization in suspended:
        yield _resume(of, object_)
    yield f"kubectl -n {of} wait {object_} --for=create --timeout=15m"
    yield f"kubectl -n {of} wait {object_} --for=jsonpath='{{.status.lastAppliedRevision}}'={revision} --timeout=15m"


def remove_owners(objects: Iterable[LiveObject]) -> Iterator[str]:
    """A loop for each kind and namespace."""
    patch = shlex.quote('[{"op":"remove","path":"/metadata/ownerReferences"}]')
    for kind, namespace, names in _by_place(objects):
        yield f"for name in {names}; do"
        yield f'  kubectl -n {namespace} patch {_PLURAL[kind]} "$name" --type=json -p {patch}'
        yield "done"


def delete_releases(releases: Iterable[LiveObject]) -> Iterator[str]:
    """`--cascade=orphan` is a second belt: nothing is owned by a Release any more.

    KuboCD's finalizer goes before, not after: the belt is a finalizer itself, which the garbage collector takes away
    once it has taken the owner from what is left, and to empty the list then would open it.
    """
    patch = shlex.quote('{"metadata":{"finalizers":null}}')
    for _, namespace, names in _by_place(releases):
        yield f"for name in {names}; do"
        yield f'  kubectl -n {namespace} patch releases.kubocd.kubotal.io "$name" --type=merge -p {patch}'
        yield f'  kubectl -n {namespace} delete releases.kubocd.kubotal.io "$name" --ignore-not-found --cascade=orphan'
        yield "done"


def delete(objects: Iterable[LiveObject]) -> Iterator[str]:
    for kind, namespace, names in _by_place(objects):
        yield f"kubectl -n {namespace} delete {_PLURAL[kind]} {names}"


def default_controller(namespace: str) -> list[tuple[str, str]]:
    """What the chart `kubocd-ctrl` names its Deployment, installed under its own name."""
    return [(namespace, f"{CONTROLLER}-ctrl-controller")]


_OF_KUBOCD = (
    '.items[] | select(any(.webhooks[]?.rules[]?.apiGroups[]?; . == "kubocd.kubotal.io"))'
    ' | "\\(.kind | ascii_downcase)/\\(.metadata.name)"'
)
FIND_WEBHOOKS = (
    # One by one: of a pipe only the last program's failure counts. And xargs, since zsh does not split "$found".
    "found=$(kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o json)",
    f"found=$(printf '%s' \"$found\" | jq -r {shlex.quote(_OF_KUBOCD)})",
    'test -z "$found" || printf \'%s\\n\' "$found" | xargs kubectl delete',
)


def _resume(namespace: str, kustomization: str) -> str:
    patch = shlex.quote('{"spec":{"suspend":false}}')
    return f"kubectl -n {namespace} patch {kustomization} --type=merge -p {patch}"


def _kustomization(name: str) -> str:
    return f"kustomizations.kustomize.toolkit.fluxcd.io/{shlex.quote(name)}"


def _by_place(objects: Iterable[LiveObject]) -> Iterator[tuple[str, str, str]]:
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in objects:
        places[one.kind, one.namespace].append(shlex.quote(one.name))
    for (kind, namespace), names in sorted(places.items()):
        yield kind, shlex.quote(namespace), " ".join(sorted(names))
