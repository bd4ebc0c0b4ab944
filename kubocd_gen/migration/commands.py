"""The shell commands that `migrate check` prints. All names in them are validated, and quoted nevertheless."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kubocd_gen.migration.live import KUSTOMIZE, LiveObject

_PLURAL = {
    "OCIRepository": "ocirepositories",
    "HelmRepository": "helmrepositories",
    "HelmRelease": "helmreleases",
    "Release": "releases.kubocd.kubotal.io",
}
_FLUX = "helmreleases,helmrepositories,ocirepositories"
_CLUSTER = (
    "kustomizations.kustomize.toolkit.fluxcd.io,deployments,"
    "validatingwebhookconfigurations,mutatingwebhookconfigurations,"
    "customresourcedefinitions,namespaces,services,serviceaccounts,"
    "clusterroles,clusterrolebindings,roles,rolebindings"
)
_KUBOCD = "releases.kubocd.kubotal.io,contexts.kubocd.kubotal.io,configs.kubocd.kubotal.io"
_PRINTED = "-A -o json --show-managed-fields"
DUMP = f"kubectl get {_KUBOCD},{_FLUX},{_CLUSTER} {_PRINTED}"
"""Dump everything that a check uses, while KuboCD's CRDs exist. kubectl skips the kinds that the user can't list."""
DUMP_AFTER = f"kubectl get {_FLUX},{_CLUSTER} {_PRINTED}"
"""Dump the same after the CRDs are deleted: kubectl prints no objects at all if one of the kinds does not exist."""
DIRECTORY = "~/kcd-gen-migration"
"""The directory of dumps and copies. They contain the secrets of the cluster, so it is not in the checkout."""
PRIVATE = f"umask 077; mkdir -p {DIRECTORY}"
BACKUP = f"({PRIVATE}; kubectl get {_KUBOCD},{_FLUX} -A -o yaml > {DIRECTORY}/before-$(date +%s).yaml)"
"""Save a copy. Each run writes a new file, so a later, incomplete copy never overwrites the first one."""


def stop_if(message: str) -> str:
    """Return a command that prints the message and ends the step if the variable `found` is not empty."""
    return f'test -z "$found" || {{ echo {shlex.quote(f"{message}:")} "$found" >&2; exit 1; }}'


def save_dump(command: str, file: str) -> str:
    """Return the command that writes a dump which only the user can read. `file` is quoted for a shell."""
    prepare = PRIVATE if file.startswith(f"{DIRECTORY}/") else "umask 077"
    return f"({prepare}; {command} > {file})"


RELEASES_GONE = (
    # Deleting a CRD deletes all Releases and what they own, including those that an incomplete dump does not contain.
    "crd=$(kubectl get crd releases.kubocd.kubotal.io --ignore-not-found -o name)",
    'found=; test -z "$crd" || found=$(kubectl get releases.kubocd.kubotal.io -A -o name)',
    stop_if("nothing deleted: Releases still exist, and own Flux objects"),
)
_OTHERS = "contexts.kubocd.kubotal.io,configs.kubocd.kubotal.io"
_UNMANAGED = tuple(
    line
    for label, message in (
        ("app.kubernetes.io/managed-by=Helm", "nothing deleted: uninstall the chart first, which still owns"),
        (f"{KUSTOMIZE}/name", "nothing deleted: a Kustomization still applies, and would fail without the CRDs"),
    )
    for line in (
        f'found=; test -z "$crd" || found=$(kubectl get {_OTHERS} -A -l {label} -o name)',
        stop_if(message),
    )
)


def scale_down(deployments: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a command for each Deployment, given as namespace and name."""
    for namespace, name in deployments:
        yield f"kubectl -n {shlex.quote(namespace)} scale deployment {shlex.quote(name)} --replicas=0"


def stop_if_running(deployments: Iterable[LiveObject]) -> Iterator[str]:
    """Stop if one of KuboCD's controllers runs, because Flux and the controller would revert each other's changes."""
    path = shlex.quote("{.spec.replicas}")
    for one in deployments:
        name = shlex.quote(one.name)
        get = f"kubectl -n {shlex.quote(one.namespace)} get deployment {name} --ignore-not-found -o jsonpath={path}"
        yield f'found=$({get}); test "$found" != 0 || found='
        yield stop_if(f"nothing changed: KuboCD's controller {one.key} runs; its replicas")


def stop_if_owning(releases: Iterable[LiveObject]) -> Iterator[str]:
    """Stop if one of the Releases owns a HelmRelease or a HelmRepository."""
    names = ", ".join(json.dumps(one.key) for one in sorted(releases, key=lambda one: one.key))
    owner = rf'.kind == "Release" and IN("\($of.namespace)/\(.name)"; {names})'
    found = rf".items[] | select(.metadata as $of | any($of.ownerReferences[]?; {owner}))"
    program = rf'{found} | "\(.kind) \(.metadata.namespace)/\(.metadata.name)"'
    yield "objects=$(kubectl get helmreleases,helmrepositories -A -o json)"
    yield f"found=$(printf '%s' \"$objects\" | jq -r {shlex.quote(program)})"
    yield stop_if("nothing deleted: these Releases still own")


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


@dataclass(frozen=True, slots=True)
class Checkout:
    """How the output gets into Git: `build` is the command that compiles it.

    `paths` are the files and directories of a commit, quoted for a shell: the output and what else Flux and kcd-gen
    need, such as the files of `kcd-gen init server`. `dumps` are the dumps in a Git working tree.
    """

    build: Sequence[str] = ("kcd-gen", "build")
    paths: Sequence[str] = ()
    dumps: Sequence[str] = ()


_DIFF = "git diff --cached --no-color --no-ext-diff --unified=0"


def publish(checkout: Checkout, output: str) -> Iterator[str]:
    """Compile, and commit and push the output and the other paths."""
    yield shlex.join(checkout.build)
    yield from _commit(checkout, output, "Releases compiled by kcd-gen", {"Namespace": 0})


def publish_removal(checkout: Checkout, output: str, message: str, helm_releases: int = 0) -> Iterator[str]:
    """Commit and push what the user removed from Git, unless a Release would change or a Namespace be deleted.

    The user removed `helm_releases` HelmReleases. A build can add the Namespaces that the chart no longer creates.
    """
    flux = f"{output}/flux"
    excluded = (f":(exclude){flux}/{name}.yaml" for name in ("kustomization", "namespaces"))
    yield shlex.join(checkout.build)
    yield f"found=$(git diff --name-only HEAD -- {shlex.join((flux, *excluded))})"
    yield stop_if("nothing committed: these files of Releases would change; keep what they need in the sources")
    yield "git add --update :/"
    yield from _commit(checkout, output, message, {"Namespace": 0, "Kustomization": 0, "HelmRelease": helm_releases})


def _commit(checkout: Checkout, output: str, message: str, removed: Mapping[str, int]) -> Iterator[str]:
    """Commit and push, unless the commit removes more objects of a kind than `removed` contains.

    Objects that are moved count as removed and added.
    """
    # Only what exists: `git add` adds nothing at all if one path is missing.
    paths = " ".join(checkout.paths) or shlex.quote(output)
    line = rf"^[-+][ \t]*kind:[ \t]*[\"\047]?({'|'.join(removed)})"
    kind = r'k = $0; sub(/^[-+][ \t]*kind:[ \t]*["\047]?/, "", k); sub(/[^A-Za-z].*/, "", k)'
    limits = "; ".join(f'limit["{name}"] = {count}' for name, count in removed.items())
    program = (
        f"BEGIN {{ {limits} }} /{line}/ {{ {kind}; n[k] += /^-/ ? 1 : -1 }} "
        "END { for (k in limit) if (n[k] > limit[k]) print k }"
    )
    yield f'for path in {paths}; do test ! -e "$path" || git add -- "$path"; done'
    yield f"found=$({_DIFF} | awk {shlex.quote(program)})"
    yield stop_if("nothing committed: Flux would delete what the commit removes, with everything in it; kinds")
    yield "git status --short"
    yield f"git diff --cached --quiet || git commit -m {shlex.quote(message)}"
    yield "git push"


def wait_for_commit(kustomization: tuple[str, str], suspended: Container[tuple[str, str]]) -> Iterator[str]:
    """Wait until Flux has applied the current commit."""
    of, object_ = shlex.quote(kustomization[0]), _kustomization(kustomization[1])
    revision = '"$(git rev-parse --abbrev-ref HEAD)@sha1:$(git rev-parse HEAD)"'
    if kustomization in suspended:
        yield _resume(of, object_)
    yield f"kubectl -n {of} wait {object_} --for=create --timeout=15m"
    yield f"kubectl -n {of} wait {object_} --for=jsonpath='{{.status.lastAppliedRevision}}'={revision} --timeout=15m"


def delete_unapplied(kustomization: tuple[str, str]) -> Iterator[str]:
    """Delete the Contexts and Configs of a Kustomization that no longer applies them, but does not prune."""
    namespace, name = kustomization
    selector = f"{KUSTOMIZE}/namespace={namespace},{KUSTOMIZE}/name={name}"
    for kind in _OTHERS.split(","):
        yield f"kubectl delete {kind} -A -l {shlex.quote(selector)}"


def delete_crds(with_finalizers: Sequence[LiveObject]) -> Iterator[str]:
    """Delete KuboCD's CRDs, unless an object exists that the deletion would harm.

    Only KuboCD's controller would remove the finalizers of Contexts and Configs, so the deletion would hang. Those of
    objects that are being deleted are removed first, because such objects still have the labels of their owners.
    """
    yield from RELEASES_GONE
    yield from remove_finalizers(one for one in with_finalizers if one.deleting)
    yield from _UNMANAGED
    yield from remove_finalizers(one for one in with_finalizers if not one.deleting)
    names = " ".join(f"{name}.kubocd.kubotal.io" for name in ("releases", "contexts", "configs"))
    yield f"kubectl delete crd --ignore-not-found --timeout=5m {names}"


def remove_finalizers(objects: Iterable[LiveObject]) -> Iterator[str]:
    """Remove the finalizers of Contexts and Configs, which nothing but KuboCD's controller would remove."""
    for one in objects:
        kind, patch = f"{one.kind.lower()}s.kubocd.kubotal.io", shlex.quote('{"metadata":{"finalizers":null}}')
        yield f"kubectl -n {shlex.quote(one.namespace)} patch {kind} {shlex.quote(one.name)} --type=merge -p {patch}"


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
        yield f'  found=$(kubectl -n {namespace} get releases.kubocd.kubotal.io "$name" --ignore-not-found -o name)'
        yield '  test -n "$found" || continue'
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
