"""The shell commands that keep what Helm would delete, and then uninstall KuboCD's charts.

Each command that changes something comes after one that reads the cluster and stops if the change would do harm: a dump
can be old or incomplete.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from kubocd_gen.migration.charts import Chart
from kubocd_gen.migration.commands import stop_if
from kubocd_gen.migration.kubocd import CONTROLLER_CHART
from kubocd_gen.migration.live import LiveObject

_HELM_RELEASE = "helmreleases.helm.toolkit.fluxcd.io"
_KEEP = "helm.sh/resource-policy=keep"
# What Helm must never delete here: everything else can depend on an object of these kinds.
_DENIED = (
    *("Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim", "StorageClass"),
    *("PriorityClass", "HelmRelease", "HelmRepository", "HelmChart", "OCIRepository", "GitRepository", "Bucket"),
    *("Kustomization", "Release"),
)
_UNKEPT = (
    '.items[].metadata | select(.annotations["meta.helm.sh/release-name"] == $name'
    ' and .annotations["meta.helm.sh/release-namespace"] == $namespace'
    ' and .annotations["helm.sh/resource-policy"] != "keep") | .name'
)
_UNKEPT_IN_MANIFEST = (
    '(.items // [.])[] | select(.kind == "Namespace")'
    ' | .metadata | select(.annotations["helm.sh/resource-policy"] != "keep") | .name'
)
_LOST = "nothing changed: Helm would delete these namespaces"
_VALUES = (
    "--reset-then-reuse-values",
    *("--set", "config.enabled=false", "--set", "controller.replicaCount=0"),
    *("--set-json", "extraNamespaces=[]", "--set-json", "contexts=[]"),
)
_EMPTY = (
    '{"spec":{"values":{"extraNamespaces":[],"contexts":[],"config":{"enabled":false},'
    '"controller":{"replicaCount":0}}}}'
)


def keep(namespaces: Iterable[LiveObject]) -> Iterator[str]:
    """Annotate the Namespaces, so that the upgrade which removes them from the Helm release does not delete them."""
    for one in namespaces:
        yield f"kubectl annotate namespace {shlex.quote(one.name)} {_KEEP} --overwrite"


def stop_unless_kept(chart: Chart) -> Iterator[str]:
    """Stop if the cluster has a Namespace of the Helm release without the annotation.

    Such a Namespace has Helm's annotations, or is in the manifest of the release.
    """
    name, namespace = shlex.quote(chart.name), shlex.quote(chart.namespace)
    yield "namespaces=$(kubectl get namespaces -o json)"
    arguments = f"--arg name {name} --arg namespace {namespace}"
    yield f"found=$(printf '%s' \"$namespaces\" | jq -r {arguments} {shlex.quote(_UNKEPT)})"
    yield stop_if(_LOST)
    yield f"manifest=$(helm -n {shlex.quote(chart.storage)} get manifest {name})"
    get = f"kubectl -n {namespace} get -f - --ignore-not-found -o json"
    yield f"objects=$(printf '%s\\n' \"$manifest\" | {get})"  # the exit code of a pipe is that of its last program
    yield f"found=$(printf '%s' \"$objects\" | jq -r {shlex.quote(_UNKEPT_IN_MANIFEST)})"
    yield stop_if(_LOST)


def stop_if_needed(chart: Chart, *, own_crds: bool = False) -> Iterator[str]:
    """Stop if the manifest of the Helm release has an object that must not be deleted.

    With `own_crds`, the CRDs in it are KuboCD's own.
    """
    denied = [kind for kind in _DENIED if not (own_crds and kind == "CustomResourceDefinition")]
    pattern = shlex.quote(f"kind[\"']?: *[\"']?({'|'.join(denied)})")
    yield f"manifest=$(helm -n {shlex.quote(chart.storage)} get manifest {shlex.quote(chart.name)})"
    yield f"found=$(printf '%s\\n' \"$manifest\" | grep -Eow {pattern} | sort -u || true)"
    yield stop_if("nothing uninstalled: the Helm release still contains")


def stop_if_other_chart(chart: Chart) -> Iterator[str]:
    """Stop if the HelmRelease does not install the chart."""
    one = chart.helm_release
    if one is None:
        return
    path = shlex.quote("{.status.history[0].chartName}")
    yield f"found=$({_of(one, 'get')} -o jsonpath={path})"
    yield f'test "$found" != {shlex.quote(chart.chart)} || found='
    yield stop_if(f"nothing changed: HelmRelease {one.key} installs another chart")


def stop_if_incomplete(chart: Chart) -> Iterator[str]:
    """Stop if the values of the HelmRelease in the cluster are not those of the step."""
    if chart.helm_release is None or chart.chart != CONTROLLER_CHART:
        return
    empty = (
        ".spec.values | select(((.extraNamespaces // []) + (.contexts // []) != []) or .config.enabled != false"
        ' or .controller.replicaCount != 0) | "extraNamespaces, contexts, config.enabled or controller.replicaCount"'
    )
    yield f"release=$({_of(chart.helm_release, 'get')} -o json)"
    yield f"found=$(printf '%s' \"$release\" | jq -r {shlex.quote(empty)})"
    yield stop_if(f"set these values of HelmRelease {chart.helm_release.key} in Git first")


def wait_for_upgrade(chart: Chart, *, resume: bool) -> Iterator[str]:
    """Wait until Flux has upgraded the Helm release to the current values of its HelmRelease."""
    one = chart.helm_release
    if one is None:
        return
    if resume:
        patch = shlex.quote('{"spec":{"suspend":false}}')
        yield f"{_of(one, 'patch')} --type=merge -p {patch}"
    path = shlex.quote("{.metadata.generation}")
    yield f"generation=$({_of(one, 'get')} -o jsonpath={path})"
    seen = "--for=jsonpath='{.status.observedGeneration}'=\"$generation\""
    yield f"{_of(one, 'wait')} {seen} --timeout=15m"
    yield f"{_of(one, 'wait')} --for=condition=Ready --timeout=15m"


def empty_values(chart: Chart) -> Iterator[str]:
    """Set the values of a HelmRelease that no Kustomization applies."""
    if chart.helm_release is not None and chart.chart == CONTROLLER_CHART:
        yield f"{_of(chart.helm_release, 'patch')} --type=merge -p {shlex.quote(_EMPTY)}"


def delete_helm_release(chart: Chart) -> Iterator[str]:
    """Delete the HelmRelease of the chart, which Flux does not prune."""
    if chart.helm_release is not None:
        yield f"{_of(chart.helm_release, 'delete')} --ignore-not-found --timeout=15m"


def wait_for_removal(chart: Chart) -> Iterator[str]:
    """Wait until Flux has uninstalled the chart and its HelmRelease is gone."""
    if chart.helm_release is not None:
        yield f"{_of(chart.helm_release, 'wait')} --for=delete --timeout=15m"


def upgrade_by_hand(chart: Chart) -> Iterator[str]:
    """Empty a Helm release that was installed with helm. The user knows where its chart is."""
    name, namespace = shlex.quote(chart.name), shlex.quote(chart.namespace)
    if chart.chart == CONTROLLER_CHART:
        yield ': "${CHART:?set it to the chart that is installed, for example CHART=oci://quay.io/kubocd/charts/kubocd-ctrl}"'
        yield f"version=$(helm -n {namespace} get metadata {name} -o json | jq -r .version)"
        yield f'helm -n {namespace} upgrade {name} "$CHART" --version "$version" {" ".join(_VALUES)}'


def find_storage(chart: Chart) -> Iterator[str]:
    """Stop, and print where the Helm release is stored, if it is not in its own namespace."""
    name, namespace = shlex.quote(chart.name), shlex.quote(chart.namespace)
    found = f"kubectl get secrets -A -l owner=helm,name={name} -o jsonpath="
    path = shlex.quote('{range .items[*]}{.metadata.namespace}{" "}{end}')
    message = f"nothing changed: the Helm release is not stored in {chart.namespace}, but in:"
    yield (
        f"helm -n {namespace} status {name} > /dev/null || "
        f"{{ echo {shlex.quote(message)} $({found}{path}) >&2; exit 1; }}"
    )


def uninstall_by_hand(chart: Chart) -> Iterator[str]:
    """Uninstall a Helm release that was installed with helm."""
    yield f"helm -n {shlex.quote(chart.namespace)} uninstall {shlex.quote(chart.name)}"


def are_active(namespaces: Iterable[str]) -> Iterator[str]:
    """Check that the Namespaces are not being deleted."""
    path = "--for=jsonpath='{.status.phase}'=Active"
    names = " ".join(f"namespace/{shlex.quote(name)}" for name in sorted(namespaces))
    if names:
        yield f"kubectl wait {names} {path} --timeout=1m"


def _of(one: LiveObject, verb: str) -> str:
    return f"kubectl -n {shlex.quote(one.namespace)} {verb} {_HELM_RELEASE}/{shlex.quote(one.name)}"
