"""Change what KuboCD's controller would create so that charts reach Flux without a chart server.

KuboCD's HelmRelease refers to a chart of the Release's HelmRepository by name and version. In the other modes of
`Delivery`, there is no HelmRepository, and the HelmRelease refers to the same archive elsewhere:

- `git`: `chart.spec.chart` is the path of the archive in the GitRepository
- `oci`: `chartRef` is an OCIRepository, pinned to the digest of the chart's artifact
- `artifact`: `chartRef` is an ExternalArtifact, which an ArtifactGenerator extracts from the package's OCIRepository

The objects are those that were tried on real controllers. This happens after all patches, so a patch can set any other
field. A HelmRelease whose patches take the chart from elsewhere is left as it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubocd_gen.compiler.flux_objects import flux_document, source_document
from kubocd_gen.diagnostics.problems import Problem, ProblemsError, nearest
from kubocd_gen.diagnostics.wording import dotted, quoted
from kubocd_gen.model.delivery import ChartRepository, Delivery
from kubocd_gen.model.package import Package
from kubocd_gen.model.resources import Release
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packages.chart_artifact import CHART_LAYER_TYPE, ChartArtifact, chart_artifact, dashed
from kubocd_gen.packages.chart_index import chart_files

Document = Mapping[str, Any]
Spec = Mapping[str, Any]

GENERATOR_API_VERSION = "source.extensions.fluxcd.io/v1beta1"
PACKAGE_ALIAS = "package"
_DISTINCT = 8  # hexadecimal digits that make a name distinct

# Fields of `chart` that the mode has no equivalent for, with what to do instead. `valuesFiles` are files of the chart
# only if a HelmRepository serves it: in a GitRepository, their paths begin at the root of the repository.
_LOST: Mapping[tuple[str, ...], str] = {
    ("spec", "valuesFiles"): "move these values to the package's values, or use 'delivery: server'",
    ("spec", "verify"): "remove it: kcd-gen verifies the digest of the chart when it compiles",
}
_LOST_WITH_REFERENCE: Mapping[tuple[str, ...], str] = {
    **_LOST,
    ("metadata",): "remove it: no HelmChart is created that could have these labels and annotations",
}


@dataclass(frozen=True, slots=True)
class Delivered:
    """The resources that deliver the charts of a Release, in the order in which they are written.

    `files` are the archives in the package that the HelmReleases install, sorted.
    """

    sources: tuple[Document, ...]
    specs: Sequence[tuple[str, Spec]]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Archive:
    chart: str
    version: str
    file: str


def deliver(
    release: Release,
    package: Package,
    delivery: Delivery,
    specs: Sequence[tuple[str, Spec]],
    *,
    interval: str,
    charts_path: str,
    protected: bool,
) -> Delivered:
    """Return the sources and specs of a Release's HelmReleases for a mode other than `server`.

    `specs` are pairs of name and spec, as for KuboCD. `interval` is that of the package. `charts_path` is the path of
    the Release's charts in Flux's source, which only the mode `git` uses. Raises ProblemsError for a chart that is not
    in the package (`chart-not-in-package`), and for fields of `chart` that the mode can't express
    (`undeliverable-field`).
    """
    archives: dict[str, _Archive] = {}
    errors: list[Problem] = []
    known = chart_files(package.files)
    for name, spec in specs:
        if not _is_own(release, spec):
            continue
        errors += _lost_fields(release, name, spec, delivery)
        found = _archive(release, package, name, spec, known)
        if isinstance(found, Problem):
            errors.append(found)
        else:
            archives[name] = found
    if errors:
        raise ProblemsError(*errors)
    used = {one.file: one for one in archives.values()}  # in the order of the HelmReleases
    files = tuple(sorted(used))
    if delivery.mode == "git":
        changed = [
            (name, _from_git(spec, f"{charts_path}/{archives[name].file}", delivery) if name in archives else spec)
            for name, spec in specs
        ]
        return Delivered((), changed, files)
    if delivery.mode == "artifact":
        names = artifact_names(release, used)
        sources = [artifact_generator(release, list(used), protected=protected)] if used else []
        kind = "ExternalArtifact"
    else:
        assert delivery.repository is not None
        made = {one.file: chart_artifact(one.chart, one.version, package.files[one.file]) for one in used.values()}
        _check_references(release, package, delivery.repository, made.values())
        names = _repository_names(release, made)
        sources = [
            chart_source(
                release,
                names[file],
                delivery.repository,
                chart=one.repository,
                tag=one.tag,
                digest=one.manifest.digest,
                interval=interval,
                protected=protected,
            )
            for file, one in made.items()
        ]
        kind = "OCIRepository"
    changed = [
        (name, _from_reference(spec, kind, names[archives[name].file]) if name in archives else spec)
        for name, spec in specs
    ]
    return Delivered(tuple(sources), changed, files)


def chart_artifacts(package: Package, files: Sequence[str]) -> list[ChartArtifact]:
    """Return the artifacts of chart archives of a package, in the order of its index."""
    known = {file: key for key, file in chart_files(package.files).items()}
    return [chart_artifact(*known[file], package.files[file]) for file in known if file in files]


def chart_source(
    release: Release,
    name: str,
    repository: ChartRepository,
    *,
    chart: str,
    tag: str,
    digest: str,
    interval: str,
    protected: bool,
) -> dict[str, Any]:
    """Return the OCIRepository `name` of a chart; `chart` is the last component of its repository.

    The digest decides; the tag says which version it is, and keeps registries from deleting the image.
    """
    spec = {
        "interval": interval,
        "layerSelector": {"mediaType": CHART_LAYER_TYPE, "operation": "copy"},
        "ref": {"digest": digest, "tag": tag},
        "url": f"oci://{repository.url}/{chart}",
        **repository.fields,
    }
    return source_document(release, "OCIRepository", spec, protected=protected, name=name)


def artifact_generator(release: Release, files: Sequence[str], *, protected: bool) -> dict[str, Any]:
    """Return the ArtifactGenerator that extracts the chart archives `files` from the package image.

    The name of an artifact contains the chart's version. Otherwise, a HelmRelease would be upgraded twice for a new
    package: with new values and the old chart first.
    """
    names = artifact_names(release, files)
    alias = f"@{PACKAGE_ALIAS}"
    spec = {
        "artifacts": [
            {
                "copy": [{"from": f"{alias}/{file}", "strategy": "Extract", "to": "@artifact/"}],
                "name": names[file],
                "originRevision": alias,
            }
            for file in sorted(files)
        ],
        "sources": [{"alias": PACKAGE_ALIAS, "kind": "OCIRepository", "name": f"kcd-{release.name}"}],
    }
    return flux_document(
        release, GENERATOR_API_VERSION, "ArtifactGenerator", f"kcd-{release.name}", spec, protected=protected
    )


def artifact_names(release: Release, files: Iterable[str]) -> dict[str, str]:
    """Return the ExternalArtifact's name of each chart archive: `kcd-<release>-<chart>-<version>`, with dashes only.

    ArtifactGenerators accept no other characters.
    """
    return _distinct({file: dashed(f"kcd-{release.name}-{file.removesuffix('.tgz')}") for file in files})


def own_repository(release: Release) -> dict[str, str]:
    """Return the reference to the Release's HelmRepository, as KuboCD sets it in a HelmRelease."""
    return {"kind": "HelmRepository", "name": f"kcd-{release.name}", "namespace": release.namespace}


def _is_own(release: Release, spec: Spec) -> bool:
    """Return whether a HelmRelease takes its chart from the Release's HelmRepository, as KuboCD sets it."""
    if "chart" not in spec:  # a patch has set `chartRef` instead
        return False
    source: Mapping[str, Any] = spec["chart"].get("spec", {}).get("sourceRef", {})
    wanted = own_repository(release)
    return {**wanted, **source} == wanted


def _lost_fields(release: Release, name: str, spec: Spec, delivery: Delivery) -> Iterator[Problem]:
    for path, hint in (_LOST if delivery.mode == "git" else _LOST_WITH_REFERENCE).items():
        value: Any = spec["chart"]
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value:
            field = dotted(("spec", "chart", *path))
            message = f"HelmRelease {quoted(name)}: {field} is not possible with 'delivery: {delivery.mode}'"
            yield Problem("undeliverable-field", message, release.position("metadata", "name"), hint)


def _archive(
    release: Release, package: Package, name: str, spec: Spec, known: Mapping[tuple[str, str], str]
) -> _Archive | Problem:
    chart = spec["chart"]["spec"]
    key = (chart["chart"], chart.get("version", "*"))
    file = known.get(key)
    if file is not None:
        return _Archive(*key, file)
    wanted, offered = f"{key[0]} {key[1]}", [" ".join(one) for one in known]
    message = f"HelmRelease {quoted(name)}: the chart {quoted(wanted)} is not in package {package.label}"
    close = nearest("did you mean '{}'?", wanted, offered)
    hint = close or f"remove chart and version from the patch, or set one that the package has: {', '.join(offered)}"
    return Problem("chart-not-in-package", message, release.position("metadata", "name"), hint)


def _from_git(spec: Spec, path: str, delivery: Delivery) -> Spec:
    source = delivery.source
    chart = {key: value for key, value in spec["chart"]["spec"].items() if key != "version"}  # Flux ignores it here
    chart |= {
        "chart": path,
        "sourceRef": {"kind": source.kind, "name": source.name, "namespace": source.namespace},
    }
    return {**spec, "chart": {**spec["chart"], "spec": chart}}


def _from_reference(spec: Spec, kind: str, name: str) -> Spec:
    return {**{key: value for key, value in spec.items() if key != "chart"}, "chartRef": {"kind": kind, "name": name}}


def _repository_names(release: Release, made: Mapping[str, ChartArtifact]) -> dict[str, str]:
    """Return the OCIRepository's name of each archive: `kcd-<release>-<chart>`, and the version if there are several.

    A stable name means that a new version changes the OCIRepository in place: Flux then upgrades once.
    """
    charts = [one.repository for one in made.values()]
    return _distinct(
        {
            file: f"kcd-{release.name}-{one.repository}"
            + (f"-{dashed(one.version)}" if charts.count(one.repository) > 1 else "")
            for file, one in made.items()
        }
    )


def _distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names of files, with a digest of the file's name added to each that several files have.

    Charts such as `my_app` and `my-app`, or versions such as `1.0.0+a` and `1.0.0-a`, differ only in characters that
    are replaced.
    """
    counts = Counter(names.values())
    return {
        file: f"{name}-{hashlib.sha256(file.encode()).hexdigest()[:_DISTINCT]}" if counts[name] > 1 else name
        for file, name in names.items()
    }


def _check_references(
    release: Release, package: Package, repository: ChartRepository, charts: Iterable[ChartArtifact]
) -> None:
    """Raise ProblemsError `bad-reference` for charts that no registry can store in this repository."""
    errors = []
    for one in charts:
        try:
            parse_reference(f"{repository.url}/{one.repository}:{one.tag}")
        except ProblemsError as error:
            message = f"the chart {quoted(one.chart)} of package {package.label} can't be in a registry"
            hint = "rename the chart, or use another delivery"
            position = release.position("spec", "package")
            errors.append(Problem("bad-reference", f"{message}: {error.problem.message}", position, hint))
    if errors:
        raise ProblemsError(*errors)
