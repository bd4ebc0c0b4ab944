"""What a command compiles with: helm and the packages, as its flags and the project's lock say."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.budget.watchdog import watched
from kubocd_gen.cli.progress import Progress, progress
from kubocd_gen.diagnostics.problems import Problems, ProblemsError
from kubocd_gen.helm.binary import find_helm, helm_version
from kubocd_gen.helm.engine import Helm
from kubocd_gen.model.project import Project
from kubocd_gen.packages.lock import Lock
from kubocd_gen.packages.source import PackageSources
from kubocd_gen.pipeline.locking import other_helm
from kubocd_gen.pipeline.packages import package_sources, project_lock


@dataclass(frozen=True, slots=True)
class Tools:
    """`jobs` is how much to do at a time; `version` waits for helm's, which is None where nobody needs to know it."""

    helm: Helm
    packages: PackageSources
    lock: Lock | None
    jobs: int
    line: Progress
    version: Callable[[], str | None]


def helm_of(given: Mapping[str, Any], budget: Budget) -> tuple[Helm, int]:
    """Helm as `--helm`, `--jobs` and `--debug` say, and how much is done at a time. Raises ProblemsError."""
    # Threads here start and await helm and read files. By default one gets its turn only every 5 ms while another
    # computes, which adds up to more than a helm run.
    sys.setswitchinterval(0.0005)
    jobs = given["jobs"] or os.cpu_count() or 1
    debug_dir = Path(".kcd-gen-debug") if given["debug"] else None
    return Helm(find_helm(given["helm"]), jobs=jobs, budget=budget, debug_dir=debug_dir), jobs


@contextmanager
def tools(given: Mapping[str, Any], project: Project, findings: Problems) -> Iterator[Tools]:
    """The tools for `project`. What is to be known of registries and of helm's version is in `findings` at the end.

    Raises ProblemsError where there is no helm, or another than the lock's under `--locked`.
    """
    lock = project_lock(project)
    helm, jobs = helm_of(given, project.budget)
    with ThreadPoolExecutor(1) as beside, progress(wanted=not given["no_progress"]) as line, watched(project.budget):
        # Asking helm for its version takes as long as a small build.
        asked = beside.submit(helm_version, helm.binary) if given["format_"] == "json" or (lock and lock.helm) else None
        if asked and project.locked and (problem := other_helm(lock, asked.result())):
            raise ProblemsError(problem)
        packages = package_sources(project, line, lock=lock, jobs=jobs)
        try:
            yield Tools(helm, packages, lock, jobs, line, lambda: asked.result() if asked else None)
            for warning in packages.warnings():
                findings.warning(warning)
            if asked and (problem := other_helm(lock, asked.result())):
                findings.warning(problem)
        finally:
            packages.close()
