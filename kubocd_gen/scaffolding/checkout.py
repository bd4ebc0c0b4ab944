"""Find the parts of a checkout that matter to kcd-gen: KuboCD resources, outputs, image layouts and projects."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.walk import real_directories
from kubocd_gen.diagnostics.problems import Problems
from kubocd_gen.model.project import PROJECT_FILE
from kubocd_gen.model.resources import KUBOCD_GROUP, KUBOCD_KINDS, Resource
from kubocd_gen.packages.manifest import MANIFEST_MENTION, is_manifest
from kubocd_gen.sources.documents import KUBOCD_CHART, read_resources
from kubocd_gen.sources.kubocd_chart import Installation, find_installations
from kubocd_gen.sources.yaml_files import find_documents

_INVENTORY = ".kcd-gen"
_LAYOUT = "oci-layout"
_USUAL_LAYOUT = "vendor/packages"


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a checkout; paths are relative to its root.

    `kinds` counts the KuboCD resources in each file by kind, and HelmReleases of KuboCD's chart as `kubocd-ctrl`.
    `namespaces` are the namespaces in which KuboCD reads Configs, by the file that defines them. `outputs` are
    directories that kcd-gen wrote, `layouts` are OCI image layouts, and `projects` are directories with a project file.
    `same` are the sets of files that define the same resource, and `packages` the package manifests.
    """

    kinds: Mapping[str, Counter[str]]
    namespaces: Mapping[str, set[str]]
    outputs: tuple[str, ...]
    layouts: tuple[str, ...]
    projects: tuple[str, ...]
    same: tuple[frozenset[str], ...]
    packages: tuple[str, ...]

    @property
    def vendor(self) -> str | None:
        """The layout for packages: the only one, or the one at the usual path; otherwise None."""
        if len(self.layouts) == 1:
            return self.layouts[0]
        return _USUAL_LAYOUT if _USUAL_LAYOUT in self.layouts else None

    def counted(self, files: Iterable[str]) -> Counter[str]:
        """Return the number of resources of each kind in `files`."""
        return sum((self.kinds[file] for file in files), Counter())

    def namespace(self, files: Iterable[str]) -> str | None:
        """Return KuboCD's namespace if `files` define exactly one, otherwise None."""
        found = set[str]().union(*(self.namespaces.get(file, ()) for file in files))
        return next(iter(found)) if len(found) == 1 else None


def find_contents(root: Path) -> Contents:
    """Return the contents of the checkout at `root`. Unreadable files are ignored, because a build reports them."""
    outputs, layouts, projects = _directories(root)
    ignored = Problems()
    resources = read_resources(["."], root, [root / output for output in outputs], ignored).resources
    installations = find_installations(resources, ignored)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    of_kubocd = [(one.kind, one) for one in resources if one.group == KUBOCD_GROUP and one.kind in KUBOCD_KINDS]
    for kind, resource in (*of_kubocd, *_of_chart(resources, installations)):
        kinds[_existing(resource.file.path, root)][kind] += 1
    return Contents(
        kinds=kinds,
        namespaces=_namespaces(resources, installations, root),
        outputs=outputs,
        layouts=layouts,
        projects=projects,
        same=_same([one for _, one in of_kubocd], root),
        packages=_packages(root, outputs),
    )


def _same(resources: Sequence[Resource], root: Path) -> tuple[frozenset[str], ...]:
    """Return the sets of files that define the same resource."""
    files: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for one in resources:
        files[one.kind, one.namespace, one.name].add(_existing(one.file.path, root))
    return tuple(frozenset(found) for found in files.values() if len(found) > 1)


def _packages(root: Path, outputs: Sequence[str]) -> tuple[str, ...]:
    documents = find_documents(root, (MANIFEST_MENTION,), [root / output for output in outputs])
    return tuple(dict.fromkeys(file for file, value in documents if is_manifest(value)))


def _of_chart(resources: Sequence[Resource], installations: Sequence[Installation]) -> list[tuple[str, Resource]]:
    """Return the HelmReleases of KuboCD's chart, and its OCIRepositories, which define the version."""
    urls = [(one, str(one.spec.get("url", ""))) for one in resources if one.kind == "OCIRepository"]
    charts = [one for one, url in urls if url.rstrip("/").rpartition("/")[2] == KUBOCD_CHART]
    return [(KUBOCD_CHART, one) for one in (*(each.release for each in installations), *charts)]


def _namespaces(
    resources: Sequence[Resource], installations: Sequence[Installation], root: Path
) -> Mapping[str, set[str]]:
    """Return KuboCD's namespaces by file, from its installations or, if there are none, from the Configs."""
    sources = [(each.release, each.namespace) for each in installations] or [
        (one, one.namespace) for one in resources if one.group == KUBOCD_GROUP and one.kind == "Config"
    ]
    found: dict[str, set[str]] = defaultdict(set)
    for resource, namespace in sources:
        if namespace:
            found[_existing(resource.file.path, root)].add(namespace)
    return found


def _directories(root: Path) -> tuple[tuple[str, ...], ...]:
    """Return the outputs, image layouts and projects below `root`, without hidden directories and symlinks."""
    outputs, layouts, projects = [], [], []
    for directory, subdirectories, names in real_directories(root, Budget()):
        path = directory.relative_to(root).as_posix()
        if _INVENTORY in subdirectories:
            outputs.append(path)
        if _LAYOUT in names and "index.json" in names:
            layouts.append(path)
        if PROJECT_FILE in names:
            projects.append(path)
        subdirectories[:] = sorted(name for name in subdirectories if not name.startswith("."))
    return tuple(outputs), tuple(layouts), tuple(projects)


def _existing(path: str, root: Path) -> str:
    """Return `path`, or its closest parent that a project file can name: a name on disk can contain arbitrary bytes."""
    while path and not os.path.lexists(root / path):
        path = path.rpartition("/")[0]
    return path or "."
