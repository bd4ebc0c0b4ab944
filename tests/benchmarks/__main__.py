"""Compare kcd-gen with a bare `helm template` of a one-line chart, measured in the same run.

    python -m tests.benchmarks [--sizes 100,1000] [--rounds 5] [--json FILE] [--fleet SOURCES LAYOUT] [--against PYTHON]

Each round takes one sample of everything, because other load on the machine then affects all of them; the medians are
compared. A change is made before its sample and undone after it, and its result was never built before.
docs/performance.md describes what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubocd_gen.helm.process import find_helm, helm_version
from tests.benchmarks.checkout import Checkout
from tests.benchmarks.costs import Command, Cost, median, peak_memory, run
from tests.benchmarks.fleet import write_fleet

START_UP = "start-up"
SHORT = 5  # samples of a run that takes a few milliseconds, per round


@dataclass
class Subject:
    """Something to measure. `before` is done before each sample, and `changed` lasts for the sample."""

    name: str
    command: Command
    before: Callable[[], None] = lambda: None
    changed: Callable[[], AbstractContextManager[None]] = nullcontext
    after: Callable[[], None] = lambda: None
    short: bool = False
    costs: list[Cost] = field(default_factory=list)
    memory: int | None = None

    def sample(self, log: Path) -> None:
        for _ in range(SHORT if self.short else 1):
            self.before()
            with self.changed():
                self.costs.append(run(self.command, log))
            self.after()

    def measure_memory(self, log: Path) -> None:
        self.before()
        with self.changed():
            self.memory = peak_memory(self.command, log)
        self.after()


def main() -> int:
    """Print the tables."""
    options = _options()
    results: list[dict[str, Any]] = []
    helm = find_helm()
    about = {
        "python": platform.python_version(),
        "helm": helm_version(helm),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "rounds": options.rounds,
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    with tempfile.TemporaryDirectory(prefix="kcd-gen-bench-") as directory:
        work = Path(directory)
        pythons = [sys.executable, *options.against]
        yardstick = _yardstick(work, str(helm))
        results += _compare(START_UP, yardstick, _start_up(work, pythons), options, work / "log")
        for size in [0] if options.fleet else options.sizes:
            root = work / str(size)
            sources, layout = options.fleet or write_fleet(root / "fleet", size)
            subjects = []
            for number, python in enumerate(pythons):
                place = root / str(number) / "project"
                checkout = Checkout.write(place, sources, layout, python, options.half)
                mark = "" if number == 0 else f" ({number + 1})"
                subjects += _subjects(checkout, mark)
            chosen = [one for one in subjects if not options.only or any(word in one.name for word in options.only)]
            title = f"{len(checkout.releases)} Releases"
            results += _compare(title, yardstick, chosen, options, work / "log")
    if options.markdown:
        print("\n" + "\n".join(markdown(results)))
    if options.json:
        options.json.write_text(json.dumps({**about, "results": results}, indent=1) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument(
        "--sizes", default=[100, 1000], type=lambda text: [int(one) for one in text.split(",")], help="[100,1000]"
    )
    parser.add_argument("--rounds", default=5, type=int, help="samples of each run [5]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.add_argument(
        "--fleet", nargs=2, type=lambda text: Path(text).resolve(), metavar=("SOURCES", "LAYOUT"), help="a given fleet"
    )
    parser.add_argument("--half", metavar="KEY", help="what changes in the Context that half of the Releases use")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="only what contains this word")
    parser.add_argument("--against", action="append", default=[], metavar="PYTHON", help="also measure its kcd-gen")
    parser.add_argument("--markdown", action="store_true", help="also print the table of docs/performance.md")
    parser.add_argument("--no-memory", action="store_true", help="leave out the round that measures the memory")
    return parser.parse_args()


def markdown(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table of all fleets: multiples of the yardstick in wall and CPU time, and memory."""
    fleets = list(dict.fromkeys(one["fleet"] for one in results if one["fleet"] != START_UP))
    cells = {(one["fleet"], one["name"]): one for one in results}
    names = list(dict.fromkeys(one["name"] for one in results if one["fleet"] != START_UP))
    yield "| |" + "".join(f" {name}: wall | CPU | memory |" for name in fleets)
    yield "|---|" + "--:|--:|--:|" * len(fleets)
    for name in names:
        found = [cells[fleet, name] for fleet in fleets]
        figures = (
            f" {one['wallRuns']:.1f} | {one['processorRuns']:.1f} | {_mebibytes(one['memory'])} |" for one in found
        )
        yield f"| {name} |{''.join(figures)}"
    yield ""
    yield "| | wall | CPU | memory |"
    yield "|---|--:|--:|--:|"
    for one in results:
        if one["fleet"] == START_UP:
            yield f"| {one['name']} | {_figures_of(one)} |"


def _figures_of(one: Mapping[str, Any]) -> str:
    return f"{one['wallRuns']:.1f} | {one['processorRuns']:.1f} | {_mebibytes(one['memory'])}"


def _mebibytes(size: int | None) -> str:
    return "?" if size is None else f"{size / (1 << 20):.0f} MiB"


def _yardstick(work: Path, helm: str) -> Subject:
    chart = work / "bare"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: bare\nversion: 1.0.0\n")
    (chart / "templates/one.yaml").write_text("one: {{ 1 }}\n")
    return Subject("helm template, bare", Command((helm, "template", "bare", str(chart)), work, os.environ), short=True)


def _start_up(work: Path, pythons: list[str]) -> list[Subject]:
    place = work / "empty"
    place.mkdir()
    subjects = []
    for number, python in enumerate(pythons):
        checkout = Checkout(place, python, "")
        line = "kcd-gen build --"
        words = {"_KCD_GEN_COMPLETE": "bash_complete", "COMP_LINE": line, "COMP_POINT": str(len(line))}
        mark = "" if number == 0 else f" ({number + 1})"
        bare = Command((python, "-c", "pass"), place, checkout.command().environment)
        subjects += [
            Subject(f"python, bare{mark}", bare, short=True),
            Subject(f"--version{mark}", checkout.command("--version"), short=True),
            Subject(f"--help{mark}", checkout.command("--help"), short=True),
            Subject(f"build --help{mark}", checkout.command("build", "--help"), short=True),
            Subject(f"completion{mark}", checkout.command(variables=words), short=True),
        ]
    return subjects


def _subjects(checkout: Checkout, mark: str) -> list[Subject]:
    build, check = checkout.compiling("build"), checkout.compiling("build", "--check")
    diff = checkout.compiling("diff", "--ref", "HEAD")
    lint = checkout.compiling("lint", codes=(0, 1))
    settle = checkout.settle
    return [
        Subject(f"cold{mark}", build, before=checkout.forget),
        Subject(f"no change{mark}", build),
        Subject(f"--check{mark}", check),
        Subject(f"one Release{mark}", build, changed=checkout.one_release, after=settle),
        Subject(f"one Context{mark}", build, changed=checkout.one_context, after=settle),
        Subject(f"one package{mark}", build, changed=checkout.package, after=settle),
        Subject(f"diff, one Release{mark}", diff, changed=checkout.one_release),
        Subject(f"lint{mark}", lint),
    ]


def _compare(
    title: str, yardstick: Subject, subjects: list[Subject], options: argparse.Namespace, log: Path
) -> list[dict[str, Any]]:
    """Measure the subjects together with the yardstick, print a table, and return its figures."""
    yardstick.costs = []
    for _ in range(options.rounds):
        for subject in (yardstick, *subjects):
            subject.sample(log)
    for subject in () if options.no_memory else (yardstick, *subjects):
        subject.measure_memory(log)
    figures = list(_figures(title, yardstick, subjects))
    print(f"\n{title:24}{'wall':>10}{'runs':>8}{'CPU':>10}{'runs':>8}{'memory':>11}")
    for one in figures:
        print(
            f"{one['name']:24}{one['wall'] * 1000:7.0f} ms{one['wallRuns']:8.1f}"
            f"{one['processor'] * 1000:7.0f} ms{one['processorRuns']:8.1f}{_mebibytes(one['memory']):>11}",
            flush=True,
        )
    return figures


def _figures(title: str, yardstick: Subject, subjects: list[Subject]) -> Iterator[dict[str, Any]]:
    unit = median(yardstick.costs)
    for subject in (yardstick, *subjects):
        cost = median(subject.costs)
        yield {
            "fleet": title,
            "name": subject.name,
            "wall": round(cost.wall, 4),
            "wallRuns": round(cost.wall / unit.wall, 2),
            "processor": round(cost.processor, 4),
            "processorRuns": round(cost.processor / unit.processor, 2),
            "memory": subject.memory,
            "samples": [[round(one.wall, 4), round(one.processor, 4)] for one in subject.costs],
        }


if __name__ == "__main__":
    sys.exit(main())
