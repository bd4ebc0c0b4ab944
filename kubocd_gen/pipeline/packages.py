"""The sources of a project's packages, by its project file and flags."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kubocd_gen.checkout.files import LOCK
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.directory import write_whole
from kubocd_gen.files.paths import display_path, hint_of, shown_path
from kubocd_gen.model.project import Project
from kubocd_gen.packages.lock import Lock, lock_text, read_lock
from kubocd_gen.packages.source import PackageSources

if TYPE_CHECKING:
    from kubocd_gen.network.settings import Network
    from kubocd_gen.oci.layout import OciLayout
    from kubocd_gen.oci.registry import Registry
    from kubocd_gen.packages.remote import Remote

Progress = Callable[[str], None]


@contextmanager
def closing_on_error(*sources: PackageSources | Remote) -> Iterator[None]:
    """End the requests of all sources if the block raises, because leaving a pool waits for its threads."""
    try:
        yield
    except BaseException:
        for one in sources:
            one.close()
        raise


def project_lock(project: Project) -> Lock | None:
    """Return the project's lock file, None if there is none. Raises ProblemsError as `read_lock` does."""
    path = project.lock_path
    display = display_path(path, project.root, project.origin)
    if os.path.lexists(path):
        project.files.require(path, display)  # also a dangling symlink, which `lock` would write through
    return read_lock(path, display, project.files) if path.exists() else None


def holds_lock(project: Project, lock: Lock) -> bool:
    """Return whether the project's lock file has exactly this content."""
    path = project.lock_path
    try:
        return project.files.read(path, display_path(path, project.root), LOCK) == lock_text(lock).encode()
    except OSError:
        return False


def write_lock(project: Project, lock: Lock) -> None:
    """Replace the project's lock file. Raises ProblemsError `unwritable-lock`."""
    try:
        write_whole(project.lock_path, lock_text(lock).encode())
    except OSError as error:
        message = f"cannot write {shown_path(project.lock_path)}: {error.strerror}"
        raise ProblemsError.of("unwritable-lock", message, hint=hint_of(error)) from error


def vendor_layout(project: Project) -> OciLayout | None:
    """Return the project's vendor layout, even if it does not exist; None if none is configured."""
    from kubocd_gen.oci.layout import OciLayout

    if project.vendor is None:
        return None
    return OciLayout(project.vendor, display_path(project.vendor, project.root), project.limits, project.files)


def network(project: Project, progress: Progress) -> Network:
    """Return the network settings of the run."""
    from kubocd_gen.network.settings import Network

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
    """Return the registries and the cache. Connections and the client's import are deferred until the first request."""
    from kubocd_gen.packages.cache import Cache, cache_directory
    from kubocd_gen.packages.remote import Remote

    def connect() -> Registry:
        from kubocd_gen.oci.registry import Registry  # imported late: a vendored build does not need it

        return Registry(network(project, progress))

    return Remote(connect, Cache(cache_directory(os.environ, project.cache)))


def package_sources(project: Project, progress: Progress, *, lock: Lock | None, jobs: int) -> PackageSources:
    """Return the package sources: vendor layout, cache and registries, restricted by the lock file."""
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
