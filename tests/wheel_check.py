"""Build the wheel into dist/, install it in a clean environment, and compile the quickstart with it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = (
    "kubocd_gen/py.typed",
    "kubocd_gen/schemas/flux/helmrelease-v2.json",
    "kubocd_gen/schemas/kcd-gen/report-v1alpha1.json",
    "kubocd_gen/templates/tour.txt.j2",
)


def main() -> int:
    """Return exit status 0 if the installed wheel works by itself."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        _run(sys.executable, "-m", "build", "--wheel", "--outdir", str(work / "dist"), str(ROOT))
        (wheel,) = (work / "dist").glob("*.whl")
        missing = set(EXPECTED) - set(zipfile.ZipFile(wheel).namelist())
        if missing:
            sys.exit(f"not in the wheel: {', '.join(sorted(missing))}")
        venv.create(work / "clean", with_pip=True)
        python, program = work / "clean/bin/python", work / "clean/bin/kcd-gen"
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
        versions = json.loads(_run(str(program), "version", "--format", "json"))
        print(f"kcd-gen {versions['kcd-gen']} with helm {versions['helm']}")
        quickstart = ROOT / "fixtures/quickstart"
        flags = ("--source", str(quickstart / "cluster"), "--vendor", str(quickstart / "packages"))
        print(_run(str(program), "build", *flags, "--output", "out", cwd=work), end="")
        if not (work / "out/flux/default/podinfo1.yaml").is_file():
            sys.exit("the installed kcd-gen wrote nothing")
        _action_installs(work / "runner")
        (ROOT / "dist").mkdir(exist_ok=True)
        kept = Path(shutil.copy(wheel, ROOT / "dist"))
        print(f"{kept.relative_to(ROOT)}#sha256={hashlib.sha256(kept.read_bytes()).hexdigest()}")
    return 0


def _action_installs(runner: Path) -> None:
    """Run the first step of the GitHub Action, from the checkout as the runner sees it."""
    runner.mkdir()
    variables = {
        "PYTHON": sys.executable,
        "INSTALL_FROM": "",
        "GITHUB_ACTION_PATH": str(ROOT),
        "RUNNER_TEMP": str(runner),
    }
    _run(
        "/bin/bash", str(ROOT / "templates/ci/github-action.sh"), "install", cwd=runner, GITHUB_PATH="path", **variables
    )
    directory = (runner / "path").read_text().strip()
    print(f"the action installed {_run(f'{directory}/kcd-gen', '--version', cwd=runner)}", end="")


def _run(*command: str, cwd: Path = ROOT, **variables: str) -> str:
    # A clean environment: nothing from the checkout, and no helm other than the wheel's.
    environment = {
        "PATH": f"{Path(command[0]).parent}:/usr/bin:/bin",
        "HOME": str(cwd),
        "LC_ALL": "C.UTF-8",
        **variables,
    }
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
