"""The two helm runs: first the parameters of all Releases, then the templates of their packages, which use them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExceededError, Tallies
from kubocd_gen.compiler.rendered import create_namespace_of_model, read_rendered
from kubocd_gen.compiler.values import line_of_key, merge, parameters_text, parse_map, spend_values, way_in_json
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.functions import MUTATING_WORD
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from kubocd_gen.kube_yaml.locations import find_in_text
from kubocd_gen.model.compilation import Rendered, Resolved, WithParameters, collecting
from kubocd_gen.model.package import Package, TemplateSource
from kubocd_gen.model.resources import Release
from kubocd_gen.schema.package_schema import validate

Texts = dict[tuple[str | int, ...], str]
"""The source text of each template of a package, by its path in the manifest."""

# The end of messages that would not name the package otherwise, by code.
_OF_PACKAGE = {"unknown-parameter": " of {}", "missing-parameter": " by {}"}


def render_parameters(
    releases: Sequence[Resolved], functions: Functions, helm: Helm, problems: Problems, tallies: Tallies
) -> list[WithParameters]:
    """Render the parameters and validate them against the packages' schemas. Return the valid Releases."""
    texts = [parameters_text(resolved.release.parameters) for resolved in releases]
    units = [
        Unit(
            context=resolved.context,
            model={"Release": resolved.release.model},
            templates=(),
            parameters=None if text is None else Template("", text),
        )
        for resolved, text in zip(releases, texts, strict=True)
    ]
    valid = []
    for resolved, text, outcome in zip(releases, texts, helm.render(units, functions), strict=True):
        with collecting(problems, resolved.release):
            valid.append(
                _with_parameters(resolved, text, outcome[0] if outcome else "", tallies.of(resolved.release.key))
            )
    return valid


def _with_parameters(
    resolved: Resolved, text: str | None, outcome: str | TemplateFailure, budget: Budget
) -> WithParameters:
    release, package = resolved.release, resolved.package
    if isinstance(outcome, TemplateFailure):
        raise ProblemsError(_parameters_problem(release, outcome))
    try:
        given = parse_map(outcome, "spec.parameters", budget)
    except BudgetExceededError:
        raise
    except ProblemsError as error:
        at = release.position("spec", "parameters")
        hint = _one_line_hint(release.parameters) or error.problem.hint
        raise ProblemsError(replace(error.problem, code="bad-parameters", position=at, hint=hint)) from error
    parameters = merge(package.parameters_schema.defaults, given)
    spend_values(parameters, budget)  # each Release has its own copy of the package's defaults
    found = [
        violation.problem(
            f"{violation.message}{_OF_PACKAGE.get(violation.code, '').format(package.label)}",
            _parameter_position(release, violation.path),
        )
        for violation in validate(package.parameters_schema, parameters, budget)
    ]
    if found:
        raise ProblemsError(*found)
    return WithParameters(resolved, text, parameters)


def _one_line_hint(parameters: Any) -> str | None:
    """Return the hint for parameters that are a list, or a string of one line, which KuboCD rejects."""
    if isinstance(parameters, list):
        return "write the parameters as a map, without '- '"
    if not isinstance(parameters, str) or "\n" in parameters:
        return None
    if re.fullmatch(r"[\w-]+:[^\s/].*", parameters):
        return "add a space after the ':'"
    return "use a map or a multi-line template ('|')"


def _parameter_position(release: Release, path: Sequence[str | int]) -> Position:
    """Return the position of a parameter: its key in a map, or the line that sets it in a template."""
    if isinstance(release.parameters, str) and path and isinstance(path[-1], str):
        line = line_of_key(release.parameters, path[-1])
        if line is not None:
            return position_in_template(release, line)
    return release.position("spec", "parameters", *path)


def position_in_template(release: Release, line: int | None, column: int | None = None) -> Position:
    """Return a position in the parameters template: in a string, or for a map, the key of the parameter."""
    if isinstance(release.parameters, str):
        resource = release.resource
        keys = (*resource.prefix, "spec", "parameters")
        return find_in_text(resource.file.text, resource.file.path, resource.document, keys, line, column)
    way = () if column is None else way_in_json(release.parameters, column - 1)
    return release.position("spec", "parameters", *way)


def _parameters_problem(release: Release, failure: TemplateFailure) -> Problem:
    hint = None
    if not isinstance(release.parameters, str) and failure.code == "template-parse":
        if r'"\\"' in failure.message:
            hint = "use `back quotes` inside '{{ }}': a map is converted to JSON before it is rendered"
        elif failure.message.startswith("bad character U+0022"):
            hint = "add the missing '}}'"
    return failure.problem("spec.parameters", position_in_template(release, failure.line, failure.column), hint)


@dataclass(frozen=True, slots=True)
class PackageOutcome:
    """The rendered templates of a Release's package, with label and source of each."""

    one: WithParameters
    templates: Sequence[tuple[str, TemplateSource]]
    results: Sequence[str | TemplateFailure]


def render_packages(
    releases: Sequence[WithParameters], texts: Mapping[str, Texts], functions: Functions, helm: Helm
) -> list[PackageOutcome]:
    """Render the packages of all Releases."""
    templates_of = {
        reference: _model_templates(package, texts[reference])
        for reference, package in packages_of([one.resolved for one in releases]).items()
    }
    units = []
    for one in releases:
        reference = one.resolved.package.reference
        units.append(_unit(one, templates_of[reference], texts[reference]))
    outcomes = []
    for one, results in zip(releases, helm.render(units, functions), strict=True):
        templates = templates_of[one.resolved.package.reference]
        # The parameters template comes first if it is rendered again.
        outcomes.append(PackageOutcome(one, templates, results[len(results) - len(templates) :]))
    return outcomes


def read_packages(outcomes: Sequence[PackageOutcome], problems: Problems, tallies: Tallies) -> list[Rendered]:
    """Read and check the rendered packages. Return the valid ones and report all templates that fail."""
    valid = []
    for outcome in outcomes:
        resolved, package = outcome.one.resolved, outcome.one.resolved.package
        failures, rendered = [], {}
        for (label, source), result in zip(outcome.templates, outcome.results, strict=True):
            if isinstance(result, TemplateFailure):
                failures.append(template_problem(package, label, source, result))
            else:
                rendered[source.path] = result
        problems.error(ProblemsError(*failures), release=resolved.release.key)
        with collecting(problems, resolved.release):
            read = read_rendered(package, rendered, tallies.of(resolved.release.key))
            if not failures:
                valid.append(Rendered(resolved, outcome.one.parameters, read))
    return valid


def packages_of(resolved: Sequence[Resolved]) -> Mapping[str, Package]:
    """Return the distinct packages of the Releases by reference."""
    return {one.package.reference: one.package for one in resolved}


def template_texts(releases: Sequence[Resolved], helm: Helm) -> Mapping[str, Texts]:
    """Return the source texts of the templates by package. YAML trees are dumped as KuboCD does."""
    texts: dict[str, Texts] = {}
    trees = []
    for reference, package in packages_of(releases).items():
        texts[reference] = {source.path: source.text for _, source in package.templates()}
        trees += [(reference, source) for _, source in package.templates() if source.tree is not None]
    for (reference, source), dumped in zip(trees, helm.to_yaml([source.tree for _, source in trees]), strict=True):
        texts[reference][source.path] = dumped
    return texts


def written_templates(releases: Sequence[WithParameters]) -> Iterator[Template]:
    """Yield the templates that are strings in the manifest; they are known before YAML trees are dumped."""
    for package in packages_of([one.resolved for one in releases]).values():
        for _, source in package.templates():
            if source.tree is None:
                yield template_of(package, source, source.text)


def template_of(package: Package, source: TemplateSource, text: str) -> Template:
    """Return a template of a package with its header; `text` is its source text."""
    return Template(package.template_header if source.header else "", text)


def _model_templates(package: Package, texts: Texts) -> list[tuple[str, TemplateSource]]:
    """Return label and template of the package's templates, and of what KuboCD reads from the model between them."""
    found = list(package.templates())
    if not any(MUTATING_WORD.search(text) for text in (package.template_header, *texts.values())):
        return found
    probes = {module.depends_on.path: create_namespace_of_model(module) for module in package.modules}
    return [one for item in found for one in ((item, probes[item[1].path]) if item[1].path in probes else (item,))]


def _unit(one: WithParameters, sources: Sequence[tuple[str, TemplateSource]], texts: Texts) -> Unit:
    package = one.resolved.package
    templates = tuple(template_of(package, source, texts.get(source.path, source.text)) for _, source in sources)
    # If the parameters template can change the Context, it is rendered again, for the package's templates.
    again = one.parameters_text is not None and MUTATING_WORD.search(one.parameters_text) is not None
    return Unit(
        context=one.resolved.context,
        model={"Parameters": one.parameters, "Release": one.resolved.release.model},
        templates=templates,
        parameters=Template("", one.parameters_text) if again and one.parameters_text else None,
    )


def template_problem(package: Package, label: str, source: TemplateSource, failure: TemplateFailure) -> Problem:
    """Return the failure of a package's template as a problem at its line of the manifest."""
    if failure.in_header:
        source = TemplateSource(("templateHeader",))
        label = "templateHeader"  # the same for every template, so it is reported once
    position = package.template_position(source, failure.line, failure.column)
    return failure.problem(f"package {package.label}, {label}", position)
