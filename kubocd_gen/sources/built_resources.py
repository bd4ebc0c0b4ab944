"""The resources that kustomize prints, each with the file that it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubocd_gen.budget.spending import Budget
from kubocd_gen.checkout.discovery import SourceFile
from kubocd_gen.diagnostics.problems import ProblemsError
from kubocd_gen.kube_yaml.reader import Document, read_document, read_documents
from kubocd_gen.kustomize.build import ORIGIN
from kubocd_gen.kustomize.kustomization import NAMES
from kubocd_gen.kustomize.staging import Stage
from kubocd_gen.model.resources import Resource


def built_resources(text: str, stage: Stage, directory: Path, budget: Budget) -> list[Resource]:
    """Return the resources in `text`, which kustomize has printed for `directory`, without its annotations.

    The file of a resource is the one in the checkout with the document that it was made from, so that positions in
    messages lead there; a value that a patch has added is at the innermost parent that the document has.
    """
    origins = _Origins(stage, budget)
    found = []
    for document in read_documents(text, stage.display(directory), budget=budget):
        if document.error is not None:
            raise document.error
        if isinstance(document.value, Mapping):
            value, origin = _without_origin(document.value)
            found.append(Resource(*origins.of(value, directory, origin), value))
    return found


def _without_origin(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a resource without the annotation of kustomize, and the fields of the annotation."""
    metadata = value.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(annotations, Mapping) or ORIGIN not in annotations:
        return value, {}
    kept = {name: text for name, text in annotations.items() if name != ORIGIN}
    others = {name: item for name, item in metadata.items() if name != "annotations"}
    cleaned = {**value, "metadata": {**others, "annotations": kept} if kept else others}
    try:
        origin = read_document(str(annotations[ORIGIN]), "origin")
    except ProblemsError:
        origin = None
    return cleaned, origin if isinstance(origin, Mapping) else {}


class _Origins:
    """Finds the documents that resources were made from."""

    def __init__(self, stage: Stage, budget: Budget) -> None:
        self._stage, self._budget = stage, budget
        self._read: dict[Path, tuple[SourceFile, list[Document]]] = {}

    def of(self, value: Mapping[str, Any], directory: Path, origin: Mapping[str, Any]) -> tuple[SourceFile, int]:
        """Return the file of a resource, and the number of its document."""
        path = origin.get("path") or origin.get("configuredIn")
        file = Path(os.path.normpath(directory / str(path))) if path else directory / NAMES[0]
        if file not in self._stage.texts:
            file = next((directory / name for name in NAMES if directory / name in self._stage.texts), file)
        if file not in self._read:
            text = self._stage.texts.get(file, b"").decode("utf-8", "replace")
            source = SourceFile(self._stage.display(file), text)
            try:
                documents = list(read_documents(text, source.path, budget=self._budget))
            except ProblemsError:
                documents = []
            self._read[file] = source, documents
        source, documents = self._read[file]
        return source, _number(documents, value)


def _number(documents: list[Document], value: Mapping[str, Any]) -> int:
    """Return the number of the document whose kind and name fit best: kustomize can add a prefix to the name."""
    name = _name(value)
    fits = [number for number, one in enumerate(documents) if _kind(one.value) == value.get("kind")]
    for matches in (lambda text: text == name, lambda text: bool(text) and text in name):
        for number in fits:
            if matches(_name(documents[number].value)):
                return number
    return fits[0] if fits else 0


def _kind(value: Any) -> Any:
    return value.get("kind") if isinstance(value, Mapping) else None


def _name(value: Any) -> str:
    metadata = value.get("metadata") if isinstance(value, Mapping) else None
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
