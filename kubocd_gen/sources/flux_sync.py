"""Find what Flux and Argo CD apply from a checkout: Kustomizations, FluxInstances and Applications."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import read_source
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.checkout.walk import chart_of_template, real_directories
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.files.paths import display_path
from kubocd_gen.kube_yaml.reader import read_documents
from kubocd_gen.model.delivery import FLUX_NAMESPACE, SOURCE_KINDS, FluxSource
from kubocd_gen.model.project import PROJECT_FILE
from kubocd_gen.model.resources import Resource
from kubocd_gen.schema.names import is_subdomain
from kubocd_gen.sources.namespace_objects import NAMESPACE_MENTION, NAMESPACE_TEXT, NamespaceFile, namespace_names
from kubocd_gen.sources.yaml_files import find_documents, maps_in

Feature = Literal["components", "external-artifact", "no-cross-namespace", "source-watcher"]

KUSTOMIZE_GROUP = "kustomize.toolkit.fluxcd.io"
INSTANCE_GROUP = "fluxcd.controlplane.io"
_MENTIONS = (KUSTOMIZE_GROUP.encode(), INSTANCE_GROUP.encode())
_SOURCE_GROUP = "source.toolkit.fluxcd.io"
# Settings of Flux's controllers on which the delivery of charts depends, as they are written in manifests and patches.
_FEATURES: Mapping[Feature, bytes] = {
    "components": b"app.kubernetes.io/component: helm-controller",
    "external-artifact": b"ExternalArtifact=true",
    "no-cross-namespace": b"--no-cross-namespace-refs=true",
    "source-watcher": b"source-watcher",
}
_SUFFIXES = (".yaml", ".yml")
_ARGO_GROUP = "argoproj.io"
_ARGO_KINDS = ("Application", "ApplicationSet")
RECORDS = ".kcd-gen"  # the directory of an output's inventory
_LISTS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


@dataclass(frozen=True, slots=True)
class SourceObject:
    """A source object in a file of the checkout that also declares a Kustomization, as `flux bootstrap` writes it."""

    source: FluxSource
    ignore: str | None  # rules in the syntax of .gitignore, from `spec.ignore`
    resource: Resource


@dataclass(frozen=True, slots=True)
class Sync:
    """A Flux Kustomization declared by a file of the checkout.

    `path` is the directory that it applies and `file` the file that declares it, both relative to the checkout's root,
    which is "". `is_root` is set if `file` is in the directory that it applies, as created by `flux bootstrap`.
    """

    name: str
    namespace: str
    path: str
    source: FluxSource
    file: str
    is_root: bool
    service_account: str | None = None
    resource: Resource | None = field(default=None, compare=False, repr=False)  # if it is a Kustomization


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a checkout has outside of the sources and outputs of a project.

    `inventories` are the directories that contain an inventory of kcd-gen, and `projects` the project files. `features`
    are the settings of Flux's controllers that were found, with the first file that has each. `namespaces` are the
    Namespaces in manifests, not in the templates of Helm charts.
    """

    syncs: tuple[Sync, ...] = ()
    inventories: tuple[Path, ...] = ()
    projects: tuple[Path, ...] = ()
    sources: tuple[SourceObject, ...] = ()
    features: Mapping[Feature, str] = field(default_factory=dict)
    namespaces: tuple[NamespaceFile, ...] = ()


def find_syncs(root: Path, ignore: Sequence[Path] = ()) -> list[Sync]:
    """Return all Kustomizations of the checkout at `root` by file, except in `ignore` and hidden directories."""
    return list(survey(root, ignore).syncs)


def find_applications(root: Path, ignore: Sequence[Path] = ()) -> list[str]:
    """Return the files with Argo CD's Applications and ApplicationSets, as `find_syncs` finds Kustomizations."""
    documents = find_documents(root, (_ARGO_GROUP.encode(),), ignore)
    return sorted({file for file, value in documents if _is_application(value)})


def survey(
    root: Path,
    ignore: Sequence[Path] = (),
    unread: Sequence[Path] = (),
    *,
    budget: Budget | None = None,
    display_root: Path | None = None,
) -> Surroundings:
    """Search the checkout at `root`, except `ignore`, hidden directories and other checkouts in it.

    The files in `unread` are listed, but not read. In messages, names are relative to `display_root`, by default
    `root`. Symlinks are not followed. Unreadable files and invalid YAML are ignored because they are not kcd-gen's.
    """
    ignored, listed = ({os.path.realpath(path) for path in paths} for paths in (ignore, unread))
    files, budget = CheckoutFiles.around(root), budget or Budget()
    found: list[Sync | SourceObject | NamespaceFile] = []
    features: dict[Feature, str] = {}
    inventories: list[Path] = []
    projects: list[Path] = []
    in_unread: set[str] = set()
    for directory, subdirectories, names in real_directories(root, budget):
        if directory != root and ".git" in (*subdirectories, *names):
            subdirectories.clear()
            continue
        if RECORDS in subdirectories:  # what kcd-gen writes there has no Kustomization
            inventories.append(directory)
            subdirectories[:] = [name for name in subdirectories if name not in ("flux", "hr")]
        is_unread = str(directory) in in_unread or str(directory) in listed
        subdirectories[:] = sorted(
            name
            for name in subdirectories
            if not name.startswith(".") and os.path.realpath(f"{directory}/{name}") not in ignored
        )
        if is_unread:
            in_unread.update(f"{directory}/{name}" for name in subdirectories)
        for name in sorted(names):
            path = directory / name
            if name == PROJECT_FILE:
                projects.append(path)
            if name.endswith(_SUFFIXES) and not is_unread and not path.is_symlink():
                display = display_path(path, display_root or root)
                found += _objects_of(path, path.relative_to(root).as_posix(), display, files, budget, features)
    syncs = tuple(one for one in found if isinstance(one, Sync))
    sources = tuple(one for one in found if isinstance(one, SourceObject))
    namespaces = tuple(one for one in found if isinstance(one, NamespaceFile))
    return Surroundings(syncs, tuple(inventories), tuple(projects), sources, features, namespaces)


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


def _objects_of(
    path: Path, name: str, display: str, files: CheckoutFiles, budget: Budget, features: dict[Feature, str]
) -> Iterator[Sync | SourceObject | NamespaceFile]:
    """Yield what a file declares, and add its settings of Flux's controllers to `features`."""
    try:
        file = read_source(path, display, (*_MENTIONS, NAMESPACE_MENTION, *_FEATURES.values()), files, budget)
        if file:
            found = (feature for feature, text in _FEATURES.items() if text.decode() in file.text)
            features.update({feature: display for feature in found if feature not in features})
            declares = any(one.decode() in file.text for one in _MENTIONS) or NAMESPACE_TEXT.search(file.text)
            file = file if declares else None
        values = [document.value for document in read_documents(file.text, display, budget=budget)] if file else []
    except BudgetExceededError:
        raise
    except ProblemsError:
        return
    for number, value in enumerate(values):
        if not file or not isinstance(value, Mapping):
            continue
        resource = Resource(file, number, value)
        if sync := sync_of(resource, name):
            yield sync
            if _map(_map(value, "spec"), "cluster").get("multitenant") is True:
                features.setdefault("no-cross-namespace", display)
        elif source := _source_object(resource):
            yield source
        elif (names := list(namespace_names(value))) and chart_of_template(path) is None:
            yield from (NamespaceFile(one, path, display) for one in names)


def _source_object(resource: Resource) -> SourceObject | None:
    value = resource.value
    group, kind, metadata = _text(value, "apiVersion").partition("/")[0], _text(value, "kind"), _map(value, "metadata")
    if group != _SOURCE_GROUP or kind not in SOURCE_KINDS:
        return None
    source = FluxSource(kind, _text(metadata, "name"), _text(metadata, "namespace") or FLUX_NAMESPACE)
    return SourceObject(source, _text(_map(value, "spec"), "ignore") or None, resource)


def _is_application(value: Mapping[str, Any]) -> bool:
    return _text(value, "apiVersion").partition("/")[0] == _ARGO_GROUP and _text(value, "kind") in _ARGO_KINDS


def sync_of(resource: Resource, file: str) -> Sync | None:
    """Return the Sync that a resource in `file` declares; None for others and for names that Flux would refuse."""
    value: Mapping[str, Any] = resource.value
    group, kind = _text(value, "apiVersion").partition("/")[0], _text(value, "kind")
    metadata, spec = _map(value, "metadata"), _map(value, "spec")
    namespace = _text(metadata, "namespace") or FLUX_NAMESPACE
    if (group, kind) == (KUSTOMIZE_GROUP, "Kustomization"):
        reference, name = _map(spec, "sourceRef"), _text(metadata, "name")
        where = _text(reference, "namespace") or namespace
        source = FluxSource(_text(reference, "kind"), _text(reference, "name"), where)
        path, account = _applied(_text(spec, "path")), _text(spec, "serviceAccountName")
        is_root = lies_below(file, path)
    elif (group, kind) == (INSTANCE_GROUP, "FluxInstance") and (sync := _map(spec, "sync")):
        # The Flux Operator creates a source and a Kustomization from it, both with this name.
        name = _text(sync, "name") or namespace
        source = FluxSource(_text(sync, "kind"), name, namespace)
        path, is_root = _applied(_text(sync, "path")), True
        account = "kustomize-controller" if _map(spec, "cluster").get("multitenant") is True else ""
    else:
        return None
    names = (name, namespace, source.name, source.namespace, *([account] if account else []))
    if source.kind not in SOURCE_KINDS or not all(map(is_subdomain, names)):
        return None
    kustomization = resource if kind == "Kustomization" else None
    return Sync(name, namespace, path, source, file, is_root, account or None, kustomization)


def _applied(path: str) -> str:
    """Return a path such as `./clusters/prod/` relative to the root, without leaving it."""
    return posixpath.normpath(f"/{path}").strip("/")


def _map(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
