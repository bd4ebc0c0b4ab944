"""Run the output of kcd-gen on a real API server and Flux's controllers.

    python -m tests.cluster [--case NAME] [--delivery NAME] [--flux VERSION] [--dry-run] [--build-only] …

Exit codes: 0, everything that was asked for was run and passed; 1, something failed; 3, nothing failed, but a part was
not run, because a program or the sources are not available.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from tests.cluster import programs
from tests.cluster.deliveries import CASES, DELIVERIES
from tests.cluster.processes import ClusterError
from tests.cluster.programs import FLUX, KUBERNETES, Built, Program, UnavailableError
from tests.cluster.rollout import Rollout

NOT_RUN = 3
_FOR_DRY_RUN = {"etcd", "kube-apiserver", "kubectl"}


@dataclass(slots=True)
class Available:
    """The programs and definitions that could be built or downloaded, and those that could not."""

    cache: Path
    jobs: int
    built: dict[Program, Built] = field(default_factory=dict)
    definitions: dict[Program, Path] = field(default_factory=dict)
    missing: set[Program] = field(default_factory=set)

    def build(self, program: Program) -> None:
        """Build a program, and print whether it is available."""
        title = f"{program.name} {program.version}"
        try:
            found = self.built[program] = programs.build(program, self.cache, self.jobs)
        except UnavailableError as error:
            self.missing.add(program)
            print(f"{title}: NOT AVAILABLE: {error}", flush=True)
        else:
            print(f"{title}: " + (f"built in {found.seconds:.0f} s" if found.seconds else "in the cache"), flush=True)

    def define(self, program: Program) -> None:
        """Download the definitions of a controller."""
        try:
            self.definitions[program] = programs.definitions(program, self.cache)
        except UnavailableError as error:
            self.missing.add(program)
            print(f"definitions of {program.name} {program.version}: NOT AVAILABLE: {error}", flush=True)


def main() -> int:
    """Build the programs, run each case in each delivery and version of Flux, and print what was measured."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # processes are stopped on the way out
    available = Available(programs.cache_directory(), options.jobs)
    for program in _programs(options):
        if program not in KUBERNETES:
            available.define(program)
        if program in KUBERNETES or not options.dry_run:
            available.build(program)
    if options.build_only:
        return NOT_RUN if available.missing else 0
    moved = f" to {options.move_to}" if options.move_to else ""
    outcomes = {
        f"{case}, delivery {delivery}{moved}, Flux {flux}": (case, delivery, flux)
        for flux, case, delivery in product(options.flux, options.case, options.delivery)
    }
    results = {}
    for title, run in outcomes.items():
        print(f"\n{title}", flush=True)
        results[title] = _run(*run, available, options)
        print(f"  {results[title]}", flush=True)
    print("\nSummary")
    for title, result in results.items():
        print(f"  {title}: {result.splitlines()[0]}")
    if any(result.startswith("FAILED") for result in results.values()):
        return 1
    return NOT_RUN if any(result.startswith("NOT RUN") for result in results.values()) else 0


def _controllers(delivery: str, options: argparse.Namespace) -> frozenset[str]:
    """Return the controllers that only some deliveries need, for those of a run."""
    moved_to = DELIVERIES[options.move_to].controllers if options.move_to else frozenset()
    return DELIVERIES[delivery].controllers | moved_to


def _needed(flux: str, delivery: str, options: argparse.Namespace) -> set[Program]:
    """Return the programs for a delivery; controllers that only other deliveries need are left out."""
    kubernetes = {one for one in KUBERNETES if not options.dry_run or one.name in _FOR_DRY_RUN}
    optional = frozenset().union(*(one.controllers for one in DELIVERIES.values())) - _controllers(delivery, options)
    return kubernetes | {one for one in FLUX[flux] if one.name not in optional}


def _programs(options: argparse.Namespace) -> list[Program]:
    """Return the programs of all runs, in the order of the tables."""
    needed = set().union(*(_needed(*run, options) for run in product(options.flux, options.delivery)))
    return [program for program in (*KUBERNETES, *(one for line in FLUX.values() for one in line)) if program in needed]


def _run(case: str, delivery: str, flux: str, available: Available, options: argparse.Namespace) -> str:
    needed = _needed(flux, delivery, options)
    if unsupported := _controllers(delivery, options) - _names(needed):
        return f"NOT RUN: Flux {flux} has no {', '.join(sorted(unsupported))}"
    if absent := needed & available.missing:
        return f"NOT RUN: not available: {', '.join(sorted(_names(absent)))}"
    if not CASES[case].sources.is_dir():
        return f"NOT RUN: {CASES[case].sources} does not exist"
    directory = Path(tempfile.mkdtemp(prefix="kcd-gen-cluster-"))
    built = {program.name: found for program, found in available.built.items() if program in needed}
    crds = [available.definitions[program] for program in FLUX[flux] if program in needed]
    move_to = DELIVERIES[options.move_to] if options.move_to else None
    run = Rollout(CASES[case], DELIVERIES[delivery], built, crds, directory, options.timeout, options.dry_run, move_to)
    try:
        run.run()
    except ClusterError as error:
        return f"FAILED: {error}\nLogs are in {directory}"
    if options.keep:
        print(f"  logs are in {directory}", flush=True)
    else:
        shutil.rmtree(directory)
    return "passed"


def _names(selected: Iterable[Program]) -> set[str]:
    return {program.name for program in selected}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append", help="what to compile; repeatable [quickstart]")
    parser.add_argument("--delivery", choices=DELIVERIES, action="append", help="repeatable [server]")
    parser.add_argument("--move-to", choices=DELIVERIES, help="then change the delivery to this one")
    parser.add_argument("--flux", choices=FLUX, action="append", help="the line of Flux; repeatable [2.9]")
    parser.add_argument("--dry-run", action="store_true", help="only let the API server validate the output")
    parser.add_argument("--build-only", action="store_true", help="build the programs, and start nothing")
    parser.add_argument("--jobs", type=int, default=1, help="parallel compilations of Go [1]")
    parser.add_argument("--timeout", type=int, default=300, help="seconds until a commit must be Ready [300]")
    parser.add_argument("--keep", action="store_true", help="keep logs and files of runs that pass, too")
    options = parser.parse_args()
    options.case = options.case or ["quickstart"]
    options.delivery = options.delivery or ["server"]
    options.flux = options.flux or ["2.9"]
    return options


if __name__ == "__main__":
    sys.exit(main())
