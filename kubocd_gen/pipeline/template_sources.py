"""The template sources of a compilation, with their labels and positions for messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kubocd_gen.compiler.values import parameters_text
from kubocd_gen.diagnostics.problems import Position
from kubocd_gen.model.compilation import Resolved
from kubocd_gen.model.package import Package, TemplateSource
from kubocd_gen.model.resources import Release
from kubocd_gen.pipeline.package_rendering import Texts
from kubocd_gen.pipeline.parameter_rendering import position_in_template


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A template. Messages start with `label`; `position` maps a line and column of `text` to a position."""

    label: str
    text: str
    position: Callable[[int, int], Position]


def release_templates(release: Release) -> Iterator[TemplateText]:
    """Yield the template of the Release's parameters, if there are any."""
    text = parameters_text(release.parameters)
    if text is not None:
        yield TemplateText("spec.parameters", text, partial(position_in_template, release))


def package_templates(package: Package, texts: Texts) -> Iterator[TemplateText]:
    """Yield the package's header and templates. `texts` are the sources of the templates by path."""
    header = TemplateSource(("templateHeader",))
    written = [("templateHeader", header, package.template_header)]
    written += [(label, source, texts[source.path]) for label, source in package.templates()]
    for label, source, text in written:
        yield TemplateText(f"package {package.label}, {label}", text, partial(package.template_position, source))


def packages_of(resolved: Sequence[Resolved]) -> Mapping[str, Package]:
    """Return the distinct packages of the Releases by reference."""
    return {one.package.reference: one.package for one in resolved}
