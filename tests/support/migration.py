"""Three Releases, compiled once, and the cluster in which KuboCD's controller deployed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubocd_gen.diagnostics.problems import Problems
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.process import find_helm
from kubocd_gen.migration.checks import Checked, check
from kubocd_gen.migration.live import FLUX_KINDS, live_cluster
from kubocd_gen.model.compilation import Compilation
from kubocd_gen.model.project import Flags
from kubocd_gen.pipeline import compile_cluster
from kubocd_gen.pipeline.packages import package_sources
from kubocd_gen.sources.project_file import load_project
from tests.support import cluster
from tests.support.cluster import Object
from tests.support.workspace import WEB, Workspace

NAMES = ("api", "shop", "web")


@dataclass(frozen=True, slots=True)
class Scene:
    """The compiled output and the cluster at each step of a migration; each call makes new objects."""

    compilation: Compilation

    @property
    def documents(self) -> list[Any]:
        return [document for one in self.compilation.releases for document in one.documents]

    def releases(self) -> list[Object]:
        repository, _, tag = WEB.rpartition(":")
        package = {"repository": repository, "tag": tag}
        return [cluster.release("default", name, {"package": dict(package)}) for name in NAMES]

    def kubocd(self) -> list[Object]:
        """KuboCD's controller is running."""
        live = [cluster.by_kubocd(document) for document in self.documents]
        return [*self.releases(), *live, cluster.kubocd_deployment(2), cluster.webhook()]

    def stopped(self) -> list[Object]:
        live = [cluster.by_kubocd(document) for document in self.documents]
        return [*self.releases(), *live, cluster.kubocd_deployment(0), cluster.kustomization()]

    def applied(self) -> list[Object]:
        """Flux has applied, and shares all fields with KuboCD."""
        live = [cluster.taken_over(document, cluster.by_kubocd(document)) for document in self.documents]
        return [*self.releases(), *live, cluster.kubocd_deployment(0), cluster.kustomization()]

    def transferred(self) -> list[Object]:
        return [cluster.transferred(one) if one["kind"] in FLUX_KINDS else one for one in self.applied()]

    def without_releases(self) -> list[Object]:
        """The Releases are deleted; the chart was installed with helm."""
        kept = [one for one in self.transferred() if one["kind"] != "Release"]
        return [*kept, cluster.crd("releases.kubocd.kubotal.io"), *cluster.surroundings()]

    def uninstalled(self) -> list[Object]:
        """The chart is uninstalled; KuboCD's CRDs are left."""
        kept = [one for one in self.without_releases() if one["kind"] != "Deployment"]
        return [*kept, flux_controller()]

    def installed_by_flux(self, **values: Any) -> list[Object]:
        """As `without_releases`, but with the chart's HelmRelease."""
        applier = cluster.kustomization()
        applier["metadata"]["name"] = "flux-system"
        return [*self.without_releases(), cluster.chart_release(**values), applier]

    def check(self, objects: Sequence[Object]) -> Checked:
        return check(live_cluster(objects), self.compilation, "kubocd")


def compiled(root: Path, more: str = "") -> Scene:
    """Compile the three Releases; `more` are additional fields of web's."""
    workspace = Workspace(root)
    workspace.package()
    for name in NAMES:
        workspace.release(name, "parameters: {replicas: 2}\n" + (more if name == "web" else ""))
    flags = Flags(sources=(str(root / "sources"),), output=workspace.output, vendor=root / "packages", offline=True)
    project = load_project(flags, root)
    problems = Problems()
    packages = package_sources(project, lambda _: None, lock=None, jobs=1)
    compilation = compile_cluster(project, project.clusters[0], packages, Helm(find_helm(None), jobs=1), problems)
    assert not [one for one in problems if one.severity == "error"]
    return Scene(compilation)


def flux_controller() -> Object:
    """Return a Deployment that is not KuboCD's."""
    one = cluster.kubocd_deployment(1)
    one["metadata"] = {"name": "helm-controller", "namespace": "flux-system"}
    one["spec"]["template"] = {"spec": {"containers": [{"name": "manager", "args": ["--log-level=info"]}]}}
    return one


def found(objects: Sequence[Object], kind: str, name: str) -> Object:
    return next(one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)
