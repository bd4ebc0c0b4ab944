"""A miniature checkout: sources, packages, and the command line that compiles them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import yaml

from kubocd_gen.cli import main
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.reader import read_document
from tests.support.images import chart_archive, package_layer, write_layout

WEB = "registry.example.com/demo/web:1.0.0"
WEB_MANIFEST = """\
apiVersion: v1alpha1
name: web
tag: 1.0.0
schema:
  parameters:
    properties:
      replicas: {type: integer, default: 1}
      host: {type: string, default: ""}
modules:
  - name: main
    source: {helmRepository: {url: https://charts.example.com, chart: web, version: 1.0.0}}
    values: |
      replicas: {{ .Parameters.replicas }}
      host: {{ .Parameters.host }}
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of running the command line."""

    exit: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Return all output that the user sees, for a snapshot."""
        return f"exit {self.exit}\n{self.out}{'---' if self.out and self.err else ''}\n{self.err}".rstrip("\n") + "\n"


def kcd_gen(*arguments: str, directory: Path, environment: Mapping[str, str] | None = None) -> Outcome:
    """Run the console script's own function in `directory`, without the cost of another Python process."""
    out, err = io.StringIO(), io.StringIO()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KCD_", "HELM_"))}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        clean.pop(name, None)
    clean["XDG_CACHE_HOME"] = str(directory / ".cache")  # never the user's own
    code: object = None
    with (
        contextlib.chdir(directory),
        mock.patch.object(sys, "argv", ["kcd-gen", *arguments]),
        mock.patch.dict(os.environ, {**clean, **(environment or {})}, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Outcome(code, out.getvalue(), err.getvalue())


def package_content(manifest: str, status: str) -> bytes:
    """Return a package's content layer, with a small chart for each name in `status`."""
    charts = {}
    for chart in (yaml.safe_load(status).get("chartByModule") or {}).values():
        name, version = chart["name"], chart["version"]
        meta = f"apiVersion: v2\nname: {name}\nversion: {version}\n"
        charts[f"{name}-{version}.tgz"] = chart_archive({f"{name}/Chart.yaml": meta.encode()})
    return package_layer(manifest, status, charts)


def status_of(manifest: str) -> str:
    """Return a `status.yaml` with the chart `<module>`, version 1.0.0, for every module of a manifest."""
    try:
        read = read_document(manifest, "original.yaml")
    except ProblemsError:
        read = None
    modules = (read or {}).get("modules") or []
    named = [module.get("name", f"module{index:02d}") for index, module in enumerate(modules)]
    charts = {name: {"name": re.sub(r"[^a-z0-9]", "-", name.lower()) or "chart", "version": "1.0.0"} for name in named}
    return yaml.safe_dump({"apiVersion": "v1alpha1", "chartByModule": charts})


@dataclass(frozen=True, slots=True)
class Workspace:
    """`sources/`, `packages/` (an image layout) and `output/` below `root`. Strings are dedented."""

    root: Path
    layers: dict[str, bytes] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        return self.root / "output"

    def source(self, name: str, text: str) -> None:
        path = self.root / "sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def release(self, name: str, spec: str = "", *, package: str = WEB, namespace: str = "default") -> None:
        """Write a Release to its own file; `spec` is the YAML of additional fields."""
        repository, _, tag = package.rpartition(":")
        head = f"""\
            apiVersion: kubocd.kubotal.io/v1alpha1
            kind: Release
            metadata: {{name: {name}, namespace: {namespace}}}
            spec:
              package: {{repository: {repository}, tag: {tag}}}
            """
        body = textwrap.indent(textwrap.dedent(spec), "  ")
        self.source(f"{namespace}-{name}.yaml", textwrap.dedent(head) + body)

    def package(self, manifest: str = WEB_MANIFEST, *, reference: str = WEB, status: str | None = None) -> None:
        text = textwrap.dedent(manifest)
        self.layers[reference] = package_content(text, status_of(text) if status is None else status)
        write_layout(self.root / "packages", self.layers)

    def build(self, *flags: str, environment: Mapping[str, str] | None = None) -> Outcome:
        return self.run("build", "--offline", *flags, environment=environment)

    def run(self, command: str, *flags: str, environment: Mapping[str, str] | None = None) -> Outcome:
        """Run a command that takes a project from its flags."""
        where = ("--source", "sources", "--output", "output", "--vendor", "packages")
        return kcd_gen(command, *where, *flags, directory=self.root, environment=environment)


def files_below(directory: Path) -> dict[str, bytes]:
    """Return the content of every file below `directory` by relative path; empty if the directory does not exist."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def helm_releases(output: Path) -> dict[str, Mapping[str, object]]:
    """Return the spec of each written HelmRelease, by `namespace/name`."""
    found = {}
    for path in sorted((output / "flux").rglob("*/*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document["kind"] == "HelmRelease":
                found[f"{document['metadata']['namespace']}/{document['metadata']['name']}"] = document["spec"]
    return found
