"""What a command compiles with: helm and the packages, by its flags and the project's lock file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kubocd_gen.budget.spending import Budget
from kubocd_gen.budget.watchdog import watched
from kubocd_gen.cli.options import CompilingOptions
from kubocd_gen.cli.terminal import Progress, progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError

if TYPE_CHECKING:  # `--help` needs none of them
    from kubocd_gen.helm.engine import Helm
    from kubocd_gen.model.project import Project
    from kubocd_gen.packages.lock import Lock
    from kubocd_gen.packages.source import PackageSources
    from kubocd_gen.pipeline.build import Built
    from kubocd_gen.pipeline.chart_push import PushedChart


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a compilation. `version` waits for helm's version and returns it, or None if it is not known."""

    helm: Helm
    packages: PackageSources
    lock: Lock | None
    line: Progress
    version: Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The compiled clusters, all problems, helm's version if it was requested, and the charts that were pushed."""

    built: Sequence[Built]
    problems: Sequence[Problem]
    helm_version: str | None
    pushed: Sequence[PushedChart] = ()


def helm_of(options: CompilingOptions, budget: Budget) -> Helm:
    """Return helm as set by `--helm`, `--jobs` and `--debug`. Raises ProblemsError."""
    from kubocd_gen.helm.engine import Helm
    from kubocd_gen.helm.process import find_helm

    # Threads here start helm, wait for it and read files. With Python's default of 5 ms, the waits for another thread's
    # computation add up to more than a helm run.
    sys.setswitchinterval(0.0005)
    debug_dir = Path(".kcd-gen-debug") if options.debug else None
    return Helm(find_helm(options.helm), jobs=options.job_count, budget=budget, debug_dir=debug_dir)


@contextmanager
def checked_version(
    helm: Helm, lock: Lock | None, problems: Problems, *, locked: bool, report_version: bool = False
) -> Iterator[Callable[[], str | None]]:
    """Compare helm's version with the one in the lock file, and warn at the end of the block if they differ.

    Yields a function that waits for the version and returns it, or None if it is not needed or helm failed, which is an
    error in `problems`. Raises ProblemsError if the versions differ and `locked` is set.
    """
    if not (report_version or (lock and lock.helm)):
        yield lambda: None
        return
    from concurrent.futures import ThreadPoolExecutor

    from kubocd_gen.helm.process import helm_version, old_helm
    from kubocd_gen.pipeline.helm_lock import other_helm

    with ThreadPoolExecutor(1) as background:
        # `helm version` takes as long as a small build, so it runs in the background.
        run = background.submit(helm_version, helm.pool.binary)

        def version() -> str | None:
            with problems.collect():
                return run.result()
            return None

        if locked and (problem := other_helm(lock, run.result())):
            raise ProblemsError(problem)
        yield version
        if found := version():
            for problem in (other_helm(lock, found), old_helm(found)):
                if problem:
                    problems.warning(problem)


@contextmanager
def tools(
    options: CompilingOptions, project: Project, problems: Problems, *, report_version: bool = False
) -> Iterator[Tools]:
    """Open the tools for `project`. On exit, warnings about registries and helm's version are added to `problems`.

    The warnings about registries are also added after an error, because they can be its cause.

    With `report_version`, helm's version is determined even if the lock file has none. Raises ProblemsError if helm is
    missing, or if `--locked` is given and helm's version differs from the lock file's.
    """
    from kubocd_gen.pipeline.packages import package_sources, project_lock

    lock = project_lock(project)
    helm = helm_of(options, project.budget)
    with (
        progress(wanted=not options.no_progress) as line,
        watched(project.budget),
        checked_version(helm, lock, problems, locked=project.locked, report_version=report_version) as version,
    ):
        packages = package_sources(project, line, lock=lock, jobs=options.job_count)
        try:
            yield Tools(helm, packages, lock, line, version)
        finally:
            for warning in packages.warnings():
                problems.warning(warning)
            packages.close()
