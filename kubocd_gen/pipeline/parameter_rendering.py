"""The first helm run: render the parameters of all Releases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kubocd_gen.budget.spending import Budget, BudgetExceededError
from kubocd_gen.compiler.values import line_of_key, merge, parameters_text, parse_map, spend_values, way_in_json
from kubocd_gen.diagnostics.problems import Position, Problem, Problems, ProblemsError
from kubocd_gen.helm.engine import Helm
from kubocd_gen.helm.template import Functions, Template, TemplateFailure, Unit
from kubocd_gen.kube_yaml.locations import find_in_text
from kubocd_gen.model.compilation import Resolved, WithParameters, at_release
from kubocd_gen.model.resources import Release
from kubocd_gen.schema.package_schema import validate

# The end of messages that would not name the package otherwise, by code.
_OF_PACKAGE = {"unknown-parameter": " of {}", "missing-parameter": " by {}"}


def render_parameters(
    releases: Sequence[Resolved], functions: Functions, helm: Helm, findings: Problems
) -> list[WithParameters]:
    """Render the parameters and validate them against the packages' schemas. Return the valid Releases."""
    texts = [parameters_text(resolved.release.parameters) for resolved in releases]
    units = [
        Unit(
            context=resolved.context,
            model={"Parameters": None, "Release": resolved.release.model},
            templates=() if text is None else (Template("", text),),
            image_redirector=False,
        )
        for resolved, text in zip(releases, texts, strict=True)
    ]
    outcomes = helm.render(units, functions)
    valid = []
    for resolved, text, outcome in zip(releases, texts, outcomes, strict=True):
        try:
            valid.append(_with_parameters(resolved, text, outcome[0] if outcome else "", helm.pool.budget))
        except BudgetExceededError as error:
            findings.error(at_release(error, resolved.release), release=resolved.release.key)
        except ProblemsError as errors:
            findings.error(errors, release=resolved.release.key)
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
        raise ProblemsError.of("bad-parameters", error.problem.message, position=at, hint=hint) from error
    parameters = merge(package.parameters_schema.defaults, given)
    spend_values(parameters, budget)  # each Release has its own copy of the package's defaults
    violations = validate(package.parameters_schema, parameters, budget)
    if violations:
        raise ProblemsError(
            *(
                violation.problem(
                    f"{violation.message}{_OF_PACKAGE.get(violation.code, '').format(package.label)}",
                    _parameter_position(release, violation.path),
                )
                for violation in violations
            )
        )
    return WithParameters(resolved, text, parameters)


def _one_line_hint(parameters: Any) -> str | None:
    """Return the hint for parameters that are a string of one line, which KuboCD rejects."""
    if not isinstance(parameters, str) or "\n" in parameters:
        return None
    if re.fullmatch(r"[\w-]+:[^\s/].*", parameters):
        return "add a space after the ':'"
    return "give a map, or a template of several lines ('|')"


def _parameter_position(release: Release, path: Sequence[str | int]) -> Position:
    """Return the position of a parameter: its key in a map, or the line that sets it in a template."""
    if isinstance(release.parameters, str) and path and isinstance(path[-1], str):
        line = line_of_key(release.parameters, path[-1])
        if line is not None:
            return _position_in_text(release, line)
    return release.position("spec", "parameters", *path)


def position_in_template(release: Release, line: int | None, column: int | None) -> Position:
    """Return a position in the parameters template: in a string, or for a map, the key of the parameter."""
    if isinstance(release.parameters, str):
        return _position_in_text(release, line, column)
    keys = () if column is None else way_in_json(release.parameters, column - 1)
    return release.position("spec", "parameters", *keys)


def _position_in_text(release: Release, line: int | None, column: int | None = None) -> Position:
    """Return the position of a line of parameters that are a template string."""
    resource = release.resource
    keys = (*resource.prefix, "spec", "parameters")
    return find_in_text(resource.file.text, resource.file.path, resource.document, keys, line, column)


def _parameters_problem(release: Release, failure: TemplateFailure) -> Problem:
    hint = None
    if not isinstance(release.parameters, str):
        if failure.code == "template-parse" and r'"\\"' in failure.message:
            hint = "use `back quotes` inside '{{ }}': a map is converted to JSON before it is rendered"
        elif failure.code == "template-parse" and failure.message.startswith("bad character U+0022"):
            hint = "add the missing '}}'"
    return failure.problem("spec.parameters", position_in_template(release, failure.line, failure.column), hint)
