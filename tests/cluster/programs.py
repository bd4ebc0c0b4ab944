"""The pinned programs of the cluster, built by Go from the module proxy.

Each program is the main package of a published module. Go builds it from a module of its own in the cache directory,
which requires that version and repeats the module's `replace` directives, because Go ignores those of dependencies.
Go verifies every module with its checksum database.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CACHE = "CLUSTER_TESTS_CACHE"
_KUBERNETES = "1.34.2"
_ETCD = "3.6.16"
_GENERATOR = "sigs.k8s.io/controller-tools v0.19.0"
# The version of a module is also that of the modules in its staging directory, with major version 0.
_STAGING = f"v0.{_KUBERNETES.partition('.')[2]}"


@dataclass(frozen=True, slots=True)
class Program:
    """A main package, and the module version that contains it."""

    name: str
    module: str
    version: str
    package: str = ""
    variables: tuple[str, ...] = ()
    api: str = ""
    """The module with the types of its custom resources, of the same version. Empty if its own has the definitions."""

    @property
    def directory(self) -> str:
        """Return the name of its directory in the cache; programs of one module do not share it."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class Built:
    """A program that is ready to run."""

    program: Program
    path: Path
    seconds: float | None = None
    """How long the build took; None if the cache had it."""


class UnavailableError(Exception):
    """Go cannot get or build a program here."""


def _kubernetes(name: str) -> Program:
    major, minor, _ = _KUBERNETES.split(".")
    version = {"gitVersion": f"v{_KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    return Program(
        name,
        "k8s.io/kubernetes",
        f"v{_KUBERNETES}",
        f"/cmd/{name}",
        tuple(f"k8s.io/component-base/version.{key}={value}" for key, value in version.items()),
    )


def _flux(name: str, version: str) -> Program:
    return Program(name, f"github.com/fluxcd/{name}", f"v{version}")


def _source_watcher(version: str) -> Program:
    module = "github.com/fluxcd/source-watcher"
    return Program("source-watcher", f"{module}/v2", f"v{version}", "/cmd", api=f"{module}/api/v2")


KUBERNETES = (
    Program("etcd", "go.etcd.io/etcd/server/v3", f"v{_ETCD}"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kubectl"),
)
FLUX = {
    "2.7": (
        _flux("source-controller", "1.7.3"),
        _flux("kustomize-controller", "1.7.3"),
        _flux("helm-controller", "1.4.3"),
    ),
    "2.9": (
        _flux("source-controller", "1.9.2"),
        _flux("kustomize-controller", "1.9.6"),
        _flux("helm-controller", "1.6.2"),
        _source_watcher("2.2.4"),
    ),
}


def cache_directory() -> Path:
    """Return the directory for built programs: the variable CLUSTER_TESTS_CACHE, or one in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE) or Path(home) / "kcd-gen-cluster")


def build(program: Program, cache: Path, jobs: int) -> Built:
    """Build a program with `jobs` parallel compilations at the lowest priority, unless the cache has it.

    Raises UnavailableError with Go's own message if the module is not served, or does not compile with this Go.
    """
    target = cache / program.directory
    path = target / program.name
    if path.exists():
        return Built(program, path)
    started = time.monotonic()
    with _replacing(target) as scratch:
        module = _download(program, scratch)
        (scratch / "go.mod").write_text(_go_mod(program, Path(module["GoMod"]), scratch))
        flags = "-s -w " + " ".join(f"-X {variable}" for variable in program.variables)
        _go(
            *("build", "-trimpath", "-p", str(jobs), "-ldflags", flags),
            *("-o", str(scratch / program.name), program.module + program.package),
            directory=scratch,
        )
    return Built(program, path, time.monotonic() - started)


def definitions(program: Program, cache: Path) -> Path:
    """Return a directory with the custom resource definitions of a controller of Flux.

    They are files of its module, or generated from the Go types of its API, as the controller's own build does.
    Raises UnavailableError if the module is not served.
    """
    target = cache / f"{program.directory}-definitions"
    if not target.is_dir():
        with _replacing(target) as scratch:
            if program.api:
                _generate_definitions(program, scratch)
            else:
                bases = Path(_download(program, scratch)["Dir"]) / "config" / "crd" / "bases"
                for path in bases.glob("*.yaml"):
                    (scratch / path.name).write_bytes(path.read_bytes())
    return target


def _generate_definitions(program: Program, directory: Path) -> None:
    with _replacing(directory / "generator") as scratch:
        requirements = f"require {program.api} {program.version}\nrequire {_GENERATOR}\n"
        (scratch / "go.mod").write_text(f"module kcd-gen.test/{program.name}-definitions\ngo 1.25.0\n{requirements}")
        tool = "sigs.k8s.io/controller-tools/cmd/controller-gen"
        output = f"output:crd:dir={directory}"
        _go("run", "-p", "1", tool, "crd", f"paths={program.api}/...", output, directory=scratch)
    shutil.rmtree(directory / "generator")


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Yield an empty directory, which becomes `target` if the block succeeds."""
    scratch = target.with_name(f".{target.name}-{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(program: Program, directory: Path) -> dict[str, Any]:
    return _json("mod", "download", "-json", f"{program.module}@{program.version}", directory=directory)


def _go_mod(program: Program, published: Path, directory: Path) -> str:
    """Return the module file from which Go selects the same versions as in the program's own repository."""
    description = _json("mod", "edit", "-json", str(published), directory=directory)
    lines = [
        f"module kcd-gen.test/{program.name}",
        f"go {description['Go']}",
        f"require {program.module} {program.version}",
    ]
    lines += [f"godebug {item['Key']}={item['Value']}" for item in description.get("Godebug") or ()]
    for replaced in description.get("Replace") or ():
        old, new = replaced["Old"]["Path"], replaced["New"]
        if "Version" in new:
            lines.append(f"replace {old} => {new['Path']} {new['Version']}")
        elif new["Path"].startswith("./staging/"):  # required as v0.0.0; published as a module of its own
            lines.append(f"replace {old} => {old} {_STAGING}")
    return "\n".join(lines) + "\n"


def _json(*arguments: str, directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_go(*arguments, directory=directory))
    return found


def _go(*arguments: str, directory: Path) -> str:
    # A build is as long as it takes on the machine; the registries of Go answer or refuse within their own limits.
    command = ["nice", "-n", "19", "go", *arguments]
    environment = {**os.environ, "GOFLAGS": "-buildvcs=false -mod=mod", "GOWORK": "off"}
    try:
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UnavailableError(f"{error.filename} is not installed") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("go: downloading")]
        if not lines and arguments[:2] == ("mod", "download"):  # its error is in the JSON document
            lines = json.loads(done.stdout)["Error"].splitlines()
        raise UnavailableError("\n".join(line.strip() for line in lines[-6:]))
    return done.stdout
