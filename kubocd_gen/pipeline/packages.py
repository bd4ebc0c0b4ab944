"""The places where a project's packages lie, as its project file and flags say."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from kubocd_gen.files.paths import display_path
from kubocd_gen.model.project import Project
from kubocd_gen.network.settings import Network
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.packages.cache import Cache, cache_folder
from kubocd_gen.packages.lock import Lock, read_lock
from kubocd_gen.packages.remote import Remote
from kubocd_gen.packages.source import PackageSources

if TYPE_CHECKING:
    from kubocd_gen.oci.registry import Registry

Progress = Callable[[str], None]


def project_lock(project: Project) -> Lock | None:
    """The project's lock, None where it has none. Raises ProblemsError as `read_lock` does."""
    path = project.lock_path
    display = project.origin + display_path(path, project.root)
    if os.path.lexists(path):
        project.files.require(path, display)  # a symlink that leads nowhere yet is one that `lock` would write through
    return read_lock(path, display, project.files) if path.exists() else None


def vendor_layout(project: Project) -> OciLayout | None:
    """The layout that the project vendors its packages in, whether or not it exists; None where it names none."""
    if project.vendor is None:
        return None
    return OciLayout(project.vendor, display_path(project.vendor, project.root), project.limits, project.files)


def network(project: Project, progress: Progress) -> Network:
    """What the run can do on the network."""
    return Network(
        project.offline,
        project.ca_file,
        project.mirrors,
        project.limits,
        progress,
        project.clear_text_hosts,
        project.budget,
    )


def remote(project: Project, progress: Progress) -> Remote:
    """Registries and cache. Nothing is connected to, and no client imported, before something is asked for."""

    def connect() -> Registry:
        from kubocd_gen.oci.registry import Registry  # not in a vendored build

        return Registry(network(project, progress))

    return Remote(connect, Cache(cache_folder(os.environ, project.cache)))


def package_sources(project: Project, progress: Progress, *, lock: Lock | None, jobs: int) -> PackageSources:
    """Where the project's commands get packages from."""
    return PackageSources(
        vendor=vendor_layout(project),
        remote=remote(project, progress),
        offline=project.offline,
        lock=lock,
        locked=project.locked,
        limits=project.limits,
        budget=project.budget,
        jobs=jobs,
    )
