"""`--locked` wants the same bytes tomorrow: no template may ask for the time or for chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kubocd_gen.diagnostics import Findings, KcdError, KcdErrors, Position
from kubocd_gen.helm.functions import VARYING
from kubocd_gen.helm.lexer import Kind, actions
from kubocd_gen.packages.manifest import Package, TemplateSource
from kubocd_gen.pipeline.parameters import place_in_template
from kubocd_gen.pipeline.records import WithParameters
from kubocd_gen.pipeline.rendering import Texts

_HINT = "let a Context or a parameter bring the value, or let the chart make it"


def refuse_varying(
    releases: Sequence[WithParameters], texts: Mapping[str, Texts], findings: Findings
) -> list[WithParameters]:
    """The Releases whose templates give the same text at any time; the others' problems go to `findings`.

    A template is refused for what it holds, whether or not it comes to it: that may depend on a value of tomorrow.
    """
    packages = {one.resolved.package.reference: one.resolved.package for one in releases}
    errors = {reference: list(_of_package(package, texts[reference])) for reference, package in packages.items()}
    good = []
    for one in releases:
        release = one.resolved.release
        own = [
            _error("spec.parameters", name, place_in_template(release, line, column))
            for name, line, column in _calls(one.parameters_text or "")
        ]
        if found := [*own, *errors[one.resolved.package.reference]]:
            findings.error(KcdErrors(found), release=release.key)
        else:
            good.append(one)
    return good


def _of_package(package: Package, texts: Texts) -> Iterator[KcdError]:
    header = TemplateSource(("templateHeader",))
    written = [("templateHeader", header, package.template_header)]
    written += [(label, source, texts[source.path]) for label, source in package.templates()]
    for label, source, text in written:
        for name, line, column in _calls(text):
            position = package.template_position(source, line, column)
            yield _error(f"package {package.label}, {label}", name, position)


def _calls(text: str) -> Iterator[tuple[str, int, int]]:
    """The functions of the clock or of chance that a template calls, with line and column."""
    if "{{" not in text:
        return
    for action in actions(text):
        for token in action.tokens:
            if token.kind is Kind.IDENTIFIER and token.text in VARYING:
                before = text[: token.start]
                yield token.text, before.count("\n") + 1, token.start - before.rfind("\n")


def _error(where: str, name: str, position: Position) -> KcdError:
    return KcdError(
        f"{where}: '{name}' gives another result each time, which --locked does not allow",
        code="varying-function",
        position=position,
        hint=_HINT,
    )
