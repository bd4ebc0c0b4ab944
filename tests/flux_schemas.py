"""Write schemas/flux/ from the Go types of Flux's APIs.

Run `make schemas` after adding a minor version of Flux to `APIS`. It needs Go. Each file has the schema of the `spec`
of one kind. `schemas` has, for each minor version of Flux, a JSON merge patch (RFC 7386) of the version before; the
first is the complete schema. `origins` names the Go module of each. Descriptions are left out, and so are the messages
of CEL rules, which `kubocd_gen/schema/structural.py` implements by hand.

The CRDs that Flux publishes are generated from the same types by the same generator, so they are equal. Flux's patch
releases do not change them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
GENERATOR = "sigs.k8s.io/controller-tools/cmd/controller-gen@v0.19.0"
SOURCE = "github.com/fluxcd/source-controller/api"
HELM = "github.com/fluxcd/helm-controller/api"
KUSTOMIZE = "github.com/fluxcd/kustomize-controller/api"
WATCHER = "github.com/fluxcd/source-watcher/api/v2"
APIS: Mapping[str, Mapping[str, str]] = {
    "2.6": {SOURCE: "v1.6.2", HELM: "v1.3.0", KUSTOMIZE: "v1.6.1"},
    "2.7": {SOURCE: "v1.7.3", HELM: "v1.4.3", KUSTOMIZE: "v1.7.3", WATCHER: "v2.0.1"},
    "2.8": {SOURCE: "v1.8.5", HELM: "v1.5.3", KUSTOMIZE: "v1.8.3", WATCHER: "v2.1.0"},
    "2.9": {SOURCE: "v1.9.2", HELM: "v1.6.2", KUSTOMIZE: "v1.9.6", WATCHER: "v2.2.4"},
}
KINDS = (
    ("ArtifactGenerator", "v1beta1"),
    ("ExternalArtifact", "v1"),
    ("GitRepository", "v1"),
    ("HelmRelease", "v2"),
    ("HelmRepository", "v1"),
    ("Kustomization", "v1"),
    ("OCIRepository", "v1"),
)


def main() -> int:
    """Generate the CRDs of every version and write one file for each kind."""
    files: dict[tuple[str, str], dict[str, Any]] = {}
    before: dict[tuple[str, str], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        _run("go", "install", GENERATOR, cwd=work, GOBIN=str(work))
        for flux, modules in APIS.items():
            for module, version in modules.items():
                for crd in _crds(work, module, version):
                    names = crd["spec"]["names"]["kind"], crd["version"]["name"]
                    if names not in KINDS:
                        continue
                    spec = _compact(crd["version"]["schema"]["openAPIV3Schema"]["properties"]["spec"])
                    file = files.setdefault(
                        names,
                        {"group": crd["spec"]["group"], "kind": names[0], "version": names[1]}
                        | {"origins": {}, "schemas": {}},
                    )
                    file["origins"][flux] = f"{module} {version}"
                    file["schemas"][flux] = _patch(before.get(names, {}), spec)
                    before[names] = spec
    for (kind, version), file in files.items():
        path = ROOT / f"schemas/flux/{kind.lower()}-{version}.json"
        path.write_text(json.dumps(file, indent=1) + "\n", encoding="utf-8")
    return 0 if len(files) == len(KINDS) else 1


def _crds(work: Path, module: str, version: str) -> Iterator[dict[str, Any]]:
    """Yield each version of each CRD of the module, as `version` in the CRD."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        _run("go", "mod", "init", "example.com/crds", cwd=Path(name))
        _run("go", "get", f"{module}@{version}", cwd=Path(name))
        _run(str(work / "controller-gen"), "crd", f"paths={module}/...", "output:crd:dir=crds", cwd=Path(name))
        for path in sorted(Path(name, "crds").glob("*.yaml")):
            crd = yaml.safe_load(path.read_text(encoding="utf-8"))
            for one in crd["spec"]["versions"]:
                yield {**crd, "version": one}


def _compact(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with its keys sorted, and without descriptions and the messages of rules."""
    compact: dict[str, Any] = {}
    for key, value in sorted(schema.items()):
        if key == "description":
            continue
        if key == "properties":
            value = {name: _compact(value[name]) for name in sorted(value)}
        elif key in ("items", "additionalProperties"):
            value = _compact(value)
        elif key == "x-kubernetes-validations":
            value = [{"rule": rule["rule"]} for rule in value]
        compact[key] = value
    return compact


def _patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch that changes `old` to `new`."""
    patch: dict[str, Any] = dict.fromkeys(key for key in old if key not in new)
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif old[key] != value:
            patch[key] = _patch(old[key], value) if isinstance(value, dict) else value
    return patch


def _run(*command: str, cwd: Path, **variables: str) -> None:
    subprocess.run(command, cwd=cwd, env={**os.environ, "GOFLAGS": "-mod=mod", **variables}, check=True)


if __name__ == "__main__":
    sys.exit(main())
