"""Compile a parity case twice, as differently as two machines can, and compare every byte of the outputs.

    python -m tests.parity.same_bytes CASE_DIRECTORY

The second compilation reads a copy of the sources that was created in another order and directory, with another time
zone, locale, umask, hash seed and number of jobs. `CASE_DIRECTORY/../../layout.py` makes the packages.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ENVIRONMENTS = (
    {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    {"TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"},
)
UMASKS = (0o022, 0o077)
JOBS = ("1", "7")


def main() -> int:
    """Return exit status 0 if both outputs are the same."""
    case = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        subprocess.run(
            [sys.executable, str(case.parent.parent / "layout.py"), str(case), str(work / "layout")], check=True
        )
        outputs = [_compile(case, work, index) for index in range(len(ENVIRONMENTS))]
        different = _differences(*outputs)
        files = sum(path.is_file() for path in outputs[0].rglob("*"))
    for path in different:
        print(f"differs: {path}")
    print(f"{files} files compared")
    return 1 if different or not files else 0


def _compile(case: Path, work: Path, index: int) -> Path:
    home = work / f"run{index}" / ("deeper" * index)
    home.mkdir(parents=True)
    files = sorted(path for path in (case / "cluster").rglob("*") if path.is_file())
    for path in files if index == 0 else reversed(files):
        copy = home / "cluster" / path.relative_to(case / "cluster")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    command = [sys.executable, "-m", "kubocd_gen", "build", "--source", "cluster", "--output", "out", "--offline"]
    command += ["--vendor", str(work / "layout"), "--jobs", JOBS[index], "--quiet"]
    subprocess.run(command, cwd=home, env=os.environ | ENVIRONMENTS[index], umask=UMASKS[index], check=True)
    return home / "out"


def _differences(one: Path, other: Path) -> list[Path]:
    names = {path.relative_to(root) for root in (one, other) for path in root.rglob("*")}
    return sorted(
        name
        for name in names
        if (one / name).is_file() != (other / name).is_file()
        or ((one / name).is_file() and not filecmp.cmp(one / name, other / name, shallow=False))
    )


if __name__ == "__main__":
    sys.exit(main())
