"""Reading `kustomization.yaml` files: what they list, and which resources they change.

The fields are those of kustomize v5, https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.checkout.discovery import SourceFile
from kubocd_gen.checkout.files import CONFIGURATION, CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, ProblemsError
from kubocd_gen.files.paths import display_path
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import read_document, read_documents
from kubocd_gen.kustomize.substitution import has_variable

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""The names of the file in the order in which kustomize looks for them."""

LISTS = ("resources", "bases", "components")
"""The fields that list files and directories with resources."""

_ADDS = ("generators", "transformers", "helmCharts", "helmChartInflationGenerator")
_NAMES_OF_ALL = ("namePrefix", "nameSuffix")
# The parts of a HelmRelease from which kcd-gen reads the Config; most patches change others, such as the interval.
_COMPILED = re.compile("values|chart|targetNamespace")
_MOST = 1000  # kustomizations that one refers to, directly and indirectly


class Affected(Protocol):
    """A resource that a kustomization can change."""

    @property
    def group(self) -> str: ...
    @property
    def api_version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def value(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Kustomization:
    """A kustomization file in `directory`, a real path, with its fields."""

    directory: Path
    file: SourceFile
    fields: Mapping[str, Any]

    def position(self, *keys: str | int) -> Position:
        """Return the position of the value at `keys`, or of the innermost parent that exists."""
        return find_position(self.file.text, self.file.path, 0, keys)

    def listed(self) -> Iterator[tuple[str, int, Path]]:
        """Yield the field, the index and the normalized path of each local entry of `resources` and its siblings."""
        for field in LISTS:
            for index, entry in enumerate(strings(self.fields.get(field))):
                if not is_remote(entry):
                    yield field, index, Path(os.path.normpath(self.directory / entry))


class Kustomizations:
    """Reads kustomizations of a checkout, each once. Paths in messages are relative to `root`."""

    def __init__(self, root: Path, files: CheckoutFiles, budget: Budget, origin: str = "") -> None:
        self._root, self._files, self._budget, self._origin = root, files, budget, origin
        self._read: dict[Path, Kustomization | None] = {}
        self._texts: dict[Path, str | None] = {}

    def at(self, directory: Path) -> Kustomization | None:
        """Return the kustomization in a directory; None if it has none, or none that can be read."""
        directory = Path(os.path.realpath(directory))
        if directory not in self._read:
            self._read[directory] = self._of(directory)
        return self._read[directory]

    def _of(self, directory: Path) -> Kustomization | None:
        for name in NAMES:
            path = directory / name
            if not path.is_file():
                continue
            display = display_path(path, self._root, self._origin)
            try:
                text = self._files.read(path, display, CONFIGURATION).decode("utf-8-sig")
                value = read_document(text, display, budget=self._budget)
            except BudgetExceededError:
                raise
            except (OSError, UnicodeDecodeError, ProblemsError):  # not kcd-gen's file: kustomize reports what is wrong
                return None
            return Kustomization(directory, SourceFile(display, text), value) if isinstance(value, Mapping) else None
        return None

    def text(self, path: Path) -> str | None:
        """Return the content of a file of the checkout; None if it can't be read."""
        if path not in self._texts:
            try:
                data = self._files.read(path, display_path(path, self._root), CONFIGURATION)
                self._texts[path] = data.decode("utf-8", "replace")
            except (OSError, ProblemsError):
                self._texts[path] = None
        return self._texts[path]

    def reached(self, start: Kustomization) -> tuple[set[Path], list[Kustomization]]:
        """Return the files that kustomize reads resources from, and all kustomizations on the way, `start` first."""
        files = set[Path]()
        found = {start.directory: start}
        waiting = [start]
        while waiting:
            for _, _, path in waiting.pop().listed():
                if (below := self.at(path)) is None:
                    files.add(Path(os.path.realpath(path)))
                elif below.directory not in found and len(found) < _MOST:
                    found[below.directory] = below
                    waiting.append(below)
        return files, list(found.values())


def is_remote(entry: str) -> bool:
    """Return whether an entry of `resources` is a URL or a repository, in one of the notations of kustomize."""
    return "://" in entry or "?ref=" in entry or entry.startswith(("git@", "github.com/", "git::"))


def strings(value: Any) -> list[str]:
    """Return the items of a list if they are strings; otherwise an empty list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the items of a list if they are maps; otherwise an empty list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def changing_field(
    one: Kustomization, resource: Affected, default_namespace: str, text_of: Callable[[Path], str | None]
) -> str | None:
    """Return a field of the kustomization with which kustomize changes the resource; None if there is none.

    Labels, annotations, images, replicas and generated ConfigMaps and Secrets do not change what kcd-gen compiles.
    `text_of` returns the content of a patch file, or None if it can't be read.
    """
    fields = one.fields
    if (field := _identity_field(fields, "namespace", resource, default_namespace)) is not None:
        return field
    for name, patches in (("patches", mappings(fields.get("patches"))), ("patchesJson6902", _json_patches(fields))):
        if any(_patches(_with_text(patch, one.directory, text_of), resource) for patch in patches):
            return name
    for entry in strings(fields.get("patchesStrategicMerge")):
        text = entry if "\n" in entry or ":" in entry else text_of(one.directory / entry)
        if _is_patch_of(text, resource):
            return "patchesStrategicMerge"
    for replacement in mappings(fields.get("replacements")):
        targets = [target.get("select") for target in mappings(replacement.get("targets"))]
        if "path" in replacement or any(isinstance(one, Mapping) and selects(one, resource) for one in targets):
            return "replacements"
    return next((name for name in _ADDS if fields.get(name)), None)


def changing_flux_field(spec: Mapping[str, Any], resource: Affected, default_namespace: str) -> str | None:
    """Return a field of a Flux Kustomization with which Flux changes the resource; None if there is none."""
    if (field := _identity_field(spec, "targetNamespace", resource, default_namespace)) is not None:
        return field
    for patch in mappings(spec.get("patches")):
        if _patches(patch, resource):
            return "patches"
    if spec.get("components"):
        return "components"
    return "postBuild" if substitutes(spec) and has_variable(resource.value) else None


def changes_anything(spec: Mapping[str, Any]) -> bool:
    """Return whether a Flux Kustomization can change a resource of KuboCD."""
    fields = ("targetNamespace", *_NAMES_OF_ALL, "patches", "components")
    return substitutes(spec) or any(spec.get(name) for name in fields)


def substitutes(spec: Mapping[str, Any]) -> bool:
    """Return whether Flux substitutes variables in what the Flux Kustomization applies."""
    build = spec.get("postBuild")
    return isinstance(build, Mapping) and bool(build.get("substitute") or build.get("substituteFrom"))


def _identity_field(
    fields: Mapping[str, Any], namespace_field: str, resource: Affected, default_namespace: str
) -> str | None:
    namespace = fields.get(namespace_field)
    if isinstance(namespace, str) and namespace and namespace != (resource.namespace or default_namespace):
        return namespace_field
    return next((name for name in _NAMES_OF_ALL if fields.get(name)), None)


def _json_patches(fields: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return mappings(fields.get("patchesJson6902"))


def _with_text(patch: Mapping[str, Any], directory: Path, text_of: Callable[[Path], str | None]) -> Mapping[str, Any]:
    path = patch.get("path")
    return {**patch, "patch": text_of(directory / path)} if isinstance(path, str) else patch


def _patches(patch: Mapping[str, Any], resource: Affected) -> bool:
    target, text = patch.get("target"), patch.get("patch")
    text = text if isinstance(text, str) else None
    if resource.kind == "HelmRelease" and text is not None and not _COMPILED.search(text):
        return False
    return selects(target, resource) if isinstance(target, Mapping) else _is_patch_of(text, resource)


def _is_patch_of(text: str | None, resource: Affected) -> bool:
    """Return whether a strategic merge patch is for the resource; True if this is unknown."""
    if text is None:
        return True
    patched = _patched(text)
    return patched is None or any(kind == resource.kind and name in (resource.name, None) for kind, name in patched)


@functools.lru_cache(maxsize=256)  # for each of a thousand resources
def _patched(text: str) -> tuple[tuple[Any, Any], ...] | None:
    """Return the kind and name of each document of a patch; None if it is not valid YAML."""
    try:
        values = [document.value for document in read_documents(text, "patch")]
    except ProblemsError:
        return None
    found = []
    for value in values:
        if isinstance(value, Mapping):
            metadata = value.get("metadata")
            found.append((value.get("kind"), metadata.get("name") if isinstance(metadata, Mapping) else None))
    return tuple(found)


def selects(target: Mapping[str, Any], resource: Affected) -> bool:
    """Return whether a target of kustomize can select the resource. Its labels and annotations are not compared."""
    group, _, version = resource.api_version.rpartition("/")
    known = {
        "group": group,
        "version": version,
        "kind": resource.kind,
        "name": resource.name,
        "namespace": resource.namespace,
    }
    return all(_matches(target.get(name), value) for name, value in known.items())


def _matches(pattern: Any, value: str) -> bool:
    from kubocd_gen.schema.go_formats import PatternError, compile_pattern

    if not isinstance(pattern, str) or not pattern:
        return True
    try:
        return compile_pattern(f"^(?:{pattern})$").search(value) is not None
    except PatternError:
        return True
