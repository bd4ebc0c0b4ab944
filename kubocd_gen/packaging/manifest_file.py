"""Read and groom the source file of a package manifest as KuboCD's packager does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubocd_gen.checkout.discovery import read_source
from kubocd_gen.checkout.files import CheckoutFiles
from kubocd_gen.diagnostics.problems import Position, Problem, ProblemsError
from kubocd_gen.files.paths import checkout_root
from kubocd_gen.model.package import Package
from kubocd_gen.packages.manifest import read_manifest
from kubocd_gen.packaging.charts.sources import ChartSource, chart_source, source_kind
from kubocd_gen.sources.environment import expand_environment

_TEMPLATED_LISTS = ("roles", "dependencies")


@dataclass(frozen=True, slots=True)
class Authored:
    """A manifest from disk. `package` has no charts yet; `sources` has the chart source of each module.

    `text` is the manifest with environment variables expanded, as published in `original.yaml`.
    """

    path: str
    text: str = field(repr=False)
    package: Package = field(repr=False)
    fields: Mapping[str, Any] = field(repr=False, hash=False)
    sources: tuple[ChartSource, ...]

    def source_position(self, module: int) -> Position:
        """Return the position of a module's source."""
        return self.package.position("modules", module, "source")


def read_authored(
    file: Path, display: str, environment: Mapping[str, str], allow_outside: Iterable[Path] = ()
) -> Authored:
    """Read the manifest in `file`, a command-line argument that messages call `display`.

    Local charts must be in its checkout or in `allow_outside`. Raises ProblemsError with all problems that can be found
    without fetching charts.
    """
    try:
        files = manifest_files(file, allow_outside)
        source = read_source(file, display, (b"",), files)
    except ProblemsError as error:
        hint = error.problem.hint or "pass the manifest of a package"
        raise ProblemsError.of(
            error.problem.code, error.problem.message, position=error.problem.position, hint=hint
        ) from None
    text = expand_environment(source.text if source else "", display, environment)
    package, fields = read_manifest(text, display)
    problems: list[Problem] = []
    sources = []
    for index, module in enumerate(fields["modules"]):
        position = package.position("modules", index, "source", source_kind(module["source"]))
        try:
            sources.append(chart_source(module["source"], file.parent, position, files))
        except ProblemsError as error:
            problems += error.problems
    if problems:
        raise ProblemsError(*problems)
    return Authored(display, text, package, fields, tuple(sources))


def manifest_files(file: Path, allow_outside: Iterable[Path]) -> CheckoutFiles:
    """Return the files that a manifest's local charts can use: those of its checkout.

    Without Git that is the current directory if the manifest is in it, otherwise the manifest's directory. Raises
    ProblemsError `outside-checkout`.
    """
    current, directory = Path.cwd(), Path(os.path.realpath(file.parent))
    inside = checkout_root(directory) is None and directory.is_relative_to(current)
    return CheckoutFiles.around(current if inside else directory, allow_outside).naming(file)


def groomed(authored: Authored) -> dict[str, Any]:
    """Return the manifest with its defaults, and its schemas as JSON Schema: `groomed.yaml` and the image's config."""
    package, fields = authored.package, authored.fields
    schemas = {"parameters": package.parameters_schema.schema}
    if package.context_schema is not None:
        schemas["context"] = package.context_schema.schema
    modules = [
        {
            **_given(module or {}),
            "name": read.name,
            "type": "HelmChart",
            "source": _given(module["source"]),
            "enabled": read.enabled.text,
            "targetNamespace": read.target_namespace.text,
            "dependsOn": module.get("dependsOn") or [],
        }
        for module, read in zip(fields["modules"], package.modules, strict=True)
    ]
    lists = {name: fields.get(name) or [] for name in _TEMPLATED_LISTS}
    filled = {"type": "Package", "protected": package.protected, "schema": schemas, "modules": modules}
    result: dict[str, Any] = _sorted({**_given(fields), **filled, **lists})
    return result


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without empty values, which Go's `omitempty` drops."""
    return {key: value for key, value in fields.items() if value not in (None, "", {}, [])}


def _sorted(value: Any) -> Any:
    """Return `value` with the keys of all maps sorted."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value
