"""What Flux applies from a checkout, as the Kustomizations and FluxInstances in it say."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import read_source
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.checkout.walk import real_directories
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.reader import read_documents

FLUX_NAMESPACE = "flux-system"
KUSTOMIZE_GROUP = "kustomize.toolkit.fluxcd.io"
_INSTANCE_GROUP = "fluxcd.controlplane.io"
_MENTIONS = (KUSTOMIZE_GROUP.encode(), _INSTANCE_GROUP.encode())
_SUFFIXES = (".yaml", ".yml")
KINDS = ("GitRepository", "OCIRepository", "Bucket", "ExternalArtifact")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_LISTS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


@dataclass(frozen=True, slots=True)
class Source:
    """The source object that a Kustomization takes its files from."""

    kind: str
    name: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Sync:
    """A Kustomization of Flux, as a file of the checkout declares it.

    `path` is the folder that it applies and `file` where it stands, both relative to the checkout's root, which is "".
    `is_root` says that it applies the folder in which it stands itself: what `flux bootstrap` makes.
    """

    name: str
    namespace: str
    path: str
    source: Source
    file: str
    is_root: bool
    service_account: str | None = None


def find_syncs(root: Path, ignore: Sequence[Path] = ()) -> list[Sync]:
    """Every Kustomization of the checkout at `root`, sorted by file; folders of `ignore` and hidden ones left out.

    Links are not followed. What can't be read or is no YAML is passed over: it is not kcd-gen's to judge.
    """
    ignored = {os.path.realpath(path) for path in ignore}
    files, budget = CheckoutFiles.around(root), Budget()
    found: list[Sync] = []
    for folder, folders, names in real_directories(root, budget):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and os.path.realpath(f"{folder}/{name}") not in ignored
        )
        for name in sorted(names):
            path = folder / name
            if name.endswith(_SUFFIXES) and not path.is_symlink():
                found += _syncs_of(path, path.relative_to(root).as_posix(), files, budget)
    return found


def list_name(folder: Path) -> str | None:
    """The file that says what of the folder is applied; None where there is none, and Flux applies everything below."""
    return next((name for name in _LISTS if (folder / name).is_file()), None)


def lies_below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or below it; both relative to one root, which is ""."""
    return not folder or path == folder or path.startswith(f"{folder}/")


def _syncs_of(path: Path, display: str, files: CheckoutFiles, budget: Budget) -> Iterator[Sync]:
    try:
        file = read_source(path, display, _MENTIONS, files, budget)
        values = [document.value for document in read_documents(file.text, display)] if file else []
    except BudgetExceededError:
        raise
    except ProblemsError:
        return
    for value in values:
        if isinstance(value, Mapping) and (sync := _sync(value, display)):
            yield sync


def _sync(value: Mapping[str, Any], file: str) -> Sync | None:
    """The Sync that a document declares; None for any other document, and for one with names that Flux would refuse."""
    group, kind = _text(value, "apiVersion").partition("/")[0], _text(value, "kind")
    metadata, spec = _map(value, "metadata"), _map(value, "spec")
    namespace = _text(metadata, "namespace") or FLUX_NAMESPACE
    if (group, kind) == (KUSTOMIZE_GROUP, "Kustomization"):
        reference, name = _map(spec, "sourceRef"), _text(metadata, "name")
        source = Source(_text(reference, "kind"), _text(reference, "name"), _text(reference, "namespace") or namespace)
        path, account = _applied(_text(spec, "path")), _text(spec, "serviceAccountName")
        is_root = lies_below(file, path)
    elif (group, kind) == (_INSTANCE_GROUP, "FluxInstance") and (sync := _map(spec, "sync")):
        # Flux's operator makes source and Kustomization of it, both by this name.
        name = _text(sync, "name") or namespace
        source = Source(_text(sync, "kind"), name, namespace)
        path, is_root = _applied(_text(sync, "path")), True
        account = "kustomize-controller" if _map(spec, "cluster").get("multitenant") is True else ""
    else:
        return None
    names = (name, namespace, source.name, source.namespace, *([account] if account else []))
    if source.kind not in KINDS or not all(map(_NAME.fullmatch, names)):
        return None
    return Sync(name, namespace, path, source, file, is_root, account or None)


def _applied(path: str) -> str:
    """`./clusters/prod/` as a path from the root, which it never leaves."""
    return posixpath.normpath(f"/{path}").strip("/")


def _map(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
