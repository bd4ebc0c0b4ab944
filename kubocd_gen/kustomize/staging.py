"""A copy of the files that kustomize reads, in a temporary directory.

The author of a checkout controls where a kustomization leads: to other directories, through symlinks, to a server. So
kustomize runs on a copy that has only files of the checkout, without symlinks, and only if all references exist in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kubocd_gen.budget.limits import MIB
from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.files import CheckoutFiles, FileKind
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import display_path
from kubocd_gen.kube_yaml.locations import find_position
from kubocd_gen.kube_yaml.reader import read_document
from kubocd_gen.kustomize.kustomization import LISTS, NAMES, is_remote, mappings, strings

_FILE = FileKind("a file of a kustomization", 16 * MIB)
_PATHS = ("configurations", "crds")
_INLINE_OR_PATH = ("patchesStrategicMerge", "transformers", "generators", "validators")
_WITH_PATH = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")
_MOST = 1000  # kustomizations that are copied


class Stage:
    """The copy of some of `files` in the directory `root`, at the same paths relative to `top`, the checkout's root."""

    def __init__(self, root: Path, display_root: Path, files: CheckoutFiles, budget: Budget, origin: str = "") -> None:
        """Names of files in messages are relative to `display_root`, after `origin`."""
        self.root, self.top = root, files.root
        self._display_root, self._files, self._budget, self._origin = display_root, files, budget, origin
        self._copied: set[Path] = set()
        self._staged: set[Path] = set()
        self.texts: dict[Path, bytes] = {}  # the content of the copied files by their path in the checkout

    def at(self, path: Path) -> Path:
        """Return the path of the copy of `path`. Raises ValueError if it is outside of the checkout."""
        return self.root / path.relative_to(self.top)

    def display(self, path: Path) -> str:
        """Return the name in messages of a path in the checkout."""
        return display_path(path, self._display_root, self._origin)

    def has_kustomization(self, directory: Path) -> bool:
        return any((directory / name).is_file() for name in NAMES)

    def add_kustomization(self, directory: Path) -> Mapping[str, Any]:
        """Copy the kustomization in `directory` with everything that it refers to, and return its fields.

        Raises ProblemsError, among others `remote-base` for a reference that is not a path in the checkout.
        """
        directory = Path(os.path.normpath(directory))
        path = next((directory / name for name in NAMES if (directory / name).is_file()), directory / NAMES[0])
        self.add_file(path)
        display = self.display(path)
        text = self.texts[path].decode("utf-8", "replace")
        value = read_document(text, display, budget=self._budget)
        if not isinstance(value, Mapping):
            raise ProblemsError.of("kustomize-failed", "this is not a kustomization", Position(display))
        self._staged.add(directory)
        if len(self._staged) > _MOST:
            message = f"more than {_MOST} kustomizations refer to each other"
            raise ProblemsError.of("kustomize-failed", message, Position(display))
        errors = []
        for keys, entry in _references(value):
            position = find_position(text, display, 0, keys)
            try:
                if (problem := self._add(directory, entry, keys[0], position)) is not None:
                    errors.append(problem)
            except ProblemsError as error:
                errors += error.problems
        if errors:
            raise ProblemsError(*errors)
        return value

    def _add(self, directory: Path, entry: str, field: str | int, position: Position) -> Problem | None:
        target = Path(os.path.normpath(directory / entry))
        if not is_remote(entry) and not Path(entry).is_absolute() and target.is_relative_to(self.top):
            if target.is_dir():
                self._files.require(target, self.display(target))
                if not self.has_kustomization(target):
                    message = f"the directory '{entry}' has no kustomization.yaml"
                    return Problem("kustomize-failed", message, position, "list its files, or add one")
                if target not in self._staged:
                    self.add_kustomization(target)
                return None
            if os.path.lexists(target):
                self.add_file(target)
                return None
        elif not is_remote(entry):
            return self._files.refusal(f"'{entry}'", target, position)
        if is_remote(entry) or field in LISTS:
            message = f"'{entry}' is not in the checkout, and kcd-gen reads no remote resources"
            return Problem("remote-base", message, position, "copy it into the checkout")
        return Problem("missing-source", f"'{entry}' does not exist", position, "fix the path in the kustomization")

    def add_file(self, path: Path) -> None:
        """Copy a file. Raises ProblemsError for one that can't be read, or is outside of the checkout."""
        path = Path(os.path.normpath(path))
        if path in self.texts:
            return
        display = self.display(path)
        try:
            data = self._files.read(path, display, _FILE)
        except OSError as error:
            message = f"cannot read the file: {error.strerror or error}"
            hint = "create it, or fix the path that leads to it" if isinstance(error, FileNotFoundError) else None
            raise ProblemsError.of("unreadable-source", message, Position(display), hint) from error
        self._budget.spend("files", 1)
        self._budget.spend("source-bytes", len(data), Position(display))
        self.texts[path] = data
        copy = self.at(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data)


def _references(fields: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the keys and the text of each reference to a file or directory."""
    for field in (*LISTS, *_PATHS):
        for index, entry in enumerate(strings(fields.get(field))):
            yield (field, index), entry
    for field in _INLINE_OR_PATH:
        for index, entry in enumerate(strings(fields.get(field))):
            if "\n" not in entry and not entry.lstrip().startswith(("{", "apiVersion:", "kind:")):
                yield (field, index), entry
    for field in _WITH_PATH:
        for index, item in enumerate(mappings(fields.get(field))):
            if isinstance(item.get("path"), str):
                yield (field, index, "path"), item["path"]
    openapi = fields.get("openapi")
    if isinstance(openapi, Mapping) and isinstance(openapi.get("path"), str):
        yield ("openapi", "path"), openapi["path"]
    for field in _GENERATORS:
        for index, item in enumerate(mappings(fields.get(field))):
            for key in ("files", "envs"):
                for number, entry in enumerate(strings(item.get(key))):
                    yield (field, index, key, number), entry.partition("=")[2] or entry
            if isinstance(item.get("env"), str):
                yield (field, index, "env"), item["env"]
