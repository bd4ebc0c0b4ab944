"""A package, its modules and their templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.kube_yaml.locations import find_in_text, find_position, is_written
from kubocd_gen.schema.package_schema import PackageSchema


@dataclass(frozen=True, slots=True)
class ChartRef:
    """The name and version of a chart in a package, from `status.yaml`."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """A template of the manifest: a string, or a map or list (`tree`) whose YAML is the template.

    `path` is its path in the manifest. With `header`, the package's `templateHeader` is prepended.
    """

    path: tuple[str | int, ...]
    text: str = ""
    tree: Any = None
    header: bool = True


@dataclass(frozen=True, slots=True)
class Module:
    """One chart of a package, and the templates that configure its HelmRelease."""

    name: str
    values: TemplateSource
    spec_patch: TemplateSource
    timeout: TemplateSource
    interval: TemplateSource
    target_namespace: TemplateSource
    enabled: TemplateSource
    depends_on: TemplateSource
    on_failure_strategy: TemplateSource

    def templates(self) -> Iterator[tuple[str, TemplateSource]]:
        """Yield field and template, in the order in which KuboCD renders them."""
        yield "values", self.values
        yield "specPatch", self.spec_patch
        yield "timeout", self.timeout
        yield "interval", self.interval
        yield "targetNamespace", self.target_namespace
        yield "enabled", self.enabled
        yield "dependsOn", self.depends_on
        yield "onFailureStrategy", self.on_failure_strategy


@dataclass(frozen=True, slots=True)
class Package:
    """A package with its validated manifest. `reference` is the `repository:tag` from which it was pulled.

    `text` is the manifest, and `path` its path in messages. `files` are the contents of the image by name.
    """

    reference: str
    digest: str
    path: str
    text: str
    files: Mapping[str, bytes]
    name: str
    tag: str
    protected: bool
    template_header: str
    description: TemplateSource
    usage: Mapping[str, TemplateSource]
    roles: TemplateSource
    dependencies: TemplateSource
    parameters_schema: PackageSchema
    context_schema: PackageSchema | None
    modules: tuple[Module, ...]
    charts: Mapping[str, ChartRef]

    @property
    def label(self) -> str:
        """The name of the package in messages: `redis:20.6.1-p01`."""
        return f"{self.name}:{self.tag}"

    def position(self, *keys: str | int) -> Position:
        """Return the position of the value at `keys` in the manifest."""
        return find_position(self.text, self.path, 0, keys)

    def is_written(self, template: TemplateSource) -> bool:
        """Return whether the manifest sets the template, instead of using KuboCD's default."""
        return is_written(self.text, 0, template.path)

    def template_position(self, template: TemplateSource, line: int | None, column: int | None = None) -> Position:
        """Return the position of a line and column of a template, or of its start if the manifest has other lines."""
        if template.tree is not None:
            return self.position(*template.path)
        return find_in_text(self.text, self.path, 0, template.path, line, column)

    def templates(self) -> Iterator[tuple[str, TemplateSource]]:
        """Yield label and template, in the order in which KuboCD renders them."""
        for key in sorted(self.usage):
            yield f"usage.{key}", self.usage[key]
        yield "roles", self.roles
        yield "dependencies", self.dependencies
        yield "description", self.description
        for module in self.modules:
            for field, template in module.templates():
                yield f"module '{module.name}', {field}", template
