"""The shell commands that `migrate check` prints. All names in them are validated, and quoted nevertheless."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence

from kubocd_gen.migration.live import LiveObject

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
"""Dump everything that a check uses, while KuboCD's CRDs exist."""
DUMP_AFTER = f"kubectl get {_FLUX},{_OURS},customresourcedefinitions {_PRINTED}"
"""Dump the same after the CRDs are deleted: kubectl prints no objects at all if one of the kinds does not exist."""
BACKUP = (
    "kubectl get releases.kubocd.kubotal.io,contexts.kubocd.kubotal.io,configs.kubocd.kubotal.io,"
    f"{_FLUX} -A -o yaml > before-kcd-gen-$(date +%s).yaml"
)
"""Save a copy. Each run writes a new file, so a later, incomplete copy never overwrites the first one."""
DELETE_CRDS = (
    # Deleting a CRD deletes all Releases and what they own, including those that an incomplete dump does not contain.
    "left=$(kubectl get crd releases.kubocd.kubotal.io --ignore-not-found -o name)",
    'test -z "$left" || left=$(kubectl get releases.kubocd.kubotal.io -A -o name)',
    'test -z "$left" || { echo "nothing deleted: Releases still exist, and own Flux objects" >&2; exit 1; }',
    "kubectl delete crd --ignore-not-found "
    + " ".join(f"{name}.kubocd.kubotal.io" for name in ("releases", "contexts", "configs")),
)


def scale_down(deployments: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a command for each Deployment, given as namespace and name."""
    for namespace, name in deployments:
        yield f"kubectl -n {shlex.quote(namespace)} scale deployment {shlex.quote(name)} --replicas=0"


def delete_webhooks(configurations: Iterable[LiveObject]) -> Iterator[str]:
    """Yield a command for each webhook configuration."""
    for one in configurations:
        yield f"kubectl delete {one.kind.lower()} {shlex.quote(one.name)}"


def transfer_fields(kinds: Sequence[str], managers: Sequence[str], *, plain: bool) -> list[str]:
    """Return commands that rename `managers` to field managers whose fields kustomize-controller takes over.

    With `plain`, the new name is `kubectl`, which was tested on a cluster. Otherwise each manager gets its own name,
    because the API server would keep the fields of only one; kustomize-controller matches the prefix `kubectl`.
    """
    name = '"kubectl"' if plain else '"kubectl-\\(.manager)"'
    chosen = f"IN(.manager; {', '.join(map(json.dumps, managers))})"
    # `?`: an object has no managedFields if they were emptied.
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
    """Request a reconciliation of each Kustomization, and wait until it is handled.

    Waiting for Ready is not enough, because a Kustomization stays ready until the reconciliation starts. Suspended
    Kustomizations are resumed first; they would never handle the request.
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
    """Commit and push the output of the command `build`, and wait until Flux has applied that commit."""
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
    """Remove the ownerReferences of the objects, with a loop for each kind and namespace."""
    patch = shlex.quote('[{"op":"remove","path":"/metadata/ownerReferences"}]')
    for kind, namespace, names in _by_namespace(objects):
        yield f"for name in {names}; do"
        yield f'  kubectl -n {namespace} patch {_PLURAL[kind]} "$name" --type=json -p {patch}'
        yield "done"


def delete_releases(releases: Iterable[LiveObject]) -> Iterator[str]:
    """Delete the Releases after removing KuboCD's finalizer.

    The Releases no longer own anything at this point; `--cascade=orphan` is an additional safeguard. KuboCD's finalizer
    must be removed before the deletion and not after it: the safeguard is also a finalizer, which the garbage collector
    removes once it has removed the remaining owner references. Emptying the list of finalizers would defeat it.
    """
    patch = shlex.quote('{"metadata":{"finalizers":null}}')
    for _, namespace, names in _by_namespace(releases):
        yield f"for name in {names}; do"
        yield f'  kubectl -n {namespace} patch releases.kubocd.kubotal.io "$name" --type=merge -p {patch}'
        yield f'  kubectl -n {namespace} delete releases.kubocd.kubotal.io "$name" --ignore-not-found --cascade=orphan'
        yield "done"


def delete(objects: Iterable[LiveObject]) -> Iterator[str]:
    """Yield a command for each kind and namespace."""
    for kind, namespace, names in _by_namespace(objects):
        yield f"kubectl -n {namespace} delete {_PLURAL[kind]} {names}"


_OF_KUBOCD = (
    '.items[] | select(any(.webhooks[]?.rules[]?.apiGroups[]?; . == "kubocd.kubotal.io"))'
    ' | "\\(.kind | ascii_downcase)/\\(.metadata.name)"'
)
FIND_WEBHOOKS = (
    # Separate commands, because the exit code of a pipe is that of its last program; xargs, because zsh does not split
    # "$found" into words.
    "found=$(kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o json)",
    f"found=$(printf '%s' \"$found\" | jq -r {shlex.quote(_OF_KUBOCD)})",
    'test -z "$found" || printf \'%s\\n\' "$found" | xargs kubectl delete',
)


def _resume(namespace: str, kustomization: str) -> str:
    patch = shlex.quote('{"spec":{"suspend":false}}')
    return f"kubectl -n {namespace} patch {kustomization} --type=merge -p {patch}"


def _kustomization(name: str) -> str:
    return f"kustomizations.kustomize.toolkit.fluxcd.io/{shlex.quote(name)}"


def _by_namespace(objects: Iterable[LiveObject]) -> Iterator[tuple[str, str, str]]:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in objects:
        groups[one.kind, one.namespace].append(shlex.quote(one.name))
    for (kind, namespace), names in sorted(groups.items()):
        yield kind, shlex.quote(namespace), " ".join(sorted(names))
