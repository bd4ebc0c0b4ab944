"""Find what Flux and Argo CD apply from a checkout: Kustomizations, FluxInstances and Applications."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.schema.names import is_subdomain
from kubocd_gen.sources.yaml_files import find_documents, maps_in

FLUX_NAMESPACE = "flux-system"
KUSTOMIZE_GROUP = "kustomize.toolkit.fluxcd.io"
_INSTANCE_GROUP = "fluxcd.controlplane.io"
_MENTIONS = (KUSTOMIZE_GROUP.encode(), _INSTANCE_GROUP.encode())
_ARGO_GROUP = "argoproj.io"
_ARGO_KINDS = ("Application", "ApplicationSet")
KINDS = ("GitRepository", "OCIRepository", "Bucket", "ExternalArtifact")
_LISTS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


@dataclass(frozen=True, slots=True)
class Source:
    """The source object of a Kustomization."""

    kind: str
    name: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Sync:
    """A Flux Kustomization declared by a file of the checkout.

    `path` is the directory that it applies and `file` the file that declares it, both relative to the checkout's root,
    which is "". `is_root` is set if `file` is in the directory that it applies, as created by `flux bootstrap`.
    """

    name: str
    namespace: str
    path: str
    source: Source
    file: str
    is_root: bool
    service_account: str | None = None


def find_syncs(root: Path, ignore: Sequence[Path] = ()) -> list[Sync]:
    """Return all Kustomizations of the checkout at `root` by file, except in `ignore` and hidden directories."""
    documents = find_documents(root, _MENTIONS, ignore)
    return [sync for file, value in documents if (sync := _sync(value, file))]


def find_applications(root: Path, ignore: Sequence[Path] = ()) -> list[str]:
    """Return the files with Argo CD's Applications and ApplicationSets, as `find_syncs` finds Kustomizations."""
    documents = find_documents(root, (_ARGO_GROUP.encode(),), ignore)
    return sorted({file for file, value in documents if _is_application(value)})


def list_name(directory: Path) -> str | None:
    """Return the name of the kustomization.yaml in a directory, or None, in which case Flux applies all files below."""
    return next((name for name in _LISTS if (directory / name).is_file()), None)


def lists_file(path: Path, name: str) -> bool:
    """Return whether the kustomization.yaml at `path` lists the file `name` next to it as a resource."""
    values = maps_in(path, path.name, (name.encode(),), CheckoutFiles.around(path.parent))
    listed = [value.get("resources") for value in values]
    return any(isinstance(one, list) and {name, f"./{name}"} & {str(item) for item in one} for one in listed)


def lies_below(path: str, directory: str) -> bool:
    """Return whether `path` is `directory` or below it; both are relative to the same root, which is ""."""
    return not directory or path == directory or path.startswith(f"{directory}/")


def _is_application(value: Mapping[str, Any]) -> bool:
    return _text(value, "apiVersion").partition("/")[0] == _ARGO_GROUP and _text(value, "kind") in _ARGO_KINDS


def _sync(value: Mapping[str, Any], file: str) -> Sync | None:
    """Return the Sync that a document declares, or None for other documents and for names that Flux would refuse."""
    group, kind = _text(value, "apiVersion").partition("/")[0], _text(value, "kind")
    metadata, spec = _map(value, "metadata"), _map(value, "spec")
    namespace = _text(metadata, "namespace") or FLUX_NAMESPACE
    if (group, kind) == (KUSTOMIZE_GROUP, "Kustomization"):
        reference, name = _map(spec, "sourceRef"), _text(metadata, "name")
        source = Source(_text(reference, "kind"), _text(reference, "name"), _text(reference, "namespace") or namespace)
        path, account = _applied(_text(spec, "path")), _text(spec, "serviceAccountName")
        is_root = lies_below(file, path)
    elif (group, kind) == (_INSTANCE_GROUP, "FluxInstance") and (sync := _map(spec, "sync")):
        # The Flux Operator creates a source and a Kustomization from it, both with this name.
        name = _text(sync, "name") or namespace
        source = Source(_text(sync, "kind"), name, namespace)
        path, is_root = _applied(_text(sync, "path")), True
        account = "kustomize-controller" if _map(spec, "cluster").get("multitenant") is True else ""
    else:
        return None
    names = (name, namespace, source.name, source.namespace, *([account] if account else []))
    if source.kind not in KINDS or not all(map(is_subdomain, names)):
        return None
    return Sync(name, namespace, path, source, file, is_root, account or None)


def _applied(path: str) -> str:
    """Return a path such as `./clusters/prod/` relative to the root, without leaving it."""
    return posixpath.normpath(f"/{path}").strip("/")


def _map(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
