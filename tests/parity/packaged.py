"""Compile the parity cases from images that kcd-gen has assembled, and compare with KuboCD's results.

    python -m tests.parity.packaged PARITY_DIRECTORY [CASE...]

Each package of a case is assembled from its `original.yaml` with substitutes for its charts. Then
`PARITY_DIRECTORY/run.py` compiles and compares as it does with its own images. A package that kcd-gen refuses to make
keeps the image from `PARITY_DIRECTORY/layout.py`, because many packages are wrong on purpose; these are counted.
"""

from __future__ import annotations

import importlib
import re
import shutil
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from kubocd_gen.archives.chart import Chart, read_chart
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.oci.layout import OciLayout
from kubocd_gen.oci.layout_writer import LayoutWriter
from kubocd_gen.oci.reference import parse_reference
from kubocd_gen.packaging.assembly import assemble
from kubocd_gen.packaging.build import LayoutTarget
from kubocd_gen.packaging.manifest_file import read_authored

_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]+)\}")

made: Counter[str] = Counter()
_lock = threading.Lock()


def main() -> int:
    """Return the exit status of `run.py`."""
    parity = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(parity))
    sys.dont_write_bytecode = True
    run: Any = importlib.import_module("run")
    theirs: Any = importlib.import_module("layout")

    def write_layout(case: Path, directory: Path) -> None:
        theirs.write_layout(case, directory)
        _replace(case, directory, theirs)

    run.write_layout = write_layout
    sys.argv = [sys.argv[0], *sys.argv[2:]]
    status: int = run.main()
    print(", ".join(f"{count} {what}" for what, count in sorted(made.items())))
    return status if made["assembled"] else 1


def _replace(case: Path, directory: Path, theirs: Any) -> None:
    target = LayoutTarget(LayoutWriter(directory))
    for reference, name in sorted(yaml.safe_load((case / "index.yaml").read_text()).items()):
        try:
            image = assemble(*_authored(case / name, theirs), None)
            target.publish(parse_reference(reference), image, move=True)
            what = "assembled"
            OciLayout(directory).resolve(parse_reference(reference))
        except ProblemsError as error:
            codes = {one.code for one in error.problems}
            what = f"refused ({', '.join(sorted(codes))})"
        with _lock:
            made[what] += 1


def _authored(package: Path, theirs: Any) -> tuple[Any, list[Chart]]:
    with tempfile.TemporaryDirectory() as directory:
        manifest = Path(shutil.copy(package / "original.yaml", directory))
        names = set(_VARIABLE.findall(manifest.read_text(encoding="utf-8")))
        # The content of these files after the packager's expansion must not be expanded again.
        authored = read_authored(manifest, "original.yaml", {name: f"${{{name}}}" for name in names})
    status = yaml.load((package / "status.yaml").read_text(), theirs.Loader).get("chartByModule") or {}  # noqa: S506 - a safe one
    charts = []
    for module in authored.package.modules:
        if module.name not in status:
            raise ProblemsError.of("left-out", "the module is missing in status.yaml of the case")
        chart = status[module.name]
        archive = theirs.chart_archive(chart["name"], str(chart["version"]))
        charts.append(read_chart(archive, describe="a substitute"))
    return authored, charts


if __name__ == "__main__":
    sys.exit(main())
