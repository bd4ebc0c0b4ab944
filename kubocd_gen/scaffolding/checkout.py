"""What a checkout holds that kcd-gen has to do with: KuboCD's resources, outputs, image layouts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.walk import real_directories
from kubocd_gen.diagnostics.problems import Problems
from kubocd_gen.model.project import PROJECT_FILE
from kubocd_gen.model.resources import KUBOCD_GROUP, Resource
from kubocd_gen.sources.documents import KUBOCD_CHART, read_resources
from kubocd_gen.sources.kubocd_chart import Installation, find_installations

KINDS = ("Release", "Context", "Config")
_RECORDS = ".kcd-gen"
_LAYOUT = "oci-layout"
_USUAL_LAYOUT = "vendor/packages"


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found; paths are relative to the checkout's root.

    `kinds` are those of KuboCD's resources by file, with `kubocd-ctrl` for a HelmRelease of that chart.
    `namespaces` say where KuboCD reads Configs, by the file that says so. `outputs` are folders that kcd-gen wrote,
    `layouts` OCI image layouts, `projects` folders with a project file.
    """

    kinds: Mapping[str, Counter[str]]
    namespaces: Mapping[str, frozenset[str]]
    outputs: tuple[str, ...]
    layouts: tuple[str, ...]
    projects: tuple[str, ...]

    @property
    def vendor(self) -> str | None:
        """The layout that is consulted for packages: the only one, or the one at the usual place."""
        return (
            self.layouts[0] if len(self.layouts) == 1 else next((x for x in self.layouts if x == _USUAL_LAYOUT), None)
        )

    def counted(self, files: Iterable[str]) -> Counter[str]:
        """How many resources of each kind are in `files`."""
        return sum((self.kinds[file] for file in files), Counter())

    def namespace(self, files: Iterable[str]) -> str | None:
        """The namespace of KuboCD, where `files` say one and no other."""
        said = frozenset[str]().union(*(self.namespaces.get(file, frozenset()) for file in files))
        return next(iter(said)) if len(said) == 1 else None


def find_contents(root: Path) -> Contents:
    """What the checkout at `root` holds. What can't be read is passed over: a build will say so."""
    outputs, layouts, projects = _folders(root)
    unheard = Problems()
    resources = read_resources(["."], root, [root / output for output in outputs], unheard).resources
    installations = find_installations(resources, unheard)
    kinds: dict[str, Counter[str]] = {}
    for kind, resource in (*_of_kubocd(resources), *_of_chart(resources, installations)):
        path = _existing(resource.file.path, root)
        kinds.setdefault(path, Counter())[kind] += 1
    return Contents(kinds, _namespaces(resources, installations, root), outputs, layouts, projects)


def _of_kubocd(resources: Sequence[Resource]) -> list[tuple[str, Resource]]:
    return [(one.kind, one) for one in resources if one.group == KUBOCD_GROUP and one.kind in KINDS]


def _of_chart(resources: Sequence[Resource], installations: Sequence[Installation]) -> list[tuple[str, Resource]]:
    """The HelmReleases of KuboCD's chart, and where these take it from, which says its version."""
    urls = [(one, str(one.spec.get("url", ""))) for one in resources if one.kind == "OCIRepository"]
    charts = [one for one, url in urls if url.rstrip("/").rpartition("/")[2] == KUBOCD_CHART]
    return [(KUBOCD_CHART, one) for one in (*(each.release for each in installations), *charts)]


def _namespaces(
    resources: Sequence[Resource], installations: Sequence[Installation], root: Path
) -> dict[str, frozenset[str]]:
    """As the installations say, and where there is none, the Configs."""
    said = [(each.release, each.namespace) for each in installations] or [
        (one, one.namespace) for one in resources if one.group == KUBOCD_GROUP and one.kind == "Config"
    ]
    found: dict[str, frozenset[str]] = {}
    for resource, namespace in said:
        if namespace:
            path = _existing(resource.file.path, root)
            found[path] = found.get(path, frozenset()) | {namespace}
    return found


def _folders(root: Path) -> tuple[tuple[str, ...], ...]:
    """The outputs, image layouts and projects below `root`; hidden folders are left out, and links not followed."""
    outputs, layouts, projects = [], [], []
    for folder, folders, names in real_directories(root, Budget()):
        path = folder.relative_to(root).as_posix()
        if _RECORDS in folders:
            outputs.append(path)
        if _LAYOUT in names and "index.json" in names:
            layouts.append(path)
        if PROJECT_FILE in names:
            projects.append(path)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return tuple(outputs), tuple(layouts), tuple(projects)


def _existing(path: str, root: Path) -> str:
    """`path`, or the folder above it that a project file can name: a name on disk can be any bytes."""
    while path and not os.path.lexists(root / path):
        path = path.rpartition("/")[0]
    return path or "."
