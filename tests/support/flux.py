"""Validation of written Flux resources, in every version of Flux that kcd-gen supports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from kubocd_gen.diagnostics.wording import dotted
from kubocd_gen.schema.flux import violations
from kubocd_gen.schema.flux_versions import FLUX_VERSIONS, FluxVersion


def flux_documents(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield the resources in the YAML files of a directory, without kustomize's own."""
    for path in sorted(directory.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document and "apiVersion" in document and not document["apiVersion"].startswith("kustomize.config"):
                yield document


def refusals(document: Mapping[str, Any], versions: Sequence[FluxVersion] = FLUX_VERSIONS) -> list[str]:
    """Return a sentence for each reason for which a version of Flux rejects the resource."""
    name = f"{document['kind']} {document['metadata'].get('name')}"
    return [
        f"Flux {version}: {name}: {dotted(violation.path)} {violation.message}"
        for version in versions
        for violation in violations(document, version)
    ]
