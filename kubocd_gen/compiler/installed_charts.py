"""Find which chart of a package a HelmRelease installs, in each mode of delivery."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kubocd_gen.packages.chart_artifact import chart_artifact, dashed
from kubocd_gen.packages.chart_index import chart_files

Document = Mapping[str, Any]

# What a chart that is not in the package is called: the kept HelmReleases of a suspended Release can have earlier ones.
_ARCHIVE = re.compile(r"(?P<name>.+?)-(?P<version>v?[0-9]+\.[0-9]+\.[0-9]+.*)\.tgz")
_TAG = re.compile(r"(?P<version>.+)-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class InstalledChart:
    """What a HelmRelease installs: name and version of the chart, "" if unknown, and the archive in its package.

    `file` is "" if the chart does not come from the package.
    """

    name: str
    version: str
    file: str


def installed_chart(document: Document, siblings: Sequence[Document], files: Mapping[str, bytes]) -> InstalledChart:
    """Return the chart of a HelmRelease of any mode.

    `siblings` are the other resources of its Release, and `files` the contents of its package.
    """
    spec = document["spec"]
    if reference := spec.get("chartRef"):
        return _referenced(str(reference.get("kind")), str(reference.get("name")), siblings, files)
    chart = spec.get("chart", {}).get("spec", {})
    name, version, source = str(chart.get("chart", "")), str(chart.get("version", "")), chart.get("sourceRef", {})
    if source.get("kind") == "HelmRepository" or not name.endswith(".tgz"):
        is_own = any(
            one["kind"] == "HelmRepository" and one["metadata"]["name"] == source.get("name") for one in siblings
        )
        file = _indexed(files["index.yaml"]).get((name, version)) if is_own else None
        return InstalledChart(name, version, file or "")
    return _of_file(name, files)


@lru_cache(maxsize=256)
def _indexed(index: bytes) -> Mapping[tuple[str, str], str]:
    """Return the file of each chart in an index, which is read several times for each HelmRelease of a package."""
    return chart_files({"index.yaml": index})


def _referenced(kind: str, name: str, siblings: Sequence[Document], files: Mapping[str, bytes]) -> InstalledChart:
    """Return the chart of a `chartRef`."""
    for one in siblings:
        if kind == "OCIRepository" and (one["kind"], one["metadata"]["name"]) == (kind, name):
            return _pushed(one["spec"]["url"].rpartition("/")[2], one["spec"].get("ref", {}).get("tag", ""), files)
        if kind == "ExternalArtifact" and one["kind"] == "ArtifactGenerator":
            for artifact in one["spec"]["artifacts"]:
                if artifact["name"] == name:
                    return _of_file(artifact["copy"][0]["from"], files)
    return InstalledChart(name, "", "")


def _pushed(repository: str, tag: str, files: Mapping[str, bytes]) -> InstalledChart:
    """Return the chart whose artifact has this repository and tag: they can differ from its name and version."""
    for (name, version), file in _indexed(files["index.yaml"]).items():
        if dashed(name) == repository and chart_artifact(name, version, files[file]).tag == tag:
            return InstalledChart(name, version, file)
    found = _TAG.fullmatch(tag)
    return InstalledChart(repository, found["version"].replace("_", "+") if found else "", "")


def _of_file(path: str, files: Mapping[str, bytes]) -> InstalledChart:
    """Return the chart in an archive of the package: the name of the file does not have to be that of the chart."""
    file = path.rpartition("/")[2]
    for (name, version), known in _indexed(files["index.yaml"]).items():
        if known == file:
            return InstalledChart(name, version, file)
    found = _ARCHIVE.fullmatch(file)
    return InstalledChart(found["name"], found["version"], "") if found else InstalledChart(file, "", "")
