"""Run the output of kcd-gen on a real API server and Flux's controllers.

    python -m tests.cluster [--case NAME] [--delivery NAME] [--flux VERSION] [--build-only] …

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
from pathlib import Path

from tests.cluster import programs
from tests.cluster.deliveries import CASES, DELIVERIES
from tests.cluster.processes import ClusterError
from tests.cluster.programs import FLUX, KUBERNETES, Built, Program, UnavailableError
from tests.cluster.rollout import Rollout

NOT_RUN = 3


def main() -> int:
    """Build the programs, run each case in each delivery, and print what was measured."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # processes are stopped on the way out
    built, missing = _build(options)
    if options.build_only:
        return NOT_RUN if missing else 0
    outcomes: list[tuple[str, str]] = []
    for case in options.case:
        for delivery in options.delivery:
            title = f"{case}, delivery {delivery}, Flux {options.flux}"
            needed = _needed(options.flux, delivery)
            absent = sorted(needed - built.keys())
            if DELIVERIES[delivery].controllers - _names(FLUX[options.flux]):
                outcome = f"NOT RUN: not with Flux {options.flux}"
            elif absent:
                outcome = f"NOT RUN: not available: {', '.join(absent)}"
            elif not CASES[case].sources.is_dir():
                outcome = f"NOT RUN: {CASES[case].sources} does not exist"
            else:
                outcome = _run(case, delivery, {name: built[name] for name in needed}, options)
            print(f"{title}: {outcome}", flush=True)
            outcomes.append((title, outcome))
    print("\nSummary")
    for title, outcome in outcomes:
        print(f"  {title}: {outcome.splitlines()[0]}")
    if any(outcome.startswith("FAILED") for _, outcome in outcomes):
        return 1
    return NOT_RUN if any(outcome.startswith("NOT RUN") for _, outcome in outcomes) else 0


def _names(selected: Iterable[Program]) -> set[str]:
    return {program.name for program in selected}


def _needed(version: str, delivery: str) -> set[str]:
    """Return the names of the programs for a delivery; controllers that only other deliveries need are left out."""
    optional = set().union(*(one.controllers for one in DELIVERIES.values()))
    return _names(KUBERNETES) | (_names(FLUX[version]) - optional) | DELIVERIES[delivery].controllers


def _build(options: argparse.Namespace) -> tuple[dict[str, Built], list[str]]:
    cache = programs.cache_directory()
    built, missing = {}, []
    names = set().union(*(_needed(options.flux, delivery) for delivery in options.delivery))
    for program in (*KUBERNETES, *FLUX[options.flux]):
        if program.name not in names:
            continue
        title = f"{program.name} {program.version}"
        try:
            found = built[program.name] = programs.build(program, cache, options.jobs)
        except UnavailableError as error:
            missing.append(program.name)
            print(f"{title}: NOT AVAILABLE: {error}", flush=True)
        else:
            print(f"{title}: " + (f"built in {found.seconds:.0f} s" if found.seconds else "in the cache"), flush=True)
    return built, missing


def _run(case: str, delivery: str, built: dict[str, Built], options: argparse.Namespace) -> str:
    directory = Path(tempfile.mkdtemp(prefix="kcd-gen-cluster-"))
    try:
        Rollout(CASES[case], DELIVERIES[delivery], built, directory, options.timeout).run()
    except ClusterError as error:
        return f"FAILED: {error}\nLogs are in {directory}"
    if options.keep:
        print(f"Logs are in {directory}")
    else:
        shutil.rmtree(directory)
    return "passed"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append", help="what to compile; repeatable [quickstart]")
    parser.add_argument("--delivery", choices=DELIVERIES, action="append", help="repeatable [server]")
    parser.add_argument("--flux", choices=FLUX, default="2.9", help="the line of Flux [2.9]")
    parser.add_argument("--build-only", action="store_true", help="build the programs, and start nothing")
    parser.add_argument("--jobs", type=int, default=1, help="parallel compilations of Go [1]")
    parser.add_argument("--timeout", type=int, default=300, help="seconds until a commit must be Ready [300]")
    parser.add_argument("--keep", action="store_true", help="keep logs and files of runs that pass, too")
    options = parser.parse_args()
    options.case = options.case or ["quickstart"]
    options.delivery = options.delivery or ["server"]
    return options


if __name__ == "__main__":
    sys.exit(main())
