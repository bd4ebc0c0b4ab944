"""Compare the time of kcd-gen with a bare `helm template` of a one-line chart, measured side by side.

    python -m tests.benchmarks [SOURCES LAYOUT]

SOURCES (a directory of Releases) and LAYOUT (an OCI image layout with their packages) are compiled instead of the
synthetic fleet of 24 Releases. Each round takes one sample of everything, because other load on the machine then
affects all of them; the medians are compared.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kubocd_gen.helm.process import find_helm
from tests.benchmarks.fleet import write_cluster
from tests.support.charts import commit_all, git

ROUNDS = 15


def main() -> int:
    """Print a table of medians and ratios."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        given = [Path(argument).resolve() for argument in sys.argv[1:3]]
        sources, layout = given or write_cluster(work / "fleet", releases=24)
        chart = work / "bare"
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: bare\nversion: 1.0.0\n")
        (chart / "templates/one.yaml").write_text("one: {{ 1 }}\n")
        kcd_gen = (sys.executable, "-m", "kubocd_gen")
        build = (
            *kcd_gen,
            "build",
            "--source",
            str(sources),
            "--vendor",
            str(layout),
            "--dependencies",
            "ignore",
            "--quiet",
        )
        repository = _repository(work / "repository", sources, layout)
        diff = (
            *kcd_gen,
            "diff",
            "--project",
            str(repository / "kcd-gen.yaml"),
            "--ref",
            "HEAD",
            "--allow-outside",
            str(layout),
        )
        output = work / "out"

        def empty_output() -> None:
            shutil.rmtree(output, ignore_errors=True)
            os.sync()  # otherwise the build would wait for the disk to delete the last one

        subjects: dict[str, tuple[tuple[str, ...], Callable[[], None] | None]] = {
            "helm template, bare": ((str(find_helm()), "template", "bare", str(chart)), None),
            "python, bare": ((sys.executable, "-c", "pass"), None),
            "kcd-gen --version": ((*kcd_gen, "--version"), None),
            "build, everything new": ((*build, "--output", str(output)), empty_output),
            "build, nothing to do": ((*build, "--output", str(output)), None),
            "diff, equal revisions": (diff, None),
        }
        samples: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(ROUNDS):
            for name, (command, prepare) in subjects.items():
                if prepare:
                    prepare()
                samples[name].append(_seconds(command))
    unit = statistics.median(samples["helm template, bare"])
    print(f"{'':24}{'median':>10}{'fastest':>10}{'helm runs':>12}")
    for name, found in samples.items():
        median = statistics.median(found)
        print(f"{name:24}{median * 1000:7.0f} ms{min(found) * 1000:7.0f} ms{median / unit:12.1f}")
    over = statistics.median(samples["kcd-gen --version"]) - statistics.median(samples["python, bare"])
    print(f"kcd-gen --version takes {over * 1000:.0f} ms over bare Python")
    return 0


def _repository(directory: Path, sources: Path, layout: Path) -> Path:
    """Create a Git repository with a committed copy of the sources."""
    shutil.copytree(sources, directory / "sources")
    (directory / "kcd-gen.yaml").write_text(
        "apiVersion: kcd-gen/v1alpha1\nkind: Project\ndependencies: ignore\n"
        f"packages: {{vendor: {json.dumps(str(layout))}}}\n"
        "clusters: [{name: prod, sources: [sources], output: output}]\n"
    )
    git(directory, "init", "--quiet")
    commit_all(directory)
    return directory


def _seconds(command: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
