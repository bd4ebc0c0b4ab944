"""`make bench`: a tiny fleet is measured once, and its changes are real and undone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.benchmarks.__main__ import markdown
from tests.benchmarks.checkout import Checkout
from tests.benchmarks.costs import Command, peak_memory, run
from tests.benchmarks.fleet import PACKAGES, write_fleet
from tests.support.workspace import files_below

ROOT = Path(__file__).resolve().parents[2]
MEASURED = (
    *("cold", "no change", "--check", "one Release", "one Context", "one package", "diff, one Release", "lint"),
    *("python, bare", "--version", "--help", "build --help", "completion"),
)


def python(text: str, tmp_path: Path, codes: tuple[int, ...] = (0,)) -> Command:
    return Command((sys.executable, "-c", text), tmp_path, os.environ, codes)


def test_the_time_of_all_processes_counts(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    cost = run(
        python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])", tmp_path), tmp_path / "l"
    )
    assert cost.processor >= 0.2
    assert cost.wall >= 0.2


def test_the_memory_of_all_processes_counts(tmp_path: Path) -> None:
    hold = "import time; held = b'x' * (50 << 20); time.sleep(0.5)"
    text = f"import subprocess, sys; one = [subprocess.Popen([sys.executable, '-c', {hold!r}]) for _ in '12']\n"
    peak = peak_memory(python(f"{text}for each in one: each.wait()", tmp_path), tmp_path / "log")
    assert peak is None or 100 << 20 < peak < 200 << 20


def test_a_run_that_fails_is_not_measured(tmp_path: Path) -> None:
    failing = "import sys; sys.exit('no memory left')"
    for measure in (run, peak_memory):
        with pytest.raises(RuntimeError, match="no memory left"):
            measure(python(failing, tmp_path), tmp_path / "log")
    assert run(python(failing, tmp_path, (0, 1)), tmp_path / "log").wall > 0


def test_half_of_the_releases_use_a_context_and_each_package_has_a_release(tmp_path: Path) -> None:
    sources, _ = write_fleet(tmp_path, 4 * PACKAGES)
    releases = [yaml.safe_load(path.read_bytes()) for path in (sources / "releases").iterdir()]
    used = [one["spec"]["contexts"][0]["name"] for one in releases]
    assert used.count("zone-north") == len(used) / 2
    assert len({one["spec"]["package"]["repository"] for one in releases}) == PACKAGES


def test_the_table_has_a_column_for_each_fleet() -> None:
    def result(fleet: str, name: str, runs: float) -> dict[str, Any]:
        return {
            "fleet": fleet,
            "name": name,
            "wallRuns": runs,
            "processorRuns": runs * 2,
            "memory": int(runs * (1 << 20)),
        }

    found = [result("start-up", "--help", 1), result("3 Releases", "cold", 2), result("9 Releases", "cold", 3)]
    found += [{**result(fleet, "lint", 4), "memory": None} for fleet in ("3 Releases", "9 Releases")]
    assert list(markdown(found)) == [
        "| | 3 Releases: wall | CPU | memory | 9 Releases: wall | CPU | memory |",
        "|---|--:|--:|--:|--:|--:|--:|",
        "| cold | 2.0 | 4.0 | 2 MiB | 3.0 | 6.0 | 3 MiB |",
        "| lint | 4.0 | 8.0 | ? | 4.0 | 8.0 | ? |",
        "",
        "| | wall | CPU | memory |",
        "|---|--:|--:|--:|",
        "| --help | 1.0 | 2.0 | 1 MiB |",
    ]


@pytest.mark.slow
def test_changes_are_real_and_undone(tmp_path: Path) -> None:
    sources, layout = write_fleet(tmp_path / "fleet", 4 * PACKAGES)
    checkout = Checkout.write(tmp_path / "made/project", sources, layout, sys.executable, None)

    def state() -> dict[str, bytes]:
        return {name: data for name, data in files_below(checkout.root).items() if not name.startswith(".git/")}

    before = state()
    assert len(checkout.releases) == 4 * PACKAGES
    for change, releases in ((checkout.one_release, 1), (checkout.one_context, 2 * PACKAGES), (checkout.package, 4)):
        seen = set()
        for _ in range(2):
            with change():
                checkout.settle()
                after = state()
                found = {name for name in before if name.startswith("output/flux/") and after[name] != before[name]}
                assert len(found - {"output/flux/kustomization.yaml"}) == releases
                seen.add(after[min(found)])
            checkout.settle()
            assert state() == before
        assert len(seen) == 2  # no change is made twice


@pytest.mark.slow
@pytest.mark.parametrize("given", [False, True])
def test_everything_is_measured(tmp_path: Path, given: bool) -> None:
    flags = ["--sizes", "3"]
    if given:
        flags = ["--fleet", *map(str, write_fleet(tmp_path, 4))]
        (tmp_path / "sources/zone-north.yaml").rename(tmp_path / "sources/north.yaml")
    command = [sys.executable, "-m", "tests.benchmarks", *flags, "--rounds", "1", "--json", str(tmp_path / "report")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "report").read_text())["results"]
    assert {one["name"] for one in results} == {"helm template, bare", *MEASURED}
    assert all(one["wall"] > 0 and one["processor"] > 0 and one["wallRuns"] > 0 for one in results)
    assert all(f"\n{name} " in done.stdout for name in MEASURED)
