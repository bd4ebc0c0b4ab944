"""Checkouts in which `kcd-gen init` and `kcd-gen init server` run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.workspace import Outcome, kcd_gen

ROOT = Path(__file__).resolve().parents[2]


QUICKSTART_PACKAGE = (ROOT / "fixtures/quickstart/package/podinfo.yaml").read_text(encoding="utf-8")


def sync(path: str, name: str = "flux-system", kind: str = "GitRepository", more: str = "") -> str:
    """A Kustomization as `flux bootstrap` writes it."""
    return (
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n"
        f"metadata: {{name: {name}, namespace: flux-system}}\n"
        f"spec: {{interval: 10m, path: {path}, prune: true, sourceRef: {{kind: {kind}, name: {name}}}{more}}}\n"
    )


class Checkout:
    """A Git checkout with a project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        subprocess.run(["git", "init", "--quiet", str(root)], check=True)
        self.write(BOOTSTRAP, sync("./clusters/prod"))
        self.project("- {name: prod, sources: [sources], output: deploy/prod}\n")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def project(self, clusters: str, directory: str = ".") -> None:
        head = "apiVersion: kcd-gen/v1alpha1\nkind: Project\npackages: {vendor: packages}\nclusters:\n"
        self.write(f"{directory}/kcd-gen.yaml", head + clusters)

    def init(self, *arguments: str, directory: str = ".") -> Outcome:
        return kcd_gen("init", "server", *arguments, directory=self.root / directory)

    def read(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    def documents(self, name: str) -> list[Any]:
        return list(yaml.safe_load_all(self.read(name)))

    def files(self) -> set[str]:
        found = (path for path in self.root.rglob("*") if path.is_file() and ".git" not in path.parts)
        return {path.relative_to(self.root).as_posix() for path in found}


COPY, COMMIT = "https://github.com/platform/kcd-gen", "0123456789abcdef0123456789abcdef01234567"
SOURCE = f"git+{COPY}@{COMMIT}"
GITHUB, GITLAB = "git@github.com:acme/platform.git", "https://gitlab.com/acme/platform.git"
WORKFLOW, PIPELINE, HOOKS = ".github/workflows/kcd-gen.yaml", ".gitlab-ci.yml", ".pre-commit-config.yaml"


BOOTSTRAP = "clusters/prod/flux-system/gotk-sync.yaml"


class Repository(Checkout):
    """An empty Git checkout."""

    def __init__(self, root: Path, remote: str | None = None) -> None:
        self.root = root
        subprocess.run(["git", "init", "--quiet", str(root)], check=True)
        if remote:
            self.git("remote", "add", "origin", remote)

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.root, check=True, stdout=subprocess.PIPE, encoding="utf-8"
        ).stdout

    def init(self, *arguments: str, directory: str = ".", source: str = SOURCE) -> Outcome:
        environment = {"KCD_GEN_INSTALL_FROM": source} if source else {}
        return kcd_gen("init", *arguments, directory=self.root / directory, environment=environment)

    def resource(self, name: str, kind: str = "Release", namespace: str = "default") -> None:
        metadata = f"{{name: {Path(name).stem}, namespace: {namespace}}}"
        self.write(name, f"apiVersion: kubocd.kubotal.io/v1alpha1\nkind: {kind}\nmetadata: {metadata}\nspec: {{}}\n")

    def clusters(self) -> dict[str, Mapping[str, object]]:
        return {one["name"]: one for one in self.documents("kcd-gen.yaml")[0]["clusters"]}

    def state(self) -> dict[str, tuple[bytes, int]]:
        return {name: ((self.root / name).read_bytes(), (self.root / name).stat().st_mtime_ns) for name in self.files()}


def python(module: str, *arguments: str, directory: Path) -> None:
    """Run an installed package as a program and expect success."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
