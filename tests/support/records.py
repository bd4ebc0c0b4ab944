"""Resources as the loader returns them, from short YAML."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from kubocd_gen.checkout.discovery import SourceFile
from kubocd_gen.kube_yaml.emitter import emit_documents
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.model.package import Package
from kubocd_gen.model.resources import Config, Context, Release, Resource
from kubocd_gen.packages.manifest import read_package
from kubocd_gen.sources.admission import admit_config, admit_context, admit_release
from tests.support.images import package_image
from tests.support.workspace import WEB, WEB_MANIFEST, status_of

API = "kubocd.kubotal.io/v1alpha1"
_PACKAGE = {"repository": WEB.rpartition(":")[0], "tag": WEB.rpartition(":")[2]}


def release(name: str = "web", /, *, namespace: str = "default", **spec: Any) -> Release:
    """Return a Release of the package `WEB`; `spec` overrides fields of its spec."""
    body = {**spec, "package": {**_PACKAGE, **spec.get("package", {})}}
    return admit_release(_resource("Release", name, namespace, body), "default")


def context(name: str, value: Any, *parents: str, namespace: str = "default") -> Context:
    """Return a Context with the variables `value` that inherits from `parents` in its namespace."""
    body = {"context": value, "parents": [{"name": parent} for parent in parents]}
    return admit_context(_resource("Context", name, namespace, body), "default")


def config(name: str = "conf", /, **spec: Any) -> Config:
    return admit_config(_resource("Config", name, "kubocd", spec))


def package(manifest: str = WEB_MANIFEST) -> Package:
    """Return a package whose image contains only the files that are read."""
    text = textwrap.dedent(manifest)
    files = {"original.yaml": text.encode(), "status.yaml": status_of(text).encode(), "index.yaml": b"entries: {}\n"}
    return read_package(package_image(WEB, files))


def _resource(kind: str, name: str, namespace: str, spec: Mapping[str, Any]) -> Resource:
    value = {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    text = emit_documents([value])
    return Resource(SourceFile(f"{name}.yaml", text), 0, read_document(text, f"{name}.yaml"))
