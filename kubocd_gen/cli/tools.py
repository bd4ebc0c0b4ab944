"""What a command compiles with: helm and the packages, as its flags and the project's lock say."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubocd_gen.budget.spending import Budget
from kubocd_gen.budget.watchdog import watched
from kubocd_gen.cli.options import CompilingOptions
from kubocd_gen.cli.progress import Progress, progress
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.helm.binary import find_helm, helm_version
from kubocd_gen.helm.engine import Helm
from kubocd_gen.model.project import Project
from kubocd_gen.packages.lock import Lock
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline.build import Built
from kubocd_gen.pipeline.lock import other_helm
from kubocd_gen.pipeline.packages import package_sources, project_lock


@dataclass(frozen=True, slots=True)
class Tools:
    """`version` waits for helm's, which is None where nobody needs to know it."""

    helm: Helm
    packages: PackageSources
    lock: Lock | None
    line: Progress
    version: Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was compiled, every problem of it, and helm's version if it was asked for."""

    built: Sequence[Built]
    problems: Sequence[Problem]
    helm_version: str | None


def helm_of(options: CompilingOptions, budget: Budget) -> Helm:
    """Helm as `--helm`, `--jobs` and `--debug` say. Raises ProblemsError."""
    # Threads here start and await helm and read files. By default one gets its turn only every 5 ms while another
    # computes, which adds up to more than a helm run.
    sys.setswitchinterval(0.0005)
    debug_dir = Path(".kcd-gen-debug") if options.debug else None
    return Helm(find_helm(options.helm), jobs=options.job_count, budget=budget, debug_dir=debug_dir)


@contextmanager
def tools(
    options: CompilingOptions, project: Project, findings: Problems, *, report_version: bool = False
) -> Iterator[Tools]:
    """The tools for `project`. What is to be known of registries and of helm's version is in `findings` at the end.

    With `report_version` helm is asked for its version even if the lock names none. Raises ProblemsError where there is
    no helm, or another than the lock's under `--locked`.
    """
    lock = project_lock(project)
    helm = helm_of(options, project.budget)
    with ThreadPoolExecutor(1) as beside, progress(wanted=not options.no_progress) as line, watched(project.budget):
        # Asking helm for its version takes as long as a small build.
        asked = beside.submit(helm_version, helm.binary) if report_version or (lock and lock.helm) else None
        if asked and project.locked and (problem := other_helm(lock, asked.result())):
            raise ProblemsError(problem)
        packages = package_sources(project, line, lock=lock, jobs=options.job_count)
        try:
            yield Tools(helm, packages, lock, line, lambda: asked.result() if asked else None)
            for warning in packages.warnings():
                findings.warning(warning)
            if asked and (problem := other_helm(lock, asked.result())):
                findings.warning(problem)
        finally:
            packages.close()
