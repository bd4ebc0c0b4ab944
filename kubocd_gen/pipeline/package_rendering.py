"""The second helm run: render the templates of all packages, which need the Releases' parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kubocd_gen.budget.spending import BudgetExceededError
from kubocd_gen.compiler.rendered import read_rendered
from kubocd_gen.diagnostics.problems import Problem, Problems, ProblemsError
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from kubocd_gen.model.compilation import Rendered, Resolved, WithParameters, at_release
from kubocd_gen.model.package import Package, TemplateSource

Texts = dict[tuple[str | int, ...], str]


def render_packages(
    releases: Sequence[WithParameters],
    texts: Mapping[str, Texts],
    functions: Functions,
    helm: Helm,
    findings: Problems,
) -> list[Rendered]:
    """Render and check the packages of all Releases. Return the valid ones and report all templates that fail."""
    units = [_unit(one, texts[one.resolved.package.reference]) for one in releases]
    outcomes = helm.render(units, functions)
    valid = []
    for one, unit, outcome in zip(releases, units, outcomes, strict=True):
        package = one.resolved.package
        templates = list(package.templates())
        results = outcome[
            len(unit.templates) - len(templates) :
        ]  # without the parameters template, which is rendered again
        errors = [
            template_problem(package, label, source, result)
            for (label, source), result in zip(templates, results, strict=True)
            if isinstance(result, TemplateFailure)
        ]
        rendered = {
            source.path: result
            for (_, source), result in zip(templates, results, strict=True)
            if isinstance(result, str)
        }
        try:
            read = read_rendered(package, rendered, helm.pool.budget)
            if not errors:
                valid.append(Rendered(one.resolved, one.parameters, read))
        except BudgetExceededError as error:
            errors += at_release(error, one.resolved.release).problems
        except ProblemsError as error:
            errors += error.problems
        if errors:
            findings.error(ProblemsError(*errors), release=one.resolved.release.key)
    return valid


def template_texts(releases: Sequence[Resolved], helm: Helm) -> Mapping[str, Texts]:
    """Return the source text of every template, by package and path. YAML trees are dumped as KuboCD does."""
    packages = {resolved.package.reference: resolved.package for resolved in releases}
    trees = [
        (reference, source)
        for reference, package in packages.items()
        for _, source in package.templates()
        if source.tree is not None
    ]
    texts: dict[str, Texts] = {
        reference: {source.path: source.text for _, source in package.templates()}
        for reference, package in packages.items()
    }
    for (reference, source), dumped in zip(trees, helm.to_yaml([source.tree for _, source in trees]), strict=True):
        texts[reference][source.path] = dumped
    return texts


def written_templates(releases: Sequence[WithParameters]) -> Iterator[Template]:
    """Yield the templates that are strings in the manifest; they are known before YAML trees are dumped."""
    for package in {one.resolved.package.reference: one.resolved.package for one in releases}.values():
        for _, source in package.templates():
            if source.tree is None:
                yield _template(package, source, source.text)


def _template(package: Package, source: TemplateSource, text: str) -> Template:
    return Template(package.template_header if source.header else "", text)


def _unit(one: WithParameters, texts: Texts) -> Unit:
    package = one.resolved.package
    templates = tuple(_template(package, source, texts[source.path]) for _, source in package.templates())
    # The parameters template can change the context with `set`, which affects the package's templates.
    again = (Template("", one.parameters_text),) if one.parameters_text and "{{" in one.parameters_text else ()
    return Unit(
        context=one.resolved.context,
        model={"Parameters": one.parameters, "Release": one.resolved.release.model},
        templates=(*again, *templates),
    )


def template_problem(package: Package, label: str, source: TemplateSource, failure: TemplateFailure) -> Problem:
    """Return the failure of a package's template as a problem at its line of the manifest."""
    if failure.in_header:
        source = TemplateSource(("templateHeader",))
        label = "templateHeader"  # the same for every template, so it is reported once
    position = package.template_position(source, failure.line, failure.column)
    return failure.problem(f"package {package.label}, {label}", position)
